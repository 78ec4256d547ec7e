"""Everything that tells of health tells the same, in a running daemon to which one thing after the other happens."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.clock import wrong_clock
from tests.fakes.hardware import HardwareEncoder
from tests.fakes.v4l2 import FakeV4l2, build_fake_v4l2
from tests.governors.hot import HotDaemon
from tests.governors.machine import Machine
from tests.harness.daemons import Daemon, Server
from tests.harness.processes import HOME
from tests.harness.servicemanager import Service
from tests.harness.waiting import until

SAMPLE = re.compile(r'^edgecam_component_(\w+)\{component="([^"]*)"(.*)\} (\d+)$', re.MULTILINE)
READY = {"running", "degraded", "resting"}
TOLD_WITHIN = 15.0  # seconds


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """By component: condition and code."""
    return {c["name"]: (c["condition"], c["code"]) for c in status["components"]}


def from_metrics(text: str) -> dict[str, tuple[str, str]]:
    found = {}
    for what, component, labels, value in SAMPLE.findall(text):
        if what == "condition":
            assert value == "1"
            found[component] = (re.findall(r'condition="([^"]*)"', labels)[0], re.findall(r'code="([^"]*)"', labels)[0])
    return found


def ready_in_metrics(text: str) -> dict[str, bool]:
    return {component: value == "1" for what, component, _labels, value in SAMPLE.findall(text) if what == "ready"}


def from_log(daemon: Daemon) -> dict[str, tuple[str, str]]:
    """The last that was said of each component."""
    return {e["component"]: (e["state"], e["code"] or "") for e in daemon.logged("component.state")}


def disagreement(running: Service) -> str:
    """What does not tell the same as the status document, in words; empty when all agree."""
    daemon = running.daemon
    ready, status, metrics = daemon.get("/readyz"), daemon.status(), daemon.get("/metrics").text
    told = conditions(status)
    lines = ready.text.strip().splitlines()
    logged = from_log(daemon)
    checks = {
        "readyz' code": (ready.status == 200) == status["ready"] == (not status["reasons"]),
        "readyz' reasons": lines == (status["reasons"] or ["ready"]),
        "metrics' ready": f"edgecam_ready {int(status['ready'])}\n" in metrics,
        "metrics' conditions": from_metrics(metrics) == told,
        "metrics' component_ready": ready_in_metrics(metrics) == {c["name"]: c["ready"] for c in status["components"]},
        "STATUS=": running.status == status["summary"],
        "the log": {name: logged.get(name) for name in told} == told,
        "cameras": all(told[f"camera.{c['name']}"] == (c["condition"], c["code"]) for c in status["cameras"]),
        "signaling": all(told[f"signaling.{s['name']}"] == (s["condition"], s["code"]) for s in status["signaling"]),
        "reasons": len(status["reasons"]) == sum(not c["ready"] for c in status["components"]),
        "warnings": len(status["warnings"]) == sum(c["condition"] == "degraded" for c in status["components"]),
        "ready and condition": all(c["ready"] == (c["condition"] in READY) for c in status["components"]),
    }
    return ", ".join(what for what, agrees in checks.items() if not agrees)


def tell(running: Service, **expected: tuple[str, str]) -> None:
    """Until the components are in these states (`camera_front` is camera.front), and everything tells the same."""
    wanted = {name.replace("_", "."): state for name, state in expected.items()}

    def so() -> bool:
        told = conditions(running.daemon.status())
        return all(told.get(name) == state for name, state in wanted.items()) and disagreement(running) == ""

    def explain() -> str:
        return f"{conditions(running.daemon.status())}; {disagreement(running)}; {running.status}"

    until(so, within=TOLD_WITHIN, what=f"{wanted}, told alike", explain=explain)


@contextmanager
def small_disk(at: Path) -> Iterator[None]:
    """A file system of 1 MB."""
    at.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(at)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(at)], check=True)


OK = ("running", "")


@pytest.mark.timeout(180)
def test_all_that_tells_of_health_tells_the_same_whatever_breaks(tmp_path: Path) -> None:
    device = FakeV4l2(build_fake_v4l2(HOME / ".cache" / "fakes"), tmp_path / "video0")
    device.plug()
    encoder, kept = HardwareEncoder(tmp_path / "encoder"), tmp_path / "ntp"
    encoder.install()
    kept.touch()
    clock = wrong_clock(0, tmp_path / "clock", kept)
    sensors = Machine(tmp_path / "sensors")
    sensors.zone(50.0)
    sensors.firmware(0)
    sensors.memory(500_000_000)
    env = {**clock, **device.env, **encoder.env, "LD_PRELOAD": f"{device.library}:{clock['LD_PRELOAD']}"}
    disk = tmp_path / "state"
    with small_disk(disk), Server({}, tmp_path / "server") as server:
        config = {
            "state_dir": str(disk),
            "camera": {"front": {"source": "v4l2", "device": str(device.device), "width": 640, "height": 480}},
            "signaling": {"home": {"type": "websocket", "url": server.socket_url}},
            "governor": {"min_free_disk": 500_000, "recover_after": 2},
        }
        with Service(config, tmp_path / "run", 20.0, env, partial(HotDaemon, sensors.root)) as running:
            tell(running, camera_front=OK, encoder_front=OK, signaling_home=OK, disk=OK, clock=OK, supervisor=OK, fanout=OK)
            tell(running, temperature=OK, power=OK, memory=OK)
            assert running.daemon.get("/readyz").status == 200
            assert running.daemon.camera()["encoder"] == "h264_v4l2m2m"

            sensors.firmware(1)
            tell(running, power=("degraded", "undervoltage"), governor=("degraded", "limited"))
            sensors.firmware(0)
            sensors.zone(85.0)
            tell(running, temperature=("degraded", "temperature-high"), power=OK)
            assert running.daemon.get("/readyz").status == 200, "what is degraded works"
            sensors.zone(50.0)
            tell(running, temperature=OK, power=OK)

            device.unplug()
            tell(running, camera_front=("waiting", "camera-absent"), encoder_front=("resting", "encoder-closed"))
            assert running.daemon.get("/readyz").status == 503

            server.kill()
            tell(running, camera_front=("waiting", "camera-absent"), signaling_home=("waiting", "signaling-unreachable"))

            device.plug()
            tell(running, camera_front=OK, encoder_front=OK, signaling_home=("waiting", "signaling-unreachable"))
            assert running.daemon.get("/readyz").status == 503

            encoder.break_()
            tell(running, camera_front=OK, encoder_front=("degraded", "encoder-fallback"))
            assert running.daemon.camera()["encoder"] == "libx264"

            kept.unlink()
            tell(running, clock=("degraded", "clock-unsynchronised"), encoder_front=("degraded", "encoder-fallback"))

            (disk / "full").write_bytes(bytes(700_000))
            tell(running, disk=("degraded", "disk-full"), clock=("degraded", "clock-unsynchronised"))

            server.restart()
            tell(running, signaling_home=OK, camera_front=OK, disk=("degraded", "disk-full"))
            assert running.daemon.get("/readyz").status == 200

            kept.touch()
            (disk / "full").unlink()
            tell(running, clock=OK, disk=OK, encoder_front=("degraded", "encoder-fallback"))
            assert running.restarts == []


@pytest.mark.parametrize(
    ("offset", "kept", "condition", "code"),
    [(-30 * 365 * 86_400, "", "degraded", "clock-wrong"), (0, "denied", "resting", "clock-unwatched")],
)
def test_a_clock_before_this_was_written_and_one_of_which_nothing_is_known(
    offset: int, kept: str, condition: str, code: str, tmp_path: Path
) -> None:
    env = wrong_clock(offset, tmp_path / "clock", kept)
    with Daemon({"camera": {"front": {"source": "test", "quality": "low"}}}, tmp_path, env=env) as daemon:
        until(lambda: conditions(daemon.status()).get("clock") == (condition, code), within=10, what=code)
        daemon.wait_ready()
