"""Everything that reaches into aiortc beyond its public API. Nothing else may.

Checked on aiortc 1.11, 1.15 and the newest by tests/contract/; each function names what it relies on.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import pylibsrtp
from aiortc import (
    InvalidStateError,
    RTCPeerConnection,
    RTCRtpSender,
    RTCRtpTransceiver,
    RTCSctpTransport,
    rtcdtlstransport,
)
from aiortc.codecs import CODECS, HEADER_EXTENSIONS, is_rtx
from aiortc.rtcrtpparameters import RTCRtcpFeedback, RTCRtpHeaderExtensionParameters, RTCRtpSendParameters
from aiortc.stats import RTCStatsReport
from pylibsrtp import _binding as srtp_binding

from edgecam.rtc.allowance import Allowance
from edgecam.rtc.ice.agent import Agent

# Browsers send some dozens of compounds a second when they have lost much; decrypting one costs as much as reading it.
RTCP_PER_SECOND = 200.0
RTCP_BURST = 100.0


def extend_video_negotiation(extensions: Iterable[tuple[int, str]], feedback: Iterable[tuple[str, str]]) -> None:
    """Add header extensions (id in our offers, URI) and rtcp-fb (type, parameter) to what is offered and accepted for
    video, by every peer connection of the process; idempotent. Relies on aiortc.codecs.HEADER_EXTENSIONS and CODECS
    being read at each negotiation, and on aiortc's receivers passing over extensions that they do not know."""
    known: list[Any] = HEADER_EXTENSIONS["video"]
    for number, uri in extensions:
        if uri not in {extension.uri for extension in known}:
            known.append(RTCRtpHeaderExtensionParameters(id=number, uri=uri))
    for codec in CODECS["video"]:
        for kind, parameter in feedback:
            wanted = RTCRtcpFeedback(type=kind, parameter=parameter)
            if not is_rtx(codec) and wanted not in codec.rtcpFeedback:
                codec.rtcpFeedback.append(wanted)


def replace_ice(pc: RTCPeerConnection, make: Callable[[], Agent]) -> dict[str | None, Agent]:
    """Put an agent of ours in the place of each transport's aioice.Connection, which has done nothing yet; returns them by
    mid (None before there are mids), the same one for sections that are bundled. Call before gathering.

    Relies on RTCIceTransport and its RTCIceGatherer using `_connection`, `_recv` and `_send`, and of the connection only
    what `Agent` has: local_username, local_password, local_candidates, gather_candidates, add_remote_candidate,
    remote_candidates, remote_username, remote_password, remote_is_lite, ice_controlling, connect, get_event, close."""
    agents: dict[str | None, Agent] = {}
    owners: list[tuple[str | None, Any]] = [(transceiver.mid, transceiver.sender) for transceiver in pc.getTransceivers()]
    owners += [(pc.sctp.mid, pc.sctp)] if pc.sctp is not None else []
    for mid, owner in owners:
        transport: Any = owner.transport.transport
        if not isinstance(transport._connection, Agent):
            agent = make()
            agent.ice_controlling = transport._connection.ice_controlling
            transport._connection = transport.iceGatherer._connection = agent
            transport._recv, transport._send = agent.recv, agent.send
        agents[mid] = transport._connection
    return agents


def connect_quietly(pc: RTCPeerConnection) -> None:
    """Have a connection whose transport closes before connecting has begun end without a traceback in the log: whoever closed
    it knows. Relies on RTCPeerConnection making a task of `__connect` found on the instance."""
    instance: Any = pc
    connect = instance._RTCPeerConnection__connect

    async def connect_unless_closed() -> None:
        with suppress(InvalidStateError):
            await connect()

    instance._RTCPeerConnection__connect = connect_unless_closed


