"""The daemon's end of the line to a microphone's or a loudspeaker's process, and that process's life."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from edgecam.capture import wire
from edgecam.capture.childlink import IMPORT_TIMEOUT, MAX_UNREAD_DEMANDS, Deadline
from edgecam.capture.spawn import Child, capture_child, starting
from edgecam.capture.wire import Kind, MessageBuffer, WireError
from edgecam.errors import CaptureError
from edgecam.media.types import SoundPacket

OPEN_WITHIN = 10.0  # seconds
SILENT_WITHIN = 2.0  # seconds without a packet: a microphone gives them even when nobody speaks
EXIT_GRACE = 1.0  # seconds between a process's hanging up and its end


class SoundLink(asyncio.BufferedProtocol):
    """`broken` gets a CaptureError when the process says what went wrong or goes silent, None when it has hung up without a word.
    `what` is microphone or speaker: error codes begin with it. A process with `heard` is to send sound for ever."""

    def __init__(
        self,
        what: str,
        config: Mapping[str, object],
        opened: Callable[[str], None],
        heard: Callable[[SoundPacket], None] | None = None,
    ) -> None:
        self.broken: asyncio.Future[CaptureError | None] = asyncio.get_running_loop().create_future()
        self.is_open = False
        self._what = what
        self._config = config
        self._opened = opened
        self._heard = heard
        self._messages = MessageBuffer(64 << 10)
        self._deadline = Deadline(self._stalled)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(wire.encode_json(Kind.CONFIG, self._config))
        self._deadline.move(IMPORT_TIMEOUT)

    def send(self, message: bytes) -> None:
        """Dropped when the process does not read."""
        transport = self._transport
        if transport is not None and not transport.is_closing() and transport.get_write_buffer_size() <= MAX_UNREAD_DEMANDS:
            transport.write(message)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._messages.free()

    def buffer_updated(self, nbytes: int) -> None:
        try:
            for kind, payload in self._messages.received(nbytes):
                self._take(kind, payload)
        except WireError as error:
            self._break(CaptureError(f"the {self._what}'s process sent nonsense: {error}", code=f"{self._what}-io"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._break(None)

    def close(self) -> None:
        """Hang up and forget the deadline."""
        self._deadline.stop()
        if self._transport is not None:
            self._transport.abort()

    def _take(self, kind: Kind, payload: memoryview) -> None:
        if kind is Kind.UNIT and self._heard is not None:
            _, _, captured_ns, data = wire.decode_unit(payload)
            if len(data) <= wire.SOUND.size:
                raise WireError("sound without sound")
            self._deadline.move(SILENT_WITHIN)
            self._heard(SoundPacket(data[wire.SOUND.size :], wire.SOUND.unpack_from(data)[0], captured_ns))
        elif kind is Kind.PHASE:
            self._deadline.move(OPEN_WITHIN)
        elif kind is Kind.OPENED:
            self._deadline.stop()
            if self._heard is not None:
                self._deadline.move(OPEN_WITHIN)
            self.is_open = True
            self._opened(str(wire.decode_json(payload).get("source")))
        elif kind is Kind.FAILED:
            failure = wire.decode_failure(payload)
            self._break(CaptureError(failure.message, code=failure.code, remedy=failure.remedy))
        else:
            raise WireError(f"{kind.name} is not for the daemon")

    def _stalled(self) -> None:
        did = "gave no sound" if self.is_open else "did not open"
        error = CaptureError(f"the {self._what} {did} in time", remedy="unplug it and plug it in again", code=f"{self._what}-stalled")
        self._break(error)

    def _break(self, error: CaptureError | None) -> None:
        self._deadline.stop()
        if not self.broken.done():
            self.broken.set_result(error)


class SoundDevice:
    """A sound device of one camera, in a process of its own: `attend` may be called again and again, one at a time."""

    def __init__(self, camera: str, what: str, module: str) -> None:
        self.link: SoundLink | None = None
        self._camera = camera
        self._what = what
        self._module = module
        self._child: Child | None = None  # the last one started; it may have outlived the attempt to kill it

    async def attend(
        self,
        config: Mapping[str, object],
        opened: Callable[[str], None],
        heard: Callable[[SoundPacket], None] | None = None,
    ) -> None:
        """Until it breaks. Raises CaptureError; cancelling it ends the process within a second."""
        if self._child is not None and self._child.returncode is None:
            held = f"a driver holds process {self._child.pid} of this {self._what}"
            raise CaptureError(held, remedy="unplug it; reboot if that does not help", code=f"{self._what}-stalled")
        async with capture_child(self._camera, self._module) as (child, sock):
            self._child = child
            with starting(self._camera):
                _, link = await asyncio.get_running_loop().create_unix_connection(
                    lambda: SoundLink(self._what, config, opened, heard), sock=sock
                )
            self.link = link
            try:
                error = await link.broken
            finally:
                self.link = None
                link.close()
            raise error or await self._death(child)

    async def _death(self, child: Child) -> CaptureError:
        await child.exited(EXIT_GRACE)
        said = f": {child.stderr[-1]}" if child.stderr else ""
        return CaptureError(
            f"the {self._what}'s process ended with {child.returncode}{said}", remedy="it is started again", code=f"{self._what}-io"
        )
