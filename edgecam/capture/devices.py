"""Which device node a camera's setting means: a path, a link, or the camera's own name."""

from __future__ import annotations

import contextlib
from pathlib import Path

from edgecam.errors import CaptureError

SYSFS = Path("/sys/class/video4linux")
DEV = Path("/dev")


def names() -> dict[str, list[str]]:
    """The first node of every device that is here, by the name its driver gives it. Reads sysfs: no driver can make that wait."""
    found: dict[str, list[str]] = {}
    with contextlib.suppress(OSError):
        for entry in sorted(SYSFS.iterdir(), key=lambda path: (len(path.name), path.name)):
            with contextlib.suppress(OSError, ValueError):
                if entry.name.startswith("video") and int((entry / "index").read_text()) == 0:  # others are its metadata
                    found.setdefault((entry / "name").read_text().strip(), []).append(str(DEV / entry.name))
    return found


def node(device: str) -> str:
    """The node to open now: a path as it stands; else that of the camera so named, or the only one whose name contains it.

    Raises CaptureError: camera-absent when there is none, camera-ambiguous when there are several.
    """
    if device.startswith("/"):
        return device
    here = names()
    exact = here.get(device)
    nodes = exact if exact is not None else [path for name, paths in here.items() if device.lower() in name.lower() for path in paths]
    if len(nodes) == 1:
        return nodes[0]
    if nodes:
        raise CaptureError(
            f'{len(nodes)} cameras are called "{device}": {", ".join(nodes)}',
            remedy="set device to a link in /dev/v4l/by-id, or in /dev/v4l/by-path for two of one model without a serial number",
            code="camera-ambiguous",
        )
    known = ", ".join(f'"{name}"' for name in here) or "none"
    raise CaptureError(f'no camera is called "{device}"', remedy=f"plug the camera in; the names here: {known}", code="camera-absent")
