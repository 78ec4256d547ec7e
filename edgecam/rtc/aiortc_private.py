"""Everything that reaches into aiortc or aioice beyond their public API. Nothing else may.

Checked on aiortc 1.11, 1.15 and the newest by tests/contract/; each function names what it relies on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aioice.ice
import aioice.turn
import aiortc
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender

# aioice asks for consent (RFC 7675) every CONSENT_INTERVAL * [0.8, 1.2] seconds, waits half a second for the answer,
# and gives up after CONSENT_FAILURES in a row: 5 * (1.2 + 0.5) = 8.5 s at the latest, instead of its 33 s.
CONSENT_INTERVAL = 1
CONSENT_FAILURES = 5


def hasten_consent() -> None:
    """Notice a vanished peer within 10 s. Relies on aioice.ice.CONSENT_INTERVAL and CONSENT_FAILURES being read at
    every check."""
    aioice.ice.CONSENT_INTERVAL = CONSENT_INTERVAL
    aioice.ice.CONSENT_FAILURES = CONSENT_FAILURES


def mend_turn_leak() -> None:
    """Close a TURN client's socket when its allocation is given up. aioice 0.10 does so for errors but not when
    gathering is cancelled or times out. Relies on TurnTransport._connect and its `__inner_protocol`; idempotent."""
    transport: Any = aioice.turn.TurnTransport
    connect = transport._connect
    if getattr(connect, "mended", False):
        return

    async def connect_or_close(self: Any, protocol: Any) -> None:
        try:
            await connect(self, protocol)
        except BaseException:
            self._TurnTransport__inner_protocol.transport.close()
            raise

    connect_or_close.mended = True  # type: ignore[attr-defined]
    transport._connect = connect_or_close


def configuration(ice_servers: list[Any], *, relay_only: bool) -> RTCConfiguration:
    """An RTCConfiguration; `relay_only` needs `relay_policy` on the peer connection too where aiortc is older."""
    policy: Any = getattr(aiortc, "RTCIceTransportPolicy", None)  # since aiortc 1.16
    if relay_only and policy is not None:
        return RTCConfiguration(iceServers=ice_servers, iceTransportPolicy=policy.RELAY)
    return RTCConfiguration(iceServers=ice_servers)


def enforce_relay(pc: RTCPeerConnection) -> None:
    """Gather relay candidates only, on every transport, also before aiortc 1.16. Relies on each ICE transport's
    `_connection` being an aioice.Connection with `_transport_policy`. Call before gathering."""
    owners: list[Any] = [transceiver.sender for transceiver in pc.getTransceivers()]
    owners += [pc.sctp] if pc.sctp is not None else []
    for owner in owners:
        connection = owner.transport.transport._connection
        if not hasattr(connection, "_transport_policy"):
            raise AttributeError("aioice.Connection has no _transport_policy")
        connection._transport_policy = aioice.TransportPolicy.RELAY


def hasten_connect(sender: RTCRtpSender) -> None:
    """Go on to DTLS the moment ICE has a nominated pair. aioice looks every 20 ms whether its checks are over, which
    delays each viewer's first picture by as much. Call once the transports are bundled, before the session connects.

    Relies on aiortc awaiting `_connection.connect()` found on the instance, on aioice calling `check_complete(pair)`
    on the instance when a check has ended, and on `_nominated[1]` being what data is sent to.
    """
    connection: Any = sender.transport.transport._connection
    connect, check_complete = connection.connect, connection.check_complete
    nominated = asyncio.Event()

    def complete(pair: Any) -> None:
        check_complete(pair)
        if connection._nominated.get(1) is not None:
            nominated.set()

    async def connect_wholly() -> None:
        await connect()
        if not connection._nominated and connection._query_consent_task is not None:
            # Closed meanwhile: aioice has just begun to ask for consent, and nobody would ever end that.
            connection._query_consent_task.cancel()

    async def connect_at_once() -> None:
        # What is left of connect() after nomination (ending other checks, starting to ask for consent) may come later.
        whole = asyncio.create_task(connect_wholly(), name="ice connect")
        whole.add_done_callback(lambda task: task.cancelled() or task.exception())
        early = asyncio.create_task(nominated.wait(), name="ice nomination")
        try:
            await asyncio.wait({whole, early}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            whole.cancel()
            raise
        finally:
            early.cancel()
        if whole.done():
            whole.result()

    connection.check_complete, connection.connect = complete, connect_at_once


def observe_rtcp(sender: RTCRtpSender, observer: Callable[[bytes], bool]) -> None:
    """Show every decrypted RTCP compound to `observer` before aiortc parses it, which it does only if told so: aiortc
    neither passes feedback on for pre-encoded packets, nor routes FIR before 1.14, nor bounds retransmissions. Relies on
    RTCDtlsTransport looking up `_handle_rtcp_data` on the instance for every datagram."""
    transport: Any = sender.transport
    forward = transport._handle_rtcp_data

    async def handle(data: bytes) -> None:
        if observer(data):
            await forward(data)

    transport._handle_rtcp_data = handle


@dataclass(frozen=True, slots=True)
class SelectedPath:
    """The nominated candidate pair: candidate types (host, srflx, prflx, relay) and the remote address."""

    local_type: str
    remote_type: str
    remote_address: str

    @property
    def kind(self) -> str:
        return "relay" if "relay" in {self.local_type, self.remote_type} else "direct"


def selected_path(sender: RTCRtpSender) -> SelectedPath | None:
    """The path media takes now, None before ICE has chosen. Relies on aioice.Connection._nominated[1]."""
    pair = sender.transport.transport._connection._nominated.get(1)
    if pair is None:
        return None
    return SelectedPath(
        pair.protocol.local_candidate.type,
        pair.remote_candidate.type,
        f"{pair.remote_addr[0]}:{pair.remote_addr[1]}",
    )


def media_ssrc(sender: RTCRtpSender) -> int:
    """The SSRC of the sender's RTP stream. Relies on RTCRtpSender._ssrc."""
    return int(sender._ssrc)


def has_consent(pc: RTCPeerConnection) -> bool:
    """Whether the peer connection's ICE consent is fresh: aioice closes the connection when it is not."""
    return bool(pc.iceConnectionState == "completed")
