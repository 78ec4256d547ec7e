"""Bytes that are really sent, compared with what the kernel of the camera's machine counts at its only interface."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from edgecam.governors.ledger import FILE
from tests.browser.scenes import picture
from tests.harness.waiting import until
from tests.network.cable import Cable
from tests.network.coturn import LONG_TERM, PASSWORD, USER, coturn
from tests.network.crowd import Crowd
from tests.network.hosts import RemoteDaemon, ice_server
from tests.network.namespaces import PUBLIC_ADDRESS, VIEWER_ADDRESS, Machine, cable, machine

CAMERA_ADDRESS = "192.168.1.2"
ETHERNET_HEADER = 14  # bytes, which the kernel counts and no provider does
BUDGET = 12_000_000
ALLOWED = 0.02


class Town:
    """A camera, a viewer, and a router with a TURN server between them. The camera's cable takes whole packets only, so that
    its interface's counters are those of packets as they are on the wire."""

    def __init__(self, camera: Machine, public: Machine, viewer: Machine) -> None:
        self.camera, self.public, self.viewer = camera, public, viewer

    def sent(self) -> int:
        """Bytes of IP packets that left the camera's machine."""
        with self.camera.inside():
            lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
        (fields,) = [line.partition(":")[2].split() for line in lines if line.strip().startswith("eth0:")]
        octets, packets = int(fields[8]), int(fields[9])
        return octets - packets * ETHERNET_HEADER


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    with ExitStack() as stack:
        camera, public, viewer = (stack.enter_context(machine(role)) for role in ("camera", "public", "viewer"))
        wire = Cable((camera, "eth0", f"{CAMERA_ADDRESS}/24"), (public, "camera", "192.168.1.1/24"))
        stack.callback(wire.close)
        cable((viewer, "eth0", f"{VIEWER_ADDRESS}/24"), (public, "viewer", "192.168.2.1/24"))
        camera.ip("route", "add", "default", "via", "192.168.1.1")
        viewer.ip("route", "add", "default", "via", "192.168.2.1")
        public.ip("address", "add", f"{PUBLIC_ADDRESS}/32", "dev", "lo")
        with public.inside():
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        yield Town(camera, public, viewer)


def metered(**more: Any) -> dict[str, Any]:
    """A configuration whose day has begun within the hour, so that its share does not depend on when tests run."""
    governor = {"daily_bytes": BUDGET, "day_begins": time.localtime().tm_hour, "min_free_disk": 0, **more}
    return {"camera": {"front": picture(bitrate_kbps=2000)}, "governor": governor}


def watching(town: Town, daemon: RemoteDaemon, count: int) -> Crowd:
    return Crowd(town.viewer, f"http://{CAMERA_ADDRESS}:{daemon.port}/whep/front", daemon.token, count)


def budget(daemon: RemoteDaemon) -> dict[str, Any]:
    found = daemon.status()["governor"]["budget"]
    assert isinstance(found, dict)
    return found


def wait_used(daemon: RemoteDaemon, octets: int, within: float = 60.0) -> dict[str, Any]:
    return until(
        lambda: found if (found := budget(daemon))["used_bytes"] >= octets else None,
        within=within,
        what=f"{octets} bytes sent",
        explain=lambda: budget(daemon),
    )


