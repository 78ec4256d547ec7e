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
ENCODER, LIBCAMERA = "encoder", "libcamera"  # each WHAT that is no device


@dataclass(frozen=True, slots=True)
class FormatFound:
    """A pixel format of a camera; `usable` when edgecam can capture it."""

    fourcc: str
    description: str
    usable: bool
    sizes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CameraFound:
    """A V4L2 capture device; `device` of the settings may be its `name`. `error` says why nothing more is known of it, else empty."""

    device: str
    name: str
    driver: str
    formats: tuple[FormatFound, ...]
    error: str = ""
    links: tuple[str, ...] = ()  # in /dev/v4l, which survive replugging
    controls: tuple[str, ...] = ()  # a line each, name first
    keyframes_on_request: bool = False  # of its own H.264, where it has any

    @property
    def usable(self) -> bool:
        return any(offered.usable for offered in self.formats)


@dataclass(frozen=True, slots=True)
class LibcameraFound:
    """A camera that libcamera drives. `modes` of its sensor and `controls` as lines for people; `error` as above."""

    id: str
    model: str
    modes: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """Cameras and encoder of this machine. `encoder` is what `encoder = "auto"` takes, empty when nothing encodes;
    `libcamera_note` says why libcamera was not asked, empty when it was."""

    cameras: tuple[CameraFound, ...]
    encoder: str
    encoder_reason: str
    profile_level_id: str
    sounds: tuple[str, ...] = ()  # ALSA devices: name, what it is, for what
    libcamera: tuple[LibcameraFound, ...] = ()
    libcamera_note: str = ""

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
        for number, libcamera in enumerate(self.libcamera):
            lines += [f'camera   source = "picamera2", camera = "{number}": {libcamera.model} ({libcamera.id})']
            controls = (f"control {each}" for each in libcamera.controls)
            lines += [f"         {line}" for line in (*libcamera.modes, *controls, libcamera.error) if line]
        if not self.cameras and not self.libcamera:
            lines.append('camera   none; plug one in, or use source = "test"')
        elif not self.chosen_camera and not self.libcamera:
            lines.append('chosen   no camera that can be used; source = "test" always works')
        elif self.chosen_camera:
            lines.append(f'chosen   device = "{self.chosen_camera}": the first that offers a usable format')
        profile = f" (profile-level-id {self.profile_level_id} at 1280x720, 30 fps)" if self.profile_level_id else ""
        lines += [f"encoder  {self.encoder or 'none'}{profile}"]
        lines += [f"{'tried' if not number else '':9}{each}" for number, each in enumerate(self.encoder_reason.split("; "))]
        lines += [f"{'sound' if not number else '':9}{each}" for number, each in enumerate(self.sounds or ("no ALSA device",))]
        if self.libcamera_note:
            lines.append(f"libcamera  {self.libcamera_note}")
        return "\n".join(lines)


def _camera_lines(camera: CameraFound) -> list[str]:
    lines = [f"camera   {camera.device}  {camera.name or '?'}" + (f" [{camera.driver}]" if camera.driver else "")]
    if camera.error:
        lines.append(f"         {camera.error}")
    for offered in camera.formats:
        note = "" if offered.usable else "  (cannot be used)"
        if offered.fourcc == "H264":
            note = f"  (passed through; makes keyframes {'on request' if camera.keyframes_on_request else 'when it likes'})"
        lines.append(f"         {offered.fourcc} {offered.description}: {', '.join(offered.sizes) or 'any size'}{note}")
    lines += [f"         link {link}" for link in camera.links]
    lines += [f"         control {control}" for control in camera.controls]
    return lines