def observe_rtcp(sender: RTCRtpSender, observer: Callable[[bytes], bool]) -> None:
    """Show every decrypted RTCP compound to `observer` before aiortc parses it, which it does only if told so: aiortc
    neither passes feedback on for pre-encoded packets, nor routes FIR before 1.14, nor bounds retransmissions. Relies on
    RTCDtlsTransport looking up `_handle_rtcp_data` on the instance for every datagram."""
    transport: Any = sender.transport
    forward = transport._handle_rtcp_data

    async def handle(data: bytes) -> None:
        if observer(data):
            with suppress(struct.error):  # a REMB that names fewer SSRCs than it says ended the session
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
    """The path media takes now, None before ICE has chosen. Relies on RTCIceTransport._connection."""
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
    """Whether the peer connection's ICE consent is fresh: our agent closes itself when it is not."""
    return bool(pc.iceConnectionState == "completed")


# sending past aiortc's own sender


def receive_nothing(transceiver: RTCRtpTransceiver) -> None:
    """Free what a transceiver that never receives holds for receiving: some 110 kB of counters. Relies on RTCRtpReceiver's
    `__remote_bitrate_estimator` being None for audio, which says that the receiver can do without."""
    receiver: Any = transceiver.receiver
    if not hasattr(receiver, "_RTCRtpReceiver__remote_bitrate_estimator"):
        raise AttributeError("RTCRtpReceiver has no __remote_bitrate_estimator")
    receiver._RTCRtpReceiver__remote_bitrate_estimator = None


def share_ssrcs(sender: RTCRtpSender, ssrc: int, rtx_ssrc: int) -> None:
    """Give the sender these instead of its own random ones, before it is described. Relies on RTCRtpSender._ssrc and _rtx_ssrc
    being what aiortc announces and stamps."""
    instance: Any = sender
    if not isinstance(instance._ssrc, int) or not isinstance(instance._rtx_ssrc, int):
        raise TypeError("RTCRtpSender has other SSRCs than it had")
    instance._ssrc, instance._rtx_ssrc = ssrc, rtx_ssrc


def rtx_ssrc(sender: RTCRtpSender) -> int:
    """The SSRC of the sender's retransmissions. Relies on RTCRtpSender._rtx_ssrc, which aiortc announces in its SDP."""
    return int(sender._rtx_ssrc)


def replace_sending(
    sender: RTCRtpSender,
    send: Callable[[RTCRtpSendParameters], Awaitable[None]],
    stop: Callable[[], Awaitable[None]],
    get_stats: Callable[[], Awaitable[RTCStatsReport]],
) -> None:
    """Have the peer connection call these instead of the sender's own methods, for this one sender. Relies on aiortc
    looking `send` and `stop` up on the instance, and calling `send` once DTLS is connected."""
    instance: Any = sender
    instance.send, instance.stop, instance.getStats = send, stop, get_stats


def restore_sending(sender: RTCRtpSender) -> None:
    """Undo `replace_sending`."""
    for name in ("send", "stop", "getStats"):
        vars(sender).pop(name, None)


# The profiles that aiortc negotiates, and by how much each makes a packet longer (RFC 5764, RFC 7714).
_TAG_LENGTHS = {b"SRTP_AEAD_AES_256_GCM": 16, b"SRTP_AEAD_AES_128_GCM": 16, b"SRTP_AES128_CM_SHA1_80": 10}


@dataclass(frozen=True, slots=True)
class OutboundSrtp:
    """What encrypts for one viewer. `context` is libsrtp's own, alive as long as `session` is."""

    session: Any
    context: Any
    profile: str
    tag_length: int  # bytes


def outbound_srtp(sender: RTCRtpSender) -> OutboundSrtp:
    """Of a sender whose DTLS is connected. Relies on RTCDtlsTransport._tx_srtp being a pylibsrtp.Session with the
    libsrtp context in `_srtp[0]`, and on `_ssl` telling the negotiated profile. Raises when that is not so."""
    transport: Any = sender.transport
    session = transport._tx_srtp
    profile = transport._ssl.get_selected_srtp_profile()
    if not isinstance(session, pylibsrtp.Session):
        raise TypeError("the DTLS transport has no SRTP session of pylibsrtp")
    return OutboundSrtp(session, session._srtp[0], profile.decode(), _TAG_LENGTHS[profile])


def address_of(memory: memoryview) -> Any:
    """C pointer to writable memory, which it keeps alive. Relies on pylibsrtp._binding.ffi."""
    return srtp_binding.ffi.from_buffer("char[]", memory, require_writable=True)


