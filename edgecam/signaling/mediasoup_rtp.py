"""Between SDP and what mediasoup says instead of it: RtpCapabilities, RtpParameters, DtlsParameters, IceParameters (its API, version 3).

A mediasoup server never sees SDP. Our offer says what we send; out of it and of the router's capabilities come the parameters of
`produce` and `connectWebRtcTransport`; out of the transport's parameters comes an answer to our own offer. Pure, no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgecam.errors import NegotiationError
from edgecam.settings import IceServer
from edgecam.signaling.fields import ice_servers_from

# By the first byte of profile-level-id: what our constrained baseline stream is also decodable as (RFC 6184 section 8.1), best first.
_BASELINE, _MAIN, _HIGH = 0x42, 0x4D, 0x64
_CONSTRAINED = 0x40  # constraint_set1_flag in the second byte
_DEFAULT_PROFILE = "42e01f"  # what mediasoup takes a missing one for
_FINGERPRINTS = ("sha-256", "sha-384", "sha-512")
MAX_CANDIDATES = 32

_ICE_CHARS = re.compile(r"[A-Za-z0-9+/=_-]{1,256}")
_HEX_PAIRS = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){19,63}")
_HOST = re.compile(r"[A-Za-z0-9.:_-]{1,255}")
_URI = re.compile(r"[\x21-\x7e]{1,255}")

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class LocalVideo:
    """What our offer says of its one video section. Payload types are ours; mediasoup maps them to its own."""

    mid: str
    cname: str
    ssrc: int
    rtx_ssrc: int | None
    fingerprint: tuple[str, str]  # algorithm, value
    payload_type: int  # of H.264, constrained baseline, packetization-mode 1
    rtx_payload_type: int | None
    profile_level_id: str
    feedback: tuple[tuple[str, str], ...]  # type, parameter
    extensions: tuple[tuple[int, str], ...]  # id, URI

    @classmethod
    def of(cls, offer: str) -> LocalVideo:
        """Reads the session's own offer; raises NegotiationError when it is not what it always is."""
        lines = [line for line in offer.replace("\r\n", "\n").split("\n") if line]
        values = [line[2:].partition(":")[::2] for line in lines if line.startswith("a=")]
        try:
            payload_type, profile = _h264_of(values)
            sources = [int(number) for name, text in values if name == "ssrc-group" for number in text.split()[1:]]
            single = [text.split()[0] for name, text in values if name == "ssrc"]
            ssrcs = sources or [int(single[0])]
            rtx = next((pt for pt, apt in _formats(values, "apt") if apt == str(payload_type)), None)
            return cls(
                mid=next(text for name, text in values if name == "mid"),
                cname=next(text.split("cname:", 1)[1] for name, text in values if name == "ssrc" and "cname:" in text),
                ssrc=ssrcs[0],
                rtx_ssrc=ssrcs[1] if len(ssrcs) > 1 and rtx is not None else None,
                fingerprint=_fingerprint_of(values),
                payload_type=payload_type,
                rtx_payload_type=rtx if len(ssrcs) > 1 else None,
                profile_level_id=profile,
                feedback=tuple(_feedback_of(values, payload_type)),
                extensions=tuple((int(text.split()[0]), text.split()[1]) for name, text in values if name == "extmap"),
            )
        except (StopIteration, IndexError, ValueError) as error:
            raise NegotiationError(f"our own offer cannot be translated ({type(error).__name__})") from error


def _formats(values: Sequence[tuple[str, str]], parameter: str) -> list[tuple[int, str]]:
    """(payload type, value) of every format that has that parameter."""
    found = []
    for name, text in values:
        payload_type, _, formats = text.partition(" ")
        pairs = dict(part.strip().partition("=")[::2] for part in formats.split(";"))
        if name == "fmtp" and parameter in pairs:
            found.append((int(payload_type), pairs[parameter]))
    return found


def _h264_of(values: Sequence[tuple[str, str]]) -> tuple[int, str]:
    modes = dict(_formats(values, "packetization-mode"))
    profiles = [(pt, profile.lower()) for pt, profile in _formats(values, "profile-level-id") if modes.get(pt) == "1"]
    return next(((pt, p) for pt, p in profiles if _is_constrained_baseline(p)), profiles[0])


def _fingerprint_of(values: Sequence[tuple[str, str]]) -> tuple[str, str]:
    algorithm, value = next(text.split() for name, text in values if name == "fingerprint" and text.startswith("sha-256 "))
    return algorithm, value


def _feedback_of(values: Sequence[tuple[str, str]], payload_type: int) -> list[tuple[str, str]]:
    said = [text.split(" ") for name, text in values if name == "rtcp-fb"]
    return [(kind, " ".join(rest)) for about, kind, *rest in said if about in {str(payload_type), "*"}]


def _is_constrained_baseline(profile_level_id: str) -> bool:
    return int(profile_level_id[:2], 16) == _BASELINE and bool(int(profile_level_id[2:4], 16) & _CONSTRAINED)


