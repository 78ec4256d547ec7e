"""The cameras that browser tests look at: small pictures, because two cores encode, decode and draw them."""

from __future__ import annotations

from typing import Any

FPS = 30


def picture(**more: Any) -> dict[str, Any]:
    """A camera section: the test picture with its clock strip."""
    return {"source": "test", "width": 640, "height": 480, "fps": FPS, "bitrate_kbps": 800, **more}


def v4l2(device: object, **more: Any) -> dict[str, Any]:
    """A camera section: a V4L2 device."""
    return {
        "source": "v4l2",
        "device": str(device),
        "width": 640,
        "height": 480,
        "fps": FPS,
        "bitrate_kbps": 800,
        **more,
    }