def probe_report(devices: Sequence[str] | None = None) -> ProbeReport:
    """Look at every /dev/video* (or the given nodes) and try the encoders. Blocks, at most about TIMEOUT seconds."""
    nodes = list(devices) if devices is not None else _nodes()
    with ThreadPoolExecutor(max_workers=min(8, len(nodes) + 2)) as pool:
        encoder, libcamera = pool.submit(_ask, ENCODER), pool.submit(_ask, LIBCAMERA)
        answers = list(pool.map(_ask, nodes))
        chosen = encoder.result()
    cameras = [_camera(node, answer) for node, answer in zip(nodes, answers, strict=True)]
    return ProbeReport(
        cameras=tuple(camera for camera in cameras if camera is not None),
        encoder=chosen.get("encoder", ""),
        encoder_reason=chosen.get("reason") or chosen.get("error", ""),
        profile_level_id=chosen.get("profile_level_id", ""),
        sounds=_sounds(),
        libcamera=tuple(_libcamera(found) for found in libcamera.result().get("cameras", ())),
        libcamera_note=libcamera.result().get("error", ""),
    )


def _sounds() -> tuple[str, ...]:
    """What ALSA has, as `microphone` and `speaker` take it; /proc/asound/pcm says "00-00: name : name : playback 1 : capture 1"."""
    try:
        lines = Path("/proc/asound/pcm").read_text().splitlines()
    except OSError:
        return ()
    found = []
    for line in lines:
        place, _, rest = line.partition(": ")
        card, _, device = place.partition("-")
        kinds = [kind for kind, word in (("microphone", "capture"), ("speaker", "playback")) if word in rest]
        if kinds and card.isdecimal() and device.isdecimal():
            found.append(f'"plughw:{int(card)},{int(device)}"  {rest.split(" : ")[0].strip()} ({", ".join(kinds)})')
    return tuple(found)


def _links(node: str) -> tuple[str, ...]:
    links = sorted(path for place in ("by-id", "by-path") for path in Path("/dev/v4l", place).glob("*"))
    return tuple(str(path) for path in links if os.path.realpath(path) == os.path.realpath(node))


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
    return CameraFound(
        node, answer["card"], answer["driver"], formats, links=_links(node), controls=tuple(answer["controls"]),
        keyframes_on_request=answer["keyframes_on_request"],
    )  # fmt: skip


def _libcamera(found: dict[str, Any]) -> LibcameraFound:
    return LibcameraFound(found["id"], found["model"], tuple(found["modes"]), tuple(found["controls"]), found["error"])


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
    from edgecam.capture import v4l2control
    from edgecam.capture.cameracontrols import Controls
    from edgecam.capture.v4l2modes import INPUT_FORMATS, describe

    fd = os.open(node, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        device = describe(fd)
        controls = [str(each) for each in Controls(fd).now()] if device.captures else []
        on_request = v4l2control.offers(fd, v4l2control.MPEG_VIDEO_FORCE_KEY_FRAME)
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
    return {
        "card": device.card, "driver": device.driver, "captures": device.captures, "formats": formats,
        "controls": controls, "keyframes_on_request": on_request,
    }  # fmt: skip


def describe_encoder() -> dict[str, Any]:
    """What `encoder = "auto"` takes for 1280x720 at 30. Raises CaptureError."""
    from edgecam.capture.candidates import EncoderSpec
    from edgecam.capture.encoder import choose

    spec = EncoderSpec(width=1280, height=720, fps=30, bitrate_bps=1_500_000, keyframe_interval=10)
    choice = choose(spec, "auto", {}, lambda _name: None)
    return {"encoder": choice.encoder.name, "reason": choice.reason, "profile_level_id": choice.profile_level_id}


def _describe(what: str) -> dict[str, Any]:
    if what == ENCODER:
        return describe_encoder()
    if what == LIBCAMERA:
        from edgecam.capture.picameraprobe import describe_cameras

        return {"cameras": describe_cameras()}
    return describe_device(what)


def main() -> None:
    from edgecam.errors import CaptureError

    what = sys.argv[1]
    try:
        answer = _describe(what)
    except OSError as error:
        answer = {"error": error.strerror or str(error)}
    except CaptureError as error:
        answer = {"error": str(error)}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