@dataclass(frozen=True, slots=True)
class Agreed:
    """What is sent: the offer's video, as far as the router takes it."""

    video: LocalVideo
    profile_level_id: str  # what the stream is declared as
    rtx: bool
    feedback: tuple[tuple[str, str], ...]
    extensions: tuple[tuple[int, str], ...]

    @property
    def format(self) -> dict[str, object]:
        return {"packetization-mode": 1, "profile-level-id": self.profile_level_id, "level-asymmetry-allowed": 1}

    def rtp_parameters(self) -> dict[str, object]:
        """RtpParameters of `produce`: one encoding, no simulcast."""
        video = self.video
        feedback = [{"type": kind, "parameter": parameter} for kind, parameter in self.feedback]
        codecs: list[dict[str, object]] = [_codec("video/H264", video.payload_type, self.format, feedback)]
        encoding: dict[str, object] = {"ssrc": video.ssrc, "dtx": False}
        if self.rtx and video.rtx_payload_type is not None:
            codecs.append(_codec("video/rtx", video.rtx_payload_type, {"apt": video.payload_type}, []))
            encoding["rtx"] = {"ssrc": video.rtx_ssrc}
        extensions = [{"uri": uri, "id": number, "encrypt": False, "parameters": {}} for number, uri in self.extensions]
        rtcp = {"cname": video.cname, "reducedSize": True}
        return {"mid": video.mid, "codecs": codecs, "headerExtensions": extensions, "encodings": [encoding], "rtcp": rtcp}


def _codec(mime_type: str, payload_type: int, parameters: Json, feedback: Sequence[Json]) -> dict[str, object]:
    return {
        "mimeType": mime_type,
        "payloadType": payload_type,
        "clockRate": 90000,
        "parameters": dict(parameters),
        "rtcpFeedback": list(feedback),
    }


def agree(video: LocalVideo, capabilities: Json) -> Agreed:
    """What of the offer a router with these RtpCapabilities takes. Raises NegotiationError when that is no H.264 of ours."""
    codecs = [codec for codec in _objects(capabilities.get("codecs")) if codec.get("kind", "video") == "video"]
    choices = [(rank, codec, profile) for codec in codecs for rank, profile in [_suits(codec)] if rank is not None]
    if not choices:
        raise NegotiationError(
            "the router has no H.264 with packetization-mode 1",
            remedy='add video/H264 with "packetization-mode": 1 to the mediaCodecs of its router, e.g. profile-level-id 42e01f',
            code="sdp-no-h264",
        )
    _, chosen, profile = min(choices, key=lambda choice: choice[0])
    declared = video.profile_level_id if _is_constrained_baseline(profile) else profile[:4] + video.profile_level_id[4:]
    wanted = {(str(f.get("type")), str(f.get("parameter") or "")) for f in _objects(chosen.get("rtcpFeedback"))}
    rtx = any(str(codec.get("mimeType")).lower() == "video/rtx" for codec in codecs)
    extensions = [
        extension.get("uri")
        for extension in _objects(capabilities.get("headerExtensions"))
        if extension.get("kind", "video") == "video" and extension.get("direction", "sendrecv") in {"sendrecv", "recvonly"}
    ]
    return Agreed(
        video,
        profile_level_id=declared,
        rtx=rtx and video.rtx_payload_type is not None,
        feedback=tuple(item for item in video.feedback if item in wanted),
        extensions=tuple((number, uri) for number, uri in video.extensions if uri in extensions),
    )


def _suits(codec: Json) -> tuple[int | None, str]:
    """How well our stream is described by a codec of the router, 0 best, None not at all; and its profile-level-id."""
    parameters = codec.get("parameters")
    said = parameters if isinstance(parameters, Mapping) else {}
    profile = str(said.get("profile-level-id") or _DEFAULT_PROFILE).lower()
    if str(codec.get("mimeType")).lower() != "video/h264" or str(said.get("packetization-mode", 0)) != "1":
        return None, profile
    if not re.fullmatch(r"[0-9a-f]{6}", profile):
        return None, profile
    if _is_constrained_baseline(profile):
        return 0, profile
    order = [_BASELINE, _MAIN, _HIGH]
    idc = int(profile[:2], 16)
    return (1 + order.index(idc) if idc in order else None), profile