def both(town: Town, daemon: RemoteDaemon) -> tuple[int, int]:
    """What the kernel and the daemon have counted at one moment, as far as nothing much is sent between two looks."""

    def look() -> tuple[int, int] | None:
        before = town.sent()
        counted = daemon.status()["governor"]["sent_bytes"]
        after = town.sent()
        return ((before + after) // 2, counted) if after - before < 10_000 else None

    return until(look, within=30, what="a quiet moment")


def assert_counted(town: Town, daemon: RemoteDaemon, more: int) -> None:
    """Over the time in which so many bytes are sent, the daemon's count grows as the kernel's does."""
    real, counted = both(town, daemon)
    wait_used(daemon, budget(daemon)["used_bytes"] + more)
    real_then, counted_then = both(town, daemon)
    real, counted = real_then - real, counted_then - counted
    print(f"the kernel counts {real} bytes, the daemon {counted}: {counted / real - 1:+.2%}")
    assert counted == pytest.approx(real, rel=ALLOWED)


def test_the_days_bytes_are_counted_stepped_down_for_and_kept_across_a_crash(town: Town, tmp_path: Path) -> None:
    with RemoteDaemon(town.camera, metered(), tmp_path / "daemon") as daemon:
        daemon.wait_ready()
        began = town.sent()
        with watching(town, daemon, 3):
            assert_counted(town, daemon, 3_000_000)
            stepped = daemon.wait_logged("governor.step", causes=["budget"], within=60.0)
            assert stepped["bitrate"] < 1
            until(lambda: daemon.camera()["target_bps"] <= 1_400_000, within=10, what="a lower bitrate", explain=daemon.camera)
            assert "budget-ahead" in {component["code"] for component in daemon.status()["components"]}
            assert daemon.get("/readyz").status == 200
        used = wait_used(daemon, 0)["used_bytes"]
        assert used == pytest.approx(town.sent() - began, rel=ALLOWED), "handshakes, candidates and goodbyes included"
        daemon.kill()
        kept = json.loads((daemon.state_dir / FILE).read_text())["bytes"]
        assert used - kept <= ALLOWED * BUDGET, f"{used} were counted, {kept} kept"
        # The rest of the day would take minutes.
        record = json.loads((daemon.state_dir / FILE).read_text())
        (daemon.state_dir / FILE).write_text(json.dumps({**record, "bytes": BUDGET - 600_000}))
        daemon.restart()
        daemon.wait_ready()
        assert budget(daemon)["used_bytes"] >= BUDGET - 600_000
        with watching(town, daemon, 2) as crowd:
            wait_used(daemon, BUDGET)
            refused = daemon.request("POST", "/whep/front", "v=0\r\n", {"Content-Type": "application/sdp"})
            assert (refused.status, refused.json["code"]) == (503, "budget-spent")

            def poorest() -> bool:
                last = daemon.camera()["renditions"][-1]
                return bool(last["viewers"] == 2 and 4 < last["measured_fps"] < 6)

            until(poorest, within=20, what="the poorest picture for both", explain=daemon.camera)
            seen = crowd.measure(lambda: wait_used(daemon, budget(daemon)["used_bytes"] + 20_000))
            assert 4 < seen.pictures_per_second / 2 < 6, "five a second for each"
            governor = daemon.status()["governor"]
            assert governor["budget"]["spent"]
            assert governor["limits"]["best_rendition"] == 2
            assert daemon.camera()["target_bps"] <= 60_000
        assert daemon.terminate(within=10) < 5
        assert json.loads((daemon.state_dir / FILE).read_text())["bytes"] >= BUDGET
        daemon.assert_quiet()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_what_goes_through_a_relay_is_counted_with_its_overhead(town: Town, tmp_path: Path, transport: str) -> None:
    config = metered(daily_bytes=200_000_000)
    config["ice"] = {"policy": "relay"}
    with coturn(town.public, tmp_path / "turn", LONG_TERM) as turn:
        server = ice_server(turn.url.replace("udp", transport), USER, PASSWORD)
        with RemoteDaemon(town.camera, config, tmp_path / "daemon", [server]) as daemon:
            daemon.wait_ready()
            with watching(town, daemon, 2):
                assert {viewer["path"] for viewer in daemon.wait_viewers(2)} == {"relay"}
                assert_counted(town, daemon, 1_500_000)
            daemon.assert_quiet()


def test_when_it_says_stop_nobody_is_left(town: Town, tmp_path: Path) -> None:
    (tmp_path / "daemon").mkdir()
    day = time.strftime("%Y-%m-%d")
    (tmp_path / "daemon" / FILE).write_text(json.dumps({"day": day, "bytes": BUDGET - 400_000, "seconds": 60}))
    with RemoteDaemon(town.camera, metered(when_spent="stop"), tmp_path / "daemon") as daemon:
        daemon.wait_ready()
        with watching(town, daemon, 1):
            wait_used(daemon, BUDGET)
            left = daemon.wait_logged("viewer.left")
            assert left["reason"] == "the day's bytes are sent"
            daemon.wait_viewers(0)
        assert daemon.get("/readyz").status == 200
        daemon.assert_quiet()
