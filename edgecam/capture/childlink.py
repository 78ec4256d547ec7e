"""The daemon's end of the line to a capture process: messages in, deadlines kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import structlog

from edgecam.capture import wire
from edgecam.capture.wire import Kind, MessageBuffer, WireError
from edgecam.errors import CaptureError
from edgecam.media.types import RTP_CLOCK, AccessUnit, CaptureReport, ControlsNow, EncoderDemand, StreamInfo, UnitSink

log = structlog.get_logger(__name__)

# Seconds from spawning to the first word. No device is open yet that could hang, and Python and FFmpeg load slowly from an SD card
# of a machine that is busy: giving up too early, again and again, would be never to begin.
IMPORT_TIMEOUT = 60.0
ANSWER_WITHIN = 3.0  # seconds for an answer about controls
MAX_UNREAD_DEMANDS = 64 << 10  # bytes; a child that reads nothing gets no more demands
SLOWEST_PICTURES = 2.5  # picture intervals that are never a stall
MAX_AHEAD_NS = 1_000_000_000  # far beyond the few milliseconds by which a driver's clock may lead
PROBING = "probing "  # in front of the encoder's name, in a phase


class Timestamps:
    """CLOCK_MONOTONIC nanoseconds to 90 kHz ticks, strictly increasing for the life of a camera, restarts included, in
    each rendition by itself: the same picture has the same time in all of them."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}

    def next(self, captured_ns: int, rendition: int = 0) -> int:
        ticks = max(self._last.get(rendition, -1) + 1, captured_ns * RTP_CLOCK // 1_000_000_000)
        self._last[rendition] = ticks
        return ticks


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that a step of opening may take, and that may pass between two units."""

    start: float
    stall: float

    def at_least(self, seconds: float) -> Limits:
        """Limits that a camera of one picture in many seconds can keep."""
        return Limits(max(self.start, seconds), max(self.stall, seconds))


class Deadline:
    """Calls back once nothing has been heard for long enough. Cheap to move: one timer, not one per picture."""

    def __init__(self, expired: Callable[[], None]) -> None:
        self._expired = expired
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def move(self, seconds: float) -> None:
        """Expire `seconds` from now, unless moved again."""
        self._due = self._loop.time() + seconds
        if self._timer is None:
            self._timer = self._loop.call_at(self._due, self._check)
        elif self._timer.when() > self._due:
            self.stop()
            self._timer = self._loop.call_at(self._due, self._check)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def due(self) -> float:
        """When it expires as things are, CLOCK_MONOTONIC seconds, which is what asyncio counts in."""
        return self._due

    def _check(self) -> None:
        self._timer = None
        if self._loop.time() < self._due:
            self._timer = self._loop.call_at(self._due, self._check)
        else:
            self._expired()


class ChildLink(asyncio.BufferedProtocol):
    """Feeds a sink with what one capture process sends.

    `broken` gets a CaptureError when the child says what went wrong or goes silent, and None when its end of the line
    closes: it died, and how it died says why. `phase` is what the child was last known to be doing.
    """

    def __init__(self, camera: str, config: bytes, limits: Limits, sink: UnitSink, timestamps: Timestamps) -> None:
        self.broken: asyncio.Future[CaptureError | None] = asyncio.get_running_loop().create_future()
        self.phase = "starting"
        self.info: StreamInfo | None = None
        self.encoder_stuck = False  # between the last two reports the camera made pictures and the encoder none
        self._camera = camera
        self._config = config
        self._limits = limits
        self._sink = sink
        self._timestamps = timestamps
        self._messages = MessageBuffer()
        self._report: CaptureReport | None = None
        self._deadline = Deadline(self._stalled)
        self._transport: asyncio.Transport | None = None
        self._asked = 0  # questions about controls
        self._answers: dict[int, asyncio.Future[ControlsNow]] = {}  # that somebody waits for, by the question's number

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._config)
        self._deadline.move(IMPORT_TIMEOUT)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._messages.free()

    def buffer_updated(self, nbytes: int) -> None:
        received_ns = time.monotonic_ns()
        try:
            for kind, payload in self._messages.received(nbytes):
                if kind is Kind.UNIT:
                    self._take_unit(payload, received_ns)
                else:
                    self._take(kind, payload)
        except WireError as error:
            self._break(
                CaptureError(
                    f"the capture process of {self._camera} sent nonsense: {error}",
                    code="capture-crashed",
                    remedy="restart edgecam if it was updated meanwhile",
                )
            )

    def connection_lost(self, exc: Exception | None) -> None:
        self._break(None)

    def apply(self, demand: EncoderDemand) -> None:
        """Pass a demand on; dropped when the child does not read."""
        transport = self._transport
        if transport is None or transport.is_closing() or transport.get_write_buffer_size() > MAX_UNREAD_DEMANDS:
            return
        transport.write(wire.encode_json(Kind.DEMAND, asdict(demand)))

    def tell_controls(self, values: Mapping[str, object]) -> int:
        """Set the camera's controls once it is open, and wait for nothing: what is refused is logged. The question's number."""
        self._asked += 1
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(wire.encode_json(Kind.CONTROLS, {"id": self._asked, "values": values}))
        return self._asked

    async def set_controls(self, values: Mapping[str, object]) -> ControlsNow:
        """Set controls of the open camera; how all of them stand then. Raises CaptureError (camera-closed, camera-stalled)."""
        if self.info is None or self.broken.done():
            raise closed(self._camera)
        number = self.tell_controls(values)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            return await asyncio.wait_for(answer, ANSWER_WITHIN)
        except TimeoutError:
            raise CaptureError(f"camera {self._camera} does not answer", remedy="see edgecam status", code="camera-stalled") from None
        finally:
            del self._answers[number]

    @property
    def due(self) -> float:
        """By when the child is to be heard of, or has broken; CLOCK_MONOTONIC seconds."""
        return self._deadline.due

    def close(self) -> None:
        """Hang up and forget the deadline."""
        self._deadline.stop()
        if self._transport is not None:
            self._transport.abort()

    def _take_unit(self, payload: memoryview, received_ns: int) -> None:
        keyframe, rendition, captured_ns, data = wire.decode_unit(payload)
        if rendition and (self.info is None or rendition > len(self.info.lower)):
            raise WireError("a rendition that there is not")
        if captured_ns > received_ns + MAX_AHEAD_NS:  # believed, it would hold the clock of all later ones
            raise WireError("a picture from the future")
        self._deadline.move(self._limits.stall)
        self.phase = "running"
        timestamp = self._timestamps.next(captured_ns, rendition)
        self._sink.unit(AccessUnit(data, keyframe, timestamp, captured_ns, received_ns, rendition))

    def _take(self, kind: Kind, payload: memoryview) -> None:
        if kind is Kind.PHASE:
            self.phase = wire.decode_phase(payload)
            self._deadline.move(self._limits.start)
        elif kind is Kind.OPENED:
            self.info = wire.decode_info(payload)
            self.phase = "opened"
            self._limits = self._limits.at_least(SLOWEST_PICTURES / self.info.fps)
            self._deadline.move(self._limits.start)
            self._sink.opened(self.info)
        elif kind is Kind.REPORT:
            self._take_report(wire.decode_report(payload))
        elif kind is Kind.CONTROLS:
            self._take_controls(*wire.decode_controls(payload))
        elif kind is Kind.FAILED:
            failure = wire.decode_failure(payload)
            self._break(CaptureError(failure.message, code=failure.code, remedy=failure.remedy))
        else:
            raise WireError(f"{kind.name} is not for the daemon")

    def _take_controls(self, number: int, now: ControlsNow) -> None:
        if now.refused:
            log.warning("camera.controls_refused", camera=self._camera, detail="; ".join(now.refused.values()))
        answer = self._answers.get(number)
        if answer is not None and not answer.done():
            answer.set_result(now)

    def _take_report(self, report: CaptureReport) -> None:
        before, self._report = self._report, report
        if before is not None:
            moving = report.frames_captured > before.frames_captured
            self.encoder_stuck = moving and report.units_encoded == before.units_encoded
        self._sink.report(report)

    def _stalled(self) -> None:
        self._break(stall_error(self._camera, self.phase, self._limits, self.encoder_stuck))

    def _break(self, error: CaptureError | None) -> None:
        self._deadline.stop()
        if not self.broken.done():
            self.broken.set_result(error)
            if self._transport is not None:
                self._transport.abort()  # nothing that comes after is believed


def closed(camera: str) -> CaptureError:
    """It cannot be asked for its controls."""
    return CaptureError(f"camera {camera} is closed", remedy="its controls can be set while it is open", code="camera-closed")


def stall_error(camera: str, phase: str, limits: Limits, encoder_stuck: bool) -> CaptureError:
    """What to say of a child that went silent while it was doing `phase`."""
    if phase == "starting":
        message, remedy = (
            f"the capture process did not start within {IMPORT_TIMEOUT:g} s",
            "look for an overloaded machine",
        )
    elif phase.startswith(PROBING):
        name = phase.removeprefix(PROBING)
        message, remedy = (
            f"the encoder {name} did not answer within {limits.start:g} s",
            "set encoder to another one",
        )
        return CaptureError(f"camera {camera}: {message}", remedy=remedy, code="encoder-failed")
    elif phase == "opening":
        message = f"opening took longer than {limits.start:g} s"
        remedy = "unplug the camera and plug it in again, or raise start_timeout"
    elif phase == "opened":
        message = f"no picture within {limits.start:g} s of opening"
        remedy = "unplug the camera and plug it in again, or raise start_timeout"
    elif encoder_stuck:
        message, remedy = (
            "the camera delivers and the encoder does not",
            'set encoder = "libx264" if this repeats',
        )
    else:
        message = f"no picture for {limits.stall:g} s"
        remedy = "check the cable and the power supply, or raise stall_timeout"
    return CaptureError(f"camera {camera}: {message}", remedy=remedy, code="camera-stalled")
