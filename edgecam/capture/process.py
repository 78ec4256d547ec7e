"""A camera in a process of its own, so that no driver, decoder or encoder can hang or crash the daemon."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from dataclasses import asdict
from pathlib import Path

import structlog

from edgecam.capture import wire
from edgecam.capture.childlink import PROBING, ChildLink, Limits, Timestamps
from edgecam.capture.config import ChildConfig
from edgecam.capture.spawn import Child, capture_child, starting
from edgecam.errors import CaptureError
from edgecam.media.types import EncoderDemand, UnitSink
from edgecam.settings import CameraSettings

log = structlog.get_logger(__name__)

EXIT_GRACE = 1.0  # seconds between a child's hanging up and its end
LAST_RESORT = "libx264"  # the encoder that is never left out


class CaptureProcess:
    """VideoSource of one camera: captured and encoded once, in a child process that is replaced when it breaks.

    Making one does nothing; `run` may be called again and again, one at a time. A child that cannot be killed is never
    joined by another. Encoders that hung or crashed a child are left out of the next ones.
    """

    def __init__(self, name: str, settings: CameraSettings) -> None:
        self.name = name
        self._settings = settings
        self._timestamps = Timestamps()
        self._skip_encoders: dict[str, str] = {}
        self._link: ChildLink | None = None
        self._child: Child | None = None  # the last one started; it may have outlived the attempt to kill it

    async def run(self, sink: UnitSink) -> None:
        """Open, deliver until broken, release. Raises CaptureError; cancelling it ends the child within a second."""
        self._refuse_unfinished_child()
        self._refuse_missing_device()
        async with capture_child(self.name) as (child, sock):
            self._child = child
            with starting(self.name):
                link = await self._connect(sock, sink)
            log.debug("capture.started", camera=self.name, pid=child.pid)
            try:
                error = await link.broken or await self._death(child)
            finally:
                self._link = None
                link.close()
            self._remember_encoder(link, error)
            raise error

    def apply(self, demand: EncoderDemand) -> None:
        """Pass a demand to the encoder; dropped silently while the camera is not open."""
        if self._link is not None:
            self._link.apply(demand)

    async def _connect(self, sock: socket.socket, sink: UnitSink) -> ChildLink:
        limits = Limits(start=self._settings.start_timeout, stall=self._settings.stall_timeout)
        config = wire.encode_json(wire.Kind.CONFIG, asdict(self._config()))
        loop = asyncio.get_running_loop()
        _transport, link = await loop.create_unix_connection(
            lambda: ChildLink(self.name, config, limits, sink, self._timestamps), sock=sock
        )
        self._link = link
        return link

    def _config(self) -> ChildConfig:
        settings, quality = self._settings, self._settings.effective
        return ChildConfig(
            title=settings.title or self.name,
            source=settings.source,
            device=settings.device,
            input_format=settings.input_format,
            path=settings.path,
            width=quality.width,
            height=quality.height,
            fps=quality.fps,
            bitrate_bps=settings.ceiling_bps,
            keyframe_interval=settings.keyframe_interval,
            encoder=settings.encoder,
            skip_encoders=self._skip_encoders,
        )

    def _refuse_unfinished_child(self) -> None:
        """Another process would be held by the same driver, and the next one, until the machine has no more."""
        if self._child is not None and self._child.returncode is None:
            raise CaptureError(
                f"a driver holds process {self._child.pid} of this camera",
                remedy="unplug the camera; reboot if that does not help",
                code="camera-stalled",
            )
        self._child = None

    def _refuse_missing_device(self) -> None:
        """No process is needed to see that there is no camera."""
        if self._settings.source != "v4l2":
            return
        try:
            there = Path(self._settings.device).exists()
        except OSError:
            return  # the child is refused too, and knows the words
        if not there:
            raise absent(self._settings.device)

    async def _death(self, child: Child) -> CaptureError:
        """Why a child that hung up without a word is gone."""
        await child.exited(EXIT_GRACE)
        code = child.returncode
        if code is None:
            how = "closed its connection"
        elif code < 0:
            how = f"was ended by {signal_name(-code)}"
        else:
            how = f"exited with {code}"
        # Python's fault handler says what happened first, a traceback last.
        words = [line for line in child.stderr if line.startswith("Fatal ")] or list(child.stderr)[-1:]
        said = f": {words[0]}" if words else ""
        log.warning("capture.crashed", camera=self.name, how=how, stderr=list(child.stderr))
        return CaptureError(
            f"camera {self.name}: the capture process {how}{said}",
            remedy="it is started again; if this repeats, update the driver or try another input_format or encoder",
            code="capture-crashed",
        )

    def _remember_encoder(self, link: ChildLink, error: CaptureError) -> None:
        """Leave out an encoder from which a child did not come back."""
        suspect = ""
        if link.phase.startswith(PROBING) and error.code in {"encoder-failed", "capture-crashed"}:
            suspect = link.phase.removeprefix(PROBING)
        elif link.info is not None and (link.encoder_stuck or error.code == "encoder-failed"):
            suspect = link.info.encoder
        if suspect and suspect != LAST_RESORT and self._settings.encoder == "auto":
            self._skip_encoders[suspect] = "it hung, crashed or failed before"
            log.warning("encoder.left_out", camera=self.name, encoder=suspect)


def signal_name(number: int) -> str:
    """SIGSEGV; of the real-time signals only the first and the last have names."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def absent(device: str) -> CaptureError:
    """There is no such device node."""
    others: list[str] = []
    with contextlib.suppress(OSError):  # out of descriptors, for one: no reason to withhold what is known
        others = sorted(str(path) for path in Path("/dev").glob("video*"))
    there = f"set device to one of {', '.join(others)}" if others else "no /dev/video* was found"
    return CaptureError(
        f"{device} does not exist",
        remedy=f"plug the camera in, or {there}" if others else f"plug the camera in; {there}",
        code="camera-absent",
    )