def c_integers(count: int) -> tuple[Any, memoryview]:
    """A C array of int, whose elements' addresses are `array + index`, and its bytes."""
    array = srtp_binding.ffi.new("int[]", count)
    return array, memoryview(srtp_binding.ffi.buffer(array))


# What pylibsrtp raises.
SrtpError: type[Exception] = pylibsrtp.Error

# srtp_protect(context, pointer to a packet with room for its tag, pointer to its length) encrypts in place; 0 means it did.
srtp_protect: Any = srtp_binding.lib.srtp_protect


class NominatedPairs(Protocol):
    """ICE's nominated candidate pairs by component; emptied when the connection is closed."""

    def get(self, component: int) -> Any: ...


def nominated_pairs(sender: RTCRtpSender) -> NominatedPairs:
    """The live mapping. Relies on RTCIceTransport._connection; `Agent` never replaces it."""
    pairs: NominatedPairs = sender.transport.transport._connection._nominated
    return pairs


def remote_address(pair: Any) -> tuple[str, int]:
    """Where a candidate pair sends to. A `Pair` has aioice's names."""
    host, port = pair.remote_addr
    return str(host), int(port)


def duplicate_socket(pair: Any) -> socket.socket | None:
    """A second handle on the UDP socket of a candidate pair, non-blocking, to be closed by the caller; None for relay
    candidates, which have none of their own. Relies on asyncio's transports telling their socket."""
    transport_socket = pair.protocol.transport.get_extra_info("socket")
    if transport_socket is None:
        return None
    duplicate: socket.socket = transport_socket.dup()
    return duplicate


def take_rtcp(sender: RTCRtpSender, observer: Callable[[bytes], object]) -> None:
    """Show RTCP to `observer` the moment its datagram arrives, without waking aiortc's receiving task, as long as the
    sender has its transport to itself; otherwise as `observe_rtcp` does, so that others get theirs too. More than
    RTCP_PER_SECOND is not even decrypted, either way.

    Relies on our Agent's endpoints calling its `data_received` found on the instance, on RTCDtlsTransport._rx_srtp and
    on `_rtp_router.senders` and `.receivers`, in which a sender that uses `replace_sending` does not stand.
    """
    transport: Any = sender.transport
    connection: Any = transport.transport._connection
    router, enqueue = transport._rtp_router, connection.data_received
    allowance = Allowance(RTCP_PER_SECOND, RTCP_BURST)

    def data_received(data: bytes | None, component: int | None) -> None:
        # RTCP packet types 192 to 223 where RTP has its marker and payload type: RFC 5761 section 4.
        if data and 127 < data[0] < 192 and len(data) > 1 and 191 < data[1] < 224:
            now = time.monotonic()
            if not allowance.spend(now):
                return
            inbound = transport._rx_srtp
            if inbound is not None and not router.senders and not router.receivers:
                try:
                    compound = inbound.unprotect_rtcp(data)
                except (pylibsrtp.Error, ValueError):  # forged, or sent twice
                    return
                connection.heard = now
                observer(compound)
                return
        enqueue(data, component)

    connection.data_received = data_received


# Of speech, which has 50 packets a second; what more comes is not even decrypted.
SPEECH_PER_SECOND = 75.0
SPEECH_BURST = 50.0


def receive_elsewhere(transceiver: RTCRtpTransceiver) -> None:
    """Have the peer connection accept what the transceiver receives without decoding it, which would take a thread of its own.
    Relies on RTCPeerConnection awaiting `receive` found on the receiver's instance."""
    receiver: Any = transceiver.receiver

    async def receive(_parameters: object) -> None:
        """`take_rtp` does."""

    receiver.receive = receive


