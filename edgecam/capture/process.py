"""A camera in a process of its own, so that no driver, decoder or encoder can hang or crash the daemon."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from edgecam.capture import wire
from edgecam.capture.candidates import CANDIDATES, SOFTWARE
from edgecam.capture.childlink import PROBING, ChildLink, Limits, Timestamps, closed
from edgecam.capture.config import ChildConfig
from edgecam.capture.devices import node
from edgecam.capture.retrial import LeftOut, encodes
from edgecam.capture.spawn import REAP_TIMEOUT, Child, capture_child, starting
from edgecam.errors import CaptureError
from edgecam.media.types import Begin, ControlsNow, EncoderDemand, UnitSink
from edgecam.settings import CameraSettings

log = structlog.get_logger(__name__)

EXIT_GRACE = 1.0  # seconds between a child's hanging up and its end
BEGIN_WITHIN = 2.0  # seconds for starting a process, on a machine with too much to do
END_WITHIN = EXIT_GRACE + 2 * REAP_TIMEOUT  # seconds from breaking to the end of an attempt
UNSUITED = "stream-unsuited"  # what a child says of a stream that has to be decoded
LOOK_EVERY = 1.0  # seconds between two looks whether a device that nobody has open is there


class CaptureProcess:
    """VideoSource of one camera: captured once and encoded once per rendition, in a child process that is replaced when it breaks.

    Making one does nothing; `run` may be called again and again, one at a time. A child that cannot be killed is never
    joined by another. Encoders that hung or crashed a child are left out of the next ones; whether they, or one that was busy,
    work again is tried beside the running child, which is then replaced at once.
    """

    def __init__(self, name: str, settings: CameraSettings) -> None:
        self.name = name
        self._settings = settings
        self._timestamps = Timestamps()
        self._left_out = LeftOut(settings.encoder_retry)
        self._unsuited = False  # to be passed through
        self._link: ChildLink | None = None
        self._child: Child | None = None  # the last one started; it may have outlived the attempt to kill it
        self._due = math.inf
        self._set_controls: dict[str, object] = {}  # at run time, over those of the settings

    @property
    def due(self) -> float:
        """By when there will be something of the child, or the attempt is over: CLOCK_MONOTONIC seconds, infinite while there
        is none. Whoever finds it passed knows that this very object hangs."""
        return self._link.due + END_WITHIN if self._link is not None else self._due

    @property
    def left_out(self) -> Mapping[str, str]:
        """Encoders that failed and are not tried for now, and why."""
        return self._left_out.reasons

    @property
    def held_by(self) -> int | None:
        return self._child.pid if self._child is not None and self._child.returncode is None else None

    async def run(self, sink: UnitSink, begin: Begin | None = None) -> None:
        """Open, deliver until broken, release. Raises CaptureError; cancelling it ends the child within a second.

        With `begin` a child is started at once, loads what it needs, and opens the device when `begin` returns."""
        self._refuse_unfinished_child()
        self._refuse_missing_device()
        self._due = time.monotonic() + BEGIN_WITHIN
        try:
            await self._capture(sink, begin)
        finally:
            self._due = math.inf

    async def _capture(self, sink: UnitSink, begin: Begin | None) -> None:
        error = await self._attempt(sink, begin)
        while error is None:
            error = await self._attempt(sink, None)
        raise error

    async def _attempt(self, sink: UnitSink, begin: Begin | None) -> CaptureError | None:
        """One child, from start to end; None when another one would have a better encoder."""
        async with capture_child(self.name) as (child, sock):
            self._child = child
            if begin is not None:
                await self._stand_by(child, begin)
            with starting(self.name):
                link = await self._connect(sock, sink)
            log.debug("capture.started", camera=self.name, pid=child.pid)
            retrial = asyncio.create_task(self._retry_encoders(link), name=f"{self.name} encoder retrial")
            waiting: set[asyncio.Future[Any]] = {link.broken, retrial}
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                error = (link.broken.result() or await self._death(child)) if link.broken.done() else None
            finally:
                retrial.cancel()
                self._link = None
                link.close()
                self._due = time.monotonic() + END_WITHIN
                await asyncio.wait({retrial})
            if error is not None:
                self._unsuited |= error.code == UNSUITED
                self._remember_encoder(link, error, child.stderr)
            return error

    async def _retry_encoders(self, link: ChildLink) -> None:
        """Returns when an encoder works that the child would rather have had."""
        while True:
            wait, due = self._left_out.interval, self._left_out.next()
            if due is not None:
                wait = min(wait, max(LOOK_EVERY, due[1] - time.monotonic()))
            await asyncio.sleep(wait)
            info = link.info
            if info is None or info.encoder not in CANDIDATES:
                continue
            failed = due is not None and due[1] <= time.monotonic()
            name = due[0] if due is not None and failed else info.busy_encoder
            if failed and name not in CANDIDATES:  # only with the camera's own buffers: in the next child
                self._left_out.forgive(name)
                continue
            if name and await encodes(self.name, name, self._config(), info, self._limits):
                self._left_out.forgive(name)
                log.info("encoder.works_again", camera=self.name, encoder=name)
                return
            if failed:
                self._left_out.add(name, "it failed again")

    async def _stand_by(self, child: Child, begin: Begin) -> None:
        """Until `begin` returns, while the device is there and the child lives: it waits for its first message."""
        self._due = math.inf
        waiting = asyncio.ensure_future(begin())
        try:
            while not waiting.done():
                await asyncio.wait({waiting, child.silent}, timeout=LOOK_EVERY, return_when=asyncio.FIRST_COMPLETED)
                self._refuse_missing_device()
                if child.silent.done():
                    raise await self._death(child)
            waiting.result()
        finally:
            waiting.cancel()
            await asyncio.wait({waiting})
        self._due = time.monotonic() + BEGIN_WITHIN

    def reconfigure(self, settings: CameraSettings) -> None:
        """Other settings for the next child. Another device has nothing to do with whoever is held by the present one, and another
        picture or choice may suit an encoder that failed."""
        before = self._settings
        if (settings.source, settings.device, settings.camera) != (before.source, before.device, before.camera):
            self._child = None
        if (settings.source, settings.effective, settings.encoder) != (before.source, before.effective, before.encoder):
            self._left_out.clear()
        self._left_out.interval = settings.encoder_retry
        self._settings = settings
        if settings.controls != before.controls:
            self._set_controls.clear()
            if self._link is not None:
                self._link.tell_controls(settings.controls)

    async def set_controls(self, values: Mapping[str, object]) -> ControlsNow:
        """Set the camera's controls by name, without opening it anew; what it took is kept for the next process too. How all of
        them stand then. Raises CaptureError (camera-closed, camera-stalled)."""
        if self._link is None:
            raise closed(self.name)
        now = await self._link.set_controls(values)
        self._set_controls |= {name: value for name, value in values.items() if name not in now.refused}
        return now

    def apply(self, demand: EncoderDemand) -> None:
        """Pass a demand to the encoder; dropped silently while the camera is not open."""
        if self._link is not None:
            self._link.apply(demand)

    async def _connect(self, sock: socket.socket, sink: UnitSink) -> ChildLink:
        config = wire.encode_json(wire.Kind.CONFIG, asdict(self._config()))
        loop = asyncio.get_running_loop()
        _transport, link = await loop.create_unix_connection(
            lambda: ChildLink(self.name, config, self._limits, sink, self._timestamps), sock=sock
        )
        self._link = link
        return link

    @property
    def _limits(self) -> Limits:
        return Limits(start=self._settings.start_limit, stall=self._settings.stall_timeout)

    def _config(self) -> ChildConfig:
        settings, quality = self._settings, self._settings.effective
        return ChildConfig(
            title=settings.title or self.name,
            source=settings.source,
            device=node(settings.device) if settings.source == "v4l2" else settings.device,
            input_format=settings.input_format,
            path=settings.path,
            url=settings.url,
            username=settings.username,
            password=settings.password.get_secret_value(),
            transport=settings.transport,
            transcode=settings.transcode == "always" or self._unsuited,
            width=quality.width,
            height=quality.height,
            fps=quality.fps,
            bitrate_bps=settings.ceiling_bps,
            renditions=settings.renditions,
            keyframe_interval=settings.keyframe_interval,
            encoder=settings.encoder,
            stall_timeout=settings.stall_timeout,
            controls={**settings.controls, **self._set_controls},
            overlay=settings.overlay,
            overlay_corner=settings.overlay_corner,
            picture_check=settings.picture_check,
            skip_encoders=dict(self._left_out.reasons),
            camera=settings.camera,
            rotation=settings.rotation,
            hflip=settings.hflip,
            vflip=settings.vflip,
            roi=settings.roi,
            lores=settings.lores,
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
        device = node(self._settings.device)
        try:
            there = Path(device).exists()
        except OSError:
            return  # the child is refused too, and knows the words
        if not there:
            raise absent(device)

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

    def _remember_encoder(self, link: ChildLink, error: CaptureError, stderr: Iterable[str]) -> None:
        """Leave out an encoder from which a child did not come back."""
        suspect = ""
        if link.phase.startswith(PROBING) and error.code in {"encoder-failed", "capture-crashed"}:
            suspect = link.phase.removeprefix(PROBING)
        elif link.info is not None and (link.encoder_stuck or error.code == "encoder-failed" or crashed_encoding(stderr)):
            suspect = link.info.encoder
        if suspect and suspect != SOFTWARE and self._settings.encoder == "auto":
            wait = self._left_out.add(suspect, "it hung, crashed or failed")
            log.warning("encoder.left_out", camera=self.name, encoder=suspect, again_after=wait)


def signal_name(number: int) -> str:
    """SIGSEGV; of the real-time signals only the first and the last have names."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def crashed_encoding(stderr: Iterable[str]) -> bool:
    """Whether Python's fault handler says that the thread that crashed was inside an encoder."""
    lines = iter(stderr)
    for line in lines:
        if line.startswith("Current thread"):
            return "encoder.py" in next(lines, "")
    return False


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