@dataclass(frozen=True, slots=True)
class RemoteTransport:
    """A WebRtcTransport of the server, as it describes it. `candidates` are `candidate:…` lines with host names as they came."""

    id: str
    ufrag: str
    password: str
    lite: bool
    fingerprints: tuple[tuple[str, str], ...]
    role: str  # the server's in DTLS: client or server
    candidates: tuple[tuple[str, str], ...]  # a host, and the line with {host} where it belongs
    ice_servers: tuple[IceServer, ...]

    @classmethod
    def of(cls, said: Json) -> RemoteTransport:
        """Raises NegotiationError for what cannot be connected to."""
        ice, dtls = said.get("iceParameters"), said.get("dtlsParameters")
        if not isinstance(ice, Mapping) or not isinstance(dtls, Mapping) or not said.get("id"):
            raise NegotiationError("the transport has no id, iceParameters or dtlsParameters")
        ufrag, password = str(ice.get("usernameFragment", "")), str(ice.get("password", ""))
        if not (_ICE_CHARS.fullmatch(ufrag) and _ICE_CHARS.fullmatch(password)):
            raise NegotiationError("the transport's iceParameters cannot be used")
        stated = [(str(f.get("algorithm")).lower(), str(f.get("value"))) for f in _objects(dtls.get("fingerprints"))]
        fingerprints = [(name, value) for name, value in stated if name in _FINGERPRINTS and _HEX_PAIRS.fullmatch(value)]
        if not fingerprints:
            raise NegotiationError("the transport has no fingerprint of SHA-256 or better")
        candidates = [_candidate(c) for c in _objects(said.get("iceCandidates"))[:MAX_CANDIDATES]]
        return cls(
            id=str(said["id"]),
            ufrag=ufrag,
            password=password,
            lite=ice.get("iceLite") is True,
            fingerprints=tuple(fingerprints),
            role="client" if dtls.get("role") == "client" else "server",
            candidates=tuple(candidate for candidate in candidates if candidate is not None),
            ice_servers=ice_servers_from(said.get("iceServers")),
        )

    @property
    def our_role(self) -> str:
        return "server" if self.role == "client" else "client"

    def dtls_parameters(self, video: LocalVideo) -> dict[str, object]:
        """DtlsParameters of `connectWebRtcTransport`."""
        algorithm, value = video.fingerprint
        return {"role": self.our_role, "fingerprints": [{"algorithm": algorithm, "value": value}]}

    def answer(self, agreed: Agreed, addresses: Mapping[str, str]) -> str:
        """The answer (RFC 8829) that the server would give to our offer if it spoke SDP. `addresses`: of hosts that are names."""
        video = agreed.video
        types = [video.payload_type, *([video.rtx_payload_type] if agreed.rtx else [])]
        lines = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", *(["a=ice-lite"] if self.lite else [])]
        lines += [f"a=group:BUNDLE {video.mid}", f"m=video 7 UDP/TLS/RTP/SAVPF {' '.join(map(str, types))}", "c=IN IP4 127.0.0.1"]
        lines += [f"a=mid:{video.mid}", "a=recvonly", "a=rtcp-mux", "a=rtcp-rsize"]
        lines += [f"a=ice-ufrag:{self.ufrag}", f"a=ice-pwd:{self.password}"]
        lines += [f"a=fingerprint:{algorithm} {value}" for algorithm, value in self.fingerprints]
        lines.append(f"a=setup:{'active' if self.role == 'client' else 'passive'}")
        lines += [f"a=extmap:{number} {uri}" for number, uri in agreed.extensions]
        lines.append(f"a=rtpmap:{video.payload_type} H264/90000")
        lines += [f"a=rtcp-fb:{video.payload_type} {kind} {parameter}".rstrip() for kind, parameter in agreed.feedback]
        # Of the offer, not what was declared to the router: aiortc finds its own codec by it.
        formats = f"level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={video.profile_level_id}"
        lines.append(f"a=fmtp:{video.payload_type} {formats}")
        if agreed.rtx:
            lines += [f"a=rtpmap:{video.rtx_payload_type} rtx/90000", f"a=fmtp:{video.rtx_payload_type} apt={video.payload_type}"]
        lines += [f"a={line.format(host=addresses.get(host, host))}" for host, line in self.candidates]
        return "\r\n".join([*lines, "a=end-of-candidates", ""])


def _candidate(said: Json) -> tuple[str, str] | None:
    """Of mediasoup's IceCandidate, whose `ip` newer versions call `address`; None for TCP and for what is none."""
    host, port, priority = str(said.get("address") or said.get("ip") or ""), said.get("port"), said.get("priority")
    foundation = str(said.get("foundation") or "0")
    whole = isinstance(port, int) and 0 < port < 65536 and isinstance(priority, int) and 0 <= priority < 2**32
    if not whole or not _HOST.fullmatch(host) or not _ICE_CHARS.fullmatch(foundation) or said.get("protocol") != "udp":
        return None
    kind = said.get("type") if said.get("type") in {"host", "srflx", "prflx", "relay"} else "host"
    return host, f"candidate:{foundation[:32]} 1 udp {priority} {{host}} {port} typ {kind}"


def capabilities_of(said: Json) -> Json:
    """RtpCapabilities, which some servers wrap. Raises NegotiationError."""
    for inner in (said, said.get("rtpCapabilities"), said.get("routerRtpCapabilities")):
        if isinstance(inner, Mapping) and isinstance(inner.get("codecs"), list):
            return inner
    raise NegotiationError("the server gives no router capabilities")


def transport_of(said: Json) -> Json:
    """A transport's parameters, which some servers wrap."""
    for inner in (said.get("params"), said.get("transport"), said.get("transportOptions")):
        if isinstance(inner, Mapping) and "iceParameters" in inner:
            return inner
    return said


def _objects(value: object) -> list[Json]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