def take_rtp(sender: RTCRtpSender, payload_type: int, observer: Callable[[bytes], object]) -> None:
    """Show decrypted RTP packets of that payload type to `observer` the moment they arrive, to nobody else. Call after `take_rtcp`,
    on whose reliances this rests."""
    transport: Any = sender.transport
    connection: Any = transport.transport._connection
    forward = connection.data_received
    allowance = Allowance(SPEECH_PER_SECOND, SPEECH_BURST)

    def data_received(data: bytes | None, component: int | None) -> None:
        if not data or not 127 < data[0] < 192 or len(data) < 2 or data[1] & 0x7F != payload_type or 191 < data[1] < 224:
            forward(data, component)
            return
        now = time.monotonic()
        inbound = transport._rx_srtp
        if inbound is None or not allowance.spend(now):
            return
        try:
            packet = inbound.unprotect(data)
        except (pylibsrtp.Error, ValueError):  # forged, or sent twice
            return
        connection.heard = now
        observer(packet)

    connection.data_received = data_received


# What a data channel of ours needs is a few fragments and one stream.
_MAX_UNREAD = 8192  # bytes of messages whose end has not come
_MAX_OUT_OF_ORDER = 64  # chunks
_MAX_STREAMS = 8


def bound_data_channels(sctp: RTCSctpTransport, admit: Callable[[], bool], deafened: Callable[[str], None]) -> None:
    """Let each SCTP datagram through only if `admit` says so, and none at all once the association holds more than a
    well-behaved viewer needs, or has broken: `deafened` is then told why. aiortc bounds nothing of what it keeps, and an
    exception would end the whole DTLS transport.

    Relies on RTCDtlsTransport awaiting `_handle_data` found on the instance for every datagram, and on `_advertised_rwnd`,
    `_sack_misordered`, `_inbound_streams` and `_data_channels`.
    """
    association: Any = sctp
    forward, window = association._handle_data, association._advertised_rwnd
    deaf = False

    def overgrown() -> bool:
        return (
            window - association._advertised_rwnd > _MAX_UNREAD
            or len(association._sack_misordered) > _MAX_OUT_OF_ORDER
            or len(association._inbound_streams) > _MAX_STREAMS
            or len(association._data_channels) > _MAX_STREAMS
        )

    async def handle(data: bytes) -> None:
        nonlocal deaf
        if deaf or not admit():
            return
        reason = ""
        try:
            await forward(data)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - per-viewer boundary: what a peer's chunks break, its pictures do not notice
            reason = repr(error)
        if reason or overgrown():
            deaf = True
            deafened(reason or "more kept for it than a viewer needs")

    association._handle_data = handle


@dataclass(frozen=True, slots=True)
class SrtpProfile:
    """An SRTP protection profile by OpenSSL's name, as aiortc would set it up. Lengths in bytes."""

    name: str
    key_length: int  # master key and salt
    tag_length: int
    number: int  # pylibsrtp's

    def session(self, key: bytes) -> OutboundSrtp:
        """For packets that we send, with the policy that aiortc has."""
        policy = pylibsrtp.Policy(key=key, ssrc_type=pylibsrtp.Policy.SSRC_ANY_OUTBOUND, srtp_profile=self.number)
        policy.allow_repeat_tx = True
        policy.window_size = 1024
        session = pylibsrtp.Session(policy)
        return OutboundSrtp(session, session._srtp[0], self.name, self.tag_length)


def srtp_profiles() -> list[SrtpProfile]:
    """Those that aiortc negotiates, most wanted first. Relies on rtcdtlstransport.SRTP_PROFILES."""
    return [
        SrtpProfile(
            profile.openssl_profile.decode(),
            profile.key_length + profile.salt_length,
            _TAG_LENGTHS[profile.openssl_profile],
            profile.libsrtp_profile,
        )
        for profile in rtcdtlstransport.SRTP_PROFILES
    ]


def become_dtls_server(sender: RTCRtpSender) -> None:
    """Answer `setup:passive` where the offer leaves the choice: the server chooses the SRTP profile. Call between
    setRemoteDescription and createAnswer. Relies on RTCDtlsTransport._role, `auto` until it is chosen, and _set_role."""
    transport: Any = sender.transport
    if transport._role == "auto":
        transport._set_role("server")


def prefer_srtp_profiles(names: Sequence[str]) -> None:
    """Have later DTLS handshakes prefer them in that order. Relies on every RTCDtlsTransport referring to the one list
    rtcdtlstransport.SRTP_PROFILES."""
    rtcdtlstransport.SRTP_PROFILES.sort(key=lambda profile: names.index(profile.openssl_profile.decode()))
