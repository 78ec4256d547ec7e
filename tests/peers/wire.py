"""What goes over a viewer's wire: RTCP of any content through its SRTP session, and what the camera sends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from struct import unpack_from
from typing import Any

import pytest
from aiortc import rtcrtpreceiver

from tests.peers.viewer import Viewer


async def send_rtcp(viewer: Viewer, compound: bytes) -> None:
    """Encrypt `compound`, which begins with a whole RTCP header (8 bytes), and send it, whatever it says."""
    dtls = viewer.receiver.transport
    await dtls.transport._send(dtls._tx_srtp.protect_rtcp(compound))


@dataclass
class Sent:
    """Datagrams from the camera: how many RTP packets by SSRC, how many RTCP compounds; `first` is called at the first
    RTP packet."""

    rtp: dict[int, int] = field(default_factory=dict)
    rtcp: int = 0
    first: Callable[[], None] | None = None

    def note(self, data: bytes) -> None:
        if len(data) < 12 or not 127 < data[0] < 192:
            return
        if 191 < data[1] < 224:
            self.rtcp += 1
        else:
            (ssrc,) = unpack_from("!I", data, 8)
            self.rtp[ssrc] = self.rtp.get(ssrc, 0) + 1
            if self.first is not None:
                self.first()
                self.first = None


def count_sending(viewer: Viewer) -> Sent:
    """Count from now on what the camera sends to this viewer."""
    sent = Sent()
    connection: Any = viewer.receiver.transport.transport._connection
    forward = connection.data_received

    def data_received(data: bytes | None, component: int | None) -> None:
        sent.note(data or b"")
        forward(data, component)

    connection.data_received = data_received
    return sent


def without_decoder(patch: pytest.MonkeyPatch) -> None:
    """Receivers decode nothing from now on: a machine of two cores could not, for dozens of them."""

    def swallow(_loop: asyncio.AbstractEventLoop, input_queue: Any, *_rest: Any) -> None:
        while input_queue.get() is not None:
            pass

    patch.setattr(rtcrtpreceiver, "decoder_worker", swallow)


@asynccontextmanager
async def crowd(size: int) -> AsyncIterator[list[Viewer]]:
    """So many viewers, closed at the end."""
    viewers = [Viewer() for _ in range(size)]
    try:
        yield viewers
    finally:
        await asyncio.gather(*(viewer.__aexit__(None, None, None) for viewer in viewers))
