"""Python imports this at start where its directory is on PYTHONPATH: libx264 plays h264_v4l2m2m in capture processes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any


def install(file: Path) -> None:
    from edgecam.capture import encoder as module
    from edgecam.errors import CaptureError

    really_open, really_encode = module._open_context, module.H264Encoder.encode

    def open_context(name: str, spec: Any, level: int = 0) -> Any:
        if name == "h264_v4l2m2m" and not file.exists():
            raise CaptureError("no device that encodes", code="encoder-failed")
        return really_open("libx264" if name == "h264_v4l2m2m" else name, spec, level)

    def encode(self: module.H264Encoder, *arguments: Any, **named: Any) -> Any:
        if self.name == "h264_v4l2m2m" and not file.exists():
            raise CaptureError("the encoder failed: EIO", code="encoder-failed")
        return really_encode(self, *arguments, **named)

    module._open_context = open_context
    module.H264Encoder.encode = encode  # type: ignore[method-assign]


if "FAKE_ENCODER" in os.environ and "edgecam.capture.child" in sys.orig_argv:
    install(Path(os.environ["FAKE_ENCODER"]))
