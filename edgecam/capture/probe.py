"""What this machine can capture and encode with: the cameras, their formats, the encoder that would be chosen, and why.

Everything that touches a driver runs in a process of its own, under a timeout: a driver may never answer.
`python -m edgecam.capture.probe WHAT` is that process; it prints JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgecam.capture.spawn import child_environment

TIMEOUT = 10.0  # seconds a device or an encoder has to answer
REAP_TIMEOUT = 1.0  # seconds
ENCODER = "encoder"  # the WHAT that is no device


@dataclass(frozen=True, slots=True)
class FormatFound:
    """A pixel format of a camera; `usable` when edgecam can capture it."""

    fourcc: str
    description: str
    usable: bool
    sizes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CameraFound:
    """A V4L2 capture device. `error` says why nothing more is known of it, empty when all is well."""

    device: str
    name: str
    driver: str
    formats: tuple[FormatFound, ...]
    error: str = ""

    @property
    def usable(self) -> bool:
        return any(offered.usable for offered in self.formats)


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """Cameras and encoder of this machine. `encoder` is what `encoder = "auto"` takes, empty when nothing encodes."""

    cameras: tuple[CameraFound, ...]
    encoder: str
    encoder_reason: str
    profile_level_id: str

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self) | {"chosen_camera": self.chosen_camera}

    @property
    def chosen_camera(self) -> str:
        """The device to put into the configuration; empty when there is none."""
        return next((camera.device for camera in self.cameras if camera.usable), "")

    def render(self) -> str:
        """For people, one thing a line."""
        lines = [line for camera in self.cameras for line in _camera_lines(camera)]
        if not self.cameras:
            lines.append('camera   none; plug one in, or use source = "test"')
        elif not self.chosen_camera:
            lines.append('chosen   no camera that can be used; source = "test" always works')
        else:
            lines.append(f'chosen   device = "{self.chosen_camera}": the first that offers a usable format')
        profile = f" (profile-level-id {self.profile_level_id} at 1280x720, 30 fps)" if self.profile_level_id else ""
        lines += [f"encoder  {self.encoder or 'none'}{profile}", f"because  {self.encoder_reason}"]
        return "\n".join(lines)


def _camera_lines(camera: CameraFound) -> list[str]:
    lines = [f"camera   {camera.device}  {camera.name or '?'}" + (f" [{camera.driver}]" if camera.driver else "")]
    if camera.error:
        lines.append(f"         {camera.error}")
    for offered in camera.formats:
        note = "" if offered.usable else "  (cannot be used)"
        lines.append(f"         {offered.fourcc} {offered.description}: {', '.join(offered.sizes) or 'any size'}{note}")
    return lines


def probe_report(devices: Sequence[str] | None = None) -> ProbeReport:
    """Look at every /dev/video* (or the given nodes) and try the encoders. Blocks, at most about TIMEOUT seconds."""
    nodes = list(devices) if devices is not None else _nodes()
    with ThreadPoolExecutor(max_workers=max(1, min(8, len(nodes) + 1))) as pool:
        encoder = pool.submit(_ask, ENCODER)
        answers = list(pool.map(_ask, nodes))
        chosen = encoder.result()
    cameras = [_camera(node, answer) for node, answer in zip(nodes, answers, strict=True)]
    return ProbeReport(
        cameras=tuple(camera for camera in cameras if camera is not None),
        encoder=chosen.get("encoder", ""),
        encoder_reason=chosen.get("reason") or chosen.get("error", ""),
        profile_level_id=chosen.get("profile_level_id", ""),
    )


def _nodes() -> list[str]:
    """/dev/video*, in the order of their numbers."""
    paths = Path("/dev").glob("video[0-9]*")
    return [str(path) for path in sorted(paths, key=lambda path: (len(path.name), path.name))]


def _camera(node: str, answer: dict[str, Any]) -> CameraFound | None:
    """None for nodes that are there for something else: encoders, metadata, radios."""
    if "error" in answer:
        return CameraFound(node, "", "", (), answer["error"])
    if not answer["captures"]:
        return None
    formats = tuple(
        FormatFound(each["fourcc"], each["description"], each["usable"], tuple(each["sizes"]))
        for each in answer["formats"]
    )
    return CameraFound(node, answer["card"], answer["driver"], formats)


def _ask(what: str) -> dict[str, Any]:
    """The answer of a process of its own about a device or the encoder; {"error": …} when there is none."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "edgecam.capture.probe", what],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=child_environment(),
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=TIMEOUT)
        answer = json.loads(output)
    except subprocess.TimeoutExpired:
        return {"error": f"does not answer within {TIMEOUT:g} s: its driver hangs"}
    except ValueError:
        return {"error": f"looking at it crashed (exit code {process.returncode})"}
    else:
        assert isinstance(answer, dict)
        return answer
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill it if it runs; one that its driver holds is left behind."""
    process.kill()
    try:
        process.wait(REAP_TIMEOUT)
    except subprocess.TimeoutExpired:
        pass
    finally:
        assert process.stdout is not None
        process.stdout.close()


def describe_device(node: str) -> dict[str, Any]:
    """What a device says of itself. Raises OSError."""
    from edgecam.capture.v4l2modes import INPUT_FORMATS, describe

    fd = os.open(node, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        device = describe(fd)
    finally:
        os.close(fd)
    formats = [
        {
            "fourcc": offered.fourcc,
            "description": offered.description,
            "usable": offered.fourcc in INPUT_FORMATS,
            "sizes": [str(sizes) for sizes in offered.sizes],
        }
        for offered in device.formats
    ]
    return {"card": device.card, "driver": device.driver, "captures": device.captures, "formats": formats}


def describe_encoder() -> dict[str, Any]:
    """What `encoder = "auto"` takes for 1280x720 at 30. Raises CaptureError."""
    from edgecam.capture.encoder import EncoderSpec, choose

    spec = EncoderSpec(width=1280, height=720, fps=30, bitrate_bps=1_500_000, keyframe_interval=10)
    choice = choose(spec, "auto", {}, lambda _name: None)
    return {"encoder": choice.encoder.name, "reason": choice.reason, "profile_level_id": choice.profile_level_id}


def main() -> None:
    from edgecam.errors import CaptureError

    what = sys.argv[1]
    try:
        answer = describe_encoder() if what == ENCODER else describe_device(what)
    except OSError as error:
        answer = {"error": error.strerror or str(error)}
    except CaptureError as error:
        answer = {"error": str(error)}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
