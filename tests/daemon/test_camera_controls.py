"""Controls of a camera in a running daemon: from the file, by HTTP, by the command line, by a reload; the picture goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from tests.fakes.v4l2 import FakeV4l2, build_fake_v4l2
from tests.harness.daemons import Daemon
from tests.harness.processes import HOME
from tests.harness.waiting import until


def test_controls_are_listed_set_and_refused_without_opening_the_camera_anew(tmp_path: Path) -> None:
    device = FakeV4l2(build_fake_v4l2(HOME / ".cache" / "fakes"), tmp_path / "video0")
    device.plug()
    front = {"device": str(device.device), "quality": "low", "controls": {"brightness": 40}}
    with Daemon({"camera": {"front": front}}, tmp_path / "run", env=device.env) as daemon:
        daemon.wait_ready()
        path = "/api/v1/cameras/front/controls"
        listed = json.loads(daemon.get(path).text)
        assert {each["name"]: each["value"] for each in listed["controls"]}["brightness"] == 40

        command = [sys.executable, "-m", "edgecam", "controls", "front", "auto_exposure=Manual Mode", "--config", str(daemon.file)]
        said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True, cwd=HOME).stdout
        assert "auto_exposure = 1  (menu, 1 Manual Mode, 3 Aperture Priority Mode; default 3)" in said
        refused = subprocess.run([*command[:5], "zoom=2", *command[6:]], capture_output=True, text=True, timeout=20, check=False, cwd=HOME)
        assert refused.returncode == 1
        assert "there is no control zoom" in refused.stderr

        daemon.file.write_text(daemon.file.read_text().replace("brightness = 40", "brightness = -7"))
        daemon.signal(signal.SIGHUP)

        def brightness() -> int:
            return int(next(each["value"] for each in json.loads(daemon.get(path).text)["controls"] if each["name"] == "brightness"))

        until(lambda: brightness() == -7, within=10, what="the reload's value")
        assert daemon.camera()["restarts"] == 0
        assert daemon.camera()["condition"] == "running"
