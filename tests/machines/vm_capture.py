"""Capture alone on the kernel's vivid driver, nothing encoded: `python -m tests.machines.vm_capture` for a minute of it.

SCRIPT runs inside the virtual machine, on the installed package's own camera class.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.machines.vm_camera import FRONT, CameraMachine, camera_machine

# Lost pictures are told by the driver's timestamps: none for one and a half intervals means that at least one is missing.
SCRIPT = """
import itertools, json, sys
from edgecam.capture.v4l2 import V4l2Camera

device, seconds = sys.argv[1], float(sys.argv[2])
camera = V4l2Camera(device, "auto", 640, 480, 30)
info = camera.open()
times, damaged = [], 0
for captured in camera.frames():
    if captured is None:
        damaged += 1
        continue
    times.append(captured.captured_ns)
    if times[-1] - times[0] >= seconds * 1e9:
        break
gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
interval = 1e9 / info.fps
print(json.dumps({
    "width": info.width, "height": info.height, "pixel_format": info.pixel_format,
    "fps": len(gaps) / (times[-1] - times[0]) * 1e9,
    "lost": damaged + sum(max(0, round(gap / interval) - 1) for gap in gaps),
    "longest_gap_ms": max(gaps) / 1e6,
}))
"""


@dataclass(frozen=True, slots=True)
class Captured:
    """What the camera class got from the driver."""

    width: int
    height: int
    pixel_format: str
    fps: float
    lost: int
    longest_gap_ms: float


def capture_alone(machine: CameraMachine, seconds: float) -> Captured:
    """640x480 at 30 frames a second for so long, edgecam stopped meanwhile."""
    machine.vm.sh("systemctl stop edgecam")
    try:
        command = ("runuser", "-u", "edgecam", "-G", "video", "--", "python3", "-c", SCRIPT, FRONT, str(seconds))
        done = machine.vm.run(*command, within=seconds + 60)
        assert done.code == 0, done.err
        return Captured(**json.loads(done.out))
    finally:
        machine.vm.sh("systemctl start --no-block edgecam")


def main() -> None:
    with camera_machine() as machine:
        machine.vm.wait_boot()
        machine.wait_active()
        print(capture_alone(machine, 60.0))


if __name__ == "__main__":
    main()
