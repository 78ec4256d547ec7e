"""What `edgecam probe` says of libcamera's cameras."""

from __future__ import annotations

from typing import Any

from edgecam.capture.picamera import load
from edgecam.capture.picameracontrols import controls_of


def describe_cameras() -> list[dict[str, Any]]:
    """Each with id, model, modes, controls and error. Raises CaptureError when picamera2 is not installed."""
    picamera2, libcamera = load()
    found = picamera2.Picamera2.global_camera_info()
    return [_described(picamera2.Picamera2, libcamera, number, info) for number, info in enumerate(found)]


def _described(opener: Any, libcamera: Any, number: int, info: dict[str, Any]) -> dict[str, Any]:
    known = {"id": info["Id"], "model": info.get("Model", "unknown"), "modes": [], "controls": [], "error": ""}
    try:
        camera = opener(number)
    except (RuntimeError, OSError, LookupError, AttributeError) as error:
        return known | {"error": f"cannot be opened: {error.__cause__ or error}"}
    try:
        controls = [str(control) for control in controls_of(camera.camera_ctrl_info, {})]
        return known | {"modes": _modes(camera.camera, libcamera), "controls": controls}
    finally:
        camera.close()


def _modes(camera: Any, libcamera: Any) -> list[str]:
    """Formats and sizes for video; libcamera scales to any size between two."""
    offered = camera.generate_configuration([libcamera.StreamRole.VideoRecording]).at(0).formats
    return [f"{form}: {', '.join(map(str, offered.sizes(form))) or offered.range(form)}" for form in offered.pixel_formats]
