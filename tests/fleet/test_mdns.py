"""The announcement on a network: two machines and a cable, a real daemon on one, browsers on the other."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from zeroconf import IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from edgecam.fleet.records import SERVICE_TYPE
from tests.fleet.avahi import avahi
from tests.harness.daemons import Daemon
from tests.harness.processes import run_edgecam
from tests.harness.waiting import until
from tests.network.hosts import RemoteDaemon
from tests.network.namespaces import Machine, cable, machine
from tests.network.sides import Side, side

CAMERA = {"source": "test", "width": 320, "height": 240, "fps": 15, "bitrate_kbps": 200}
NAME = "Front gate"
CONFIG = {
    "device": {"id": "test-device", "name": NAME, "location": "north side"},
    "ice": {"ipv6": False},
    "camera": {"front": CAMERA, "yard": CAMERA},
}
Services = dict[str, AsyncServiceInfo]


@pytest.fixture(scope="module")
def lan() -> Iterator[tuple[Machine, Machine]]:
    with machine("camera") as camera, machine("laptop") as laptop:
        cable((camera, "eth0", "192.168.9.2/24"), (laptop, "eth0", "192.168.9.3/24"))
        yield camera, laptop


class Browser:
    """Another zeroconf than edgecam's, on another machine: what it has heard of, kept up to date."""

    def __init__(self, where: Side) -> None:
        self._side = where
        self.services: Services = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._responder = AsyncZeroconf(interfaces=["192.168.9.3"], ip_version=IPVersion.V4Only)
        self._browser = AsyncServiceBrowser(self._responder.zeroconf, SERVICE_TYPE, handlers=[self._heard])

    async def close(self) -> None:
        await self._browser.async_cancel()
        await self._responder.async_close()

    def _heard(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if state_change is ServiceStateChange.Removed:
            self.services.pop(name, None)
        else:
            task = asyncio.get_running_loop().create_task(self._resolve(zeroconf, name))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _resolve(self, zeroconf: Zeroconf, name: str) -> None:
        info = AsyncServiceInfo(SERVICE_TYPE, name)
        if await info.async_request(zeroconf, 3000):
            self.services[name] = info

    def wait(self, name: str, within: float = 15, **said: str) -> AsyncServiceInfo:
        """Until a service of that name says these things in its TXT record."""

        def look() -> AsyncServiceInfo | None:
            info = self.services.get(f"{name}.{SERVICE_TYPE}")
            return info if info is not None and text(info).items() >= said.items() else None

        return until(look, within=within, what=f"{name} with {said}", explain=lambda: {k: text(v) for k, v in self.services.items()})


def text(info: AsyncServiceInfo) -> dict[str, str]:
    return {key.decode(): (value or b"").decode() for key, value in info.properties.items()}


@contextmanager
def browsing(where: Machine) -> Iterator[Browser]:
    with side(where) as there:
        browser = Browser(there)
        there.run(browser.open())
        try:
            yield browser
        finally:
            there.run(browser.close())


def discovered(where: Machine, directory: Path, *options: str) -> Any:
    """What `edgecam discover` says on that machine."""
    with where.inside():
        done = run_edgecam("discover", "--seconds", "1.5", *options, state_dir=directory)
    return json.loads(done.stdout) if options else (done.returncode, done.stdout)


def test_a_device_is_found_while_it_runs_and_only_then(lan: tuple[Machine, Machine], tmp_path: Path) -> None:
    camera, laptop = lan
    with browsing(laptop) as browser:
        with RemoteDaemon(camera, CONFIG, tmp_path) as daemon:
            info = browser.wait(NAME, state="ready")
            said = text(info)
            assert (said["id"], said["name"], said["cameras"], said["path"], said["tls"]) == ("test-device", NAME, "front,yard", "/", "0")
            assert said["version"] == daemon.status()["version"]
            assert (info.port, info.parsed_addresses()) == (daemon.port, ["192.168.9.2"])
            assert info.server == "edgecam-testdevice.local."
            (found,) = discovered(laptop, tmp_path, "--json")
            assert (found["url"], found["cameras"]) == (f"http://192.168.9.2:{daemon.port}/", ["front", "yard"])
            (target,) = discovered(laptop, tmp_path, "--prometheus")
            assert (target["targets"], target["labels"]["device"]) == ([f"192.168.9.2:{daemon.port}"], NAME)
            code, table = discovered(laptop, tmp_path)
            assert code == 0
            assert table.splitlines()[1].split("  ")[0] == NAME
            # The name that is announced is one that the listener answers to.
            assert daemon.get("/api/v1/status", Host=f"{info.server.rstrip('.')}:{daemon.port}").status == 200
            assert daemon.terminate(within=6) < 3
            ended = time.monotonic()
            until(lambda: not browser.services, within=10, what="the goodbye", explain=lambda: browser.services)
            assert time.monotonic() - ended < 3  # and not when the record's two minutes are over
        assert discovered(laptop, tmp_path, "--json") == []
        assert discovered(laptop, tmp_path)[0] == 1


def test_what_it_says_follows_its_state_and_its_addresses(lan: tuple[Machine, Machine], tmp_path: Path) -> None:
    camera, laptop = lan
    config = {**CONFIG, "camera": {"front": CAMERA, "ghost": {"source": "file", "path": str(tmp_path / "film.mp4")}}}
    with browsing(laptop) as browser, RemoteDaemon(camera, config, tmp_path) as daemon:
        browser.wait(NAME, state="not-ready", cameras="front,ghost")
        camera.ip("address", "add", "192.168.9.7/24", "dev", "eth0")
        try:
            until(
                lambda: set(browser.services[f"{NAME}.{SERVICE_TYPE}"].parsed_addresses()) == {"192.168.9.2", "192.168.9.7"}
                if f"{NAME}.{SERVICE_TYPE}" in browser.services
                else False,
                within=15,
                what="the new address",
                explain=lambda: [info.parsed_addresses() for info in browser.services.values()],
            )
        finally:
            camera.ip("address", "del", "192.168.9.7/24", "dev", "eth0")
        (component,) = [c for c in daemon.status()["components"] if c["name"] == "mdns"]
        assert (component["condition"], component["detail"]) == ("running", f"announced as {NAME}")


def test_a_name_that_is_taken_gets_a_number(lan: tuple[Machine, Machine], tmp_path: Path) -> None:
    camera, laptop = lan
    twin = {**CONFIG, "device": {"id": "other-device", "name": NAME}}
    with browsing(laptop) as browser, RemoteDaemon(camera, CONFIG, tmp_path / "one"):
        browser.wait(NAME)
        with RemoteDaemon(camera, twin, tmp_path / "two"):
            # On a machine with much to do the second may not hear of the first in time; then either gives way.
            names = [f"{name}.{SERVICE_TYPE}" for name in (NAME, f"{NAME}-2")]

            def ids() -> set[str]:
                return {text(browser.services[name])["id"] for name in names if name in browser.services}

            until(lambda: ids() == {"test-device", "other-device"}, within=20, what="both under names of their own", explain=ids)


def test_two_that_take_a_name_at_the_same_time_find_out(lan: tuple[Machine, Machine], tmp_path: Path) -> None:
    """As after a power cut: neither has answered when the other asks whether the name is free."""
    camera, laptop = lan
    twin = {**CONFIG, "device": {"id": "other-device", "name": NAME}}
    camera.ip("link", "set", "eth0", "down")  # they cannot hear each other
    try:
        with RemoteDaemon(camera, CONFIG, tmp_path / "one") as one, RemoteDaemon(laptop, twin, tmp_path / "two") as two:
            one.wait_logged("mdns.announced")
            two.wait_logged("mdns.announced")
            assert not one.logged("mdns.renamed")
            camera.ip("link", "set", "eth0", "up")
            with browsing(laptop) as browser:
                # The first by host name, edgecam-otherdevice, keeps it.
                assert text(browser.wait(f"{NAME}-2", within=30))["id"] == "test-device"
                assert text(browser.wait(NAME, id="other-device"))["id"] == "other-device"
    finally:
        camera.ip("link", "set", "eth0", "up")


@pytest.mark.parametrize(
    ("listen", "mdns", "announced"),
    [("127.0.0.1", {}, 0), ("0.0.0.0", {"enabled": False}, 0), ("127.0.0.1", {"enabled": True, "port": 443, "tls": True}, 1)],
)
def test_who_announces(lan: tuple[Machine, Machine], tmp_path: Path, listen: str, mdns: dict[str, Any], announced: int) -> None:
    camera, laptop = lan
    with camera.inside(), Daemon({**CONFIG, "mdns": mdns}, tmp_path, host=listen) as daemon:
        if announced:
            daemon.wait_logged("mdns.announced")
        found = discovered(laptop, tmp_path, "--json")
        assert len(found) == announced
        assert [each["url"] for each in found] == ["https://192.168.9.2:443/"] * announced
        assert bool(daemon.logged("mdns.announced")) == bool(announced)


def test_a_machine_without_a_network_waits_for_one(tmp_path: Path) -> None:
    with machine("alone") as alone, RemoteDaemon(alone, CONFIG, tmp_path) as daemon:
        daemon.wait_ready()
        (component,) = [c for c in daemon.status()["components"] if c["name"] == "mdns"]
        assert (component["condition"], component["code"]) == ("resting", "mdns-no-network")
        alone.ip("link", "add", "eth0", "type", "bridge")
        alone.ip("link", "set", "eth0", "up")
        alone.ip("address", "add", "192.168.9.2/24", "dev", "eth0")
        daemon.wait_logged("mdns.announced")


def test_avahi_finds_it_too_and_sees_it_go(lan: tuple[Machine, Machine], tmp_path: Path) -> None:
    camera, laptop = lan
    with avahi(laptop, "eth0", tmp_path / "avahi") as browse:
        with RemoteDaemon(camera, CONFIG, tmp_path) as daemon:
            daemon.wait_logged("mdns.announced")
            (resolved,) = until(lambda: [line for line in browse() if line[0] == "="], within=15, what="an answer to Avahi")
            assert resolved[3:6] == ["Front\\032gate", "_edgecam._tcp", "local"]
            assert resolved[6:9] == ["edgecam-testdevice.local", "192.168.9.2", str(daemon.port)]
            assert {'"id=test-device"', '"cameras=front,yard"', '"name=Front gate"'} <= set(re.findall(r'"[^"]*"', resolved[9]))
        until(lambda: not browse(), within=5, what="its goodbye in Avahi", explain=browse)
