"""GStreamer's webrtcbin with the live test picture: the same capture process that the daemon has, so that only what
comes after the encoder differs. Run as `python -m tests.bench.live`, it writes framed units to standard output."""

from __future__ import annotations

import asyncio
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from edgecam.capture.process import CaptureProcess
from edgecam.media.types import AccessUnit, CaptureReport, StreamInfo
from edgecam.settings import CameraSettings
from tests.bench.contestants import DEBIANS_PYTHON, GSTREAMER, ROOT, program
from tests.bench.scene import CAMERA

KEYFRAMES = 1.0  # seconds between; webrtcbin has none waiting for a newcomer


class _Writer:
    """Implements media.types.UnitSink."""

    def opened(self, info: StreamInfo) -> None: ...

    def report(self, report: CaptureReport) -> None: ...

    def unit(self, unit: AccessUnit) -> None:
        sys.stdout.buffer.write(struct.pack("=I", len(unit.data)) + unit.data)
        sys.stdout.buffer.flush()


@contextmanager
def webrtcbin() -> Iterator[str]:
    """The base URL of a blank page, with WHEP at /whep. Raises UnavailableError."""
    source = subprocess.Popen([sys.executable, "-m", "tests.bench.live"], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert source.stdout is not None
        with program(DEBIANS_PYTHON, GSTREAMER, "-", stdin=source.stdout.fileno()) as (_process, url):
            yield url.removesuffix("/whep") + "/"
    finally:
        source.kill()
        source.wait()
        assert source.stdout is not None
        source.stdout.close()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # standard output carries pictures
    camera = CameraSettings.model_validate(CAMERA | {"keyframe_interval": KEYFRAMES})
    asyncio.run(CaptureProcess("front", camera).run(_Writer()))
