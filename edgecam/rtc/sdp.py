"""What edgecam reads from and writes into SDP (RFC 8866, RFC 6184 section 8) beside aiortc. Pure text."""

from __future__ import annotations

import re

from edgecam.errors import NegotiationError

_FMTP = re.compile(r"^(a=fmtp:(\d+) .*profile-level-id=)([0-9a-fA-F]{6})", re.MULTILINE)
_H264 = re.compile(r"^a=rtpmap:(\d+) H264/90000", re.MULTILINE | re.IGNORECASE)

_TRANSPORT = ("ice-ufrag", "ice-pwd", "fingerprint", "setup")  # RFC 8839 section 5.4, RFC 8122, RFC 4145


def _video_sections(sdp: str) -> list[str]:
    sections = re.split(r"(?m)^(?=m=)", sdp.replace("\r\n", "\n"))
    return [section for section in sections if section.startswith("m=video")]


def require_h264(sdp: str) -> None:
    """Raise NegotiationError unless a viewer's offer or answer can take H.264 with packetization-mode 1."""
    if not sdp.lstrip().startswith("v=0"):
        raise NegotiationError("this is not SDP", remedy="send the session description as text that begins with v=0")
    sections = _video_sections(sdp)
    if not sections:
        raise NegotiationError(
            "the offer asks for no video",
            remedy="add a video transceiver with direction recvonly before creating the offer",
            code="sdp-no-video",
        )
    for section in sections:
        for payload_type in _H264.findall(section):
            parameters = re.search(rf"(?m)^a=fmtp:{payload_type} (.*)$", section)
            if parameters and "packetization-mode=1" in parameters[1]:
                return
    raise NegotiationError(
        "the viewer offers no H.264 with packetization-mode=1",
        remedy="use a browser with H.264 (all current ones), or install its H.264 decoder",
        code="sdp-no-h264",
    )


def require_transport(sdp: str) -> None:
    """Raise NegotiationError unless every video section, or the whole description, says how to reach and to trust its
    sender: aiortc finds out only after the answer has gone out, inside a task of its own."""
    session = re.split(r"(?m)^m=", sdp.replace("\r\n", "\n"), maxsplit=1)[0]
    for section in _video_sections(sdp):
        for name in _TRANSPORT:
            if not re.search(rf"(?m)^a={name}:\S", session + section):
                raise NegotiationError(
                    f"the session description has no a={name}",
                    remedy="send the description as the browser made it, unchanged",
                )


def require_sending(sdp: str) -> None:
    """Raise NegotiationError unless our own description `sdp` sends H.264 in its first accepted video section."""
    for section in _video_sections(sdp):
        port = section.split(" ", 2)[1]
        if port == "0" or not re.search(r"(?m)^a=send(only|recv)\s*$", section):
            continue
        payload_type = section.split("\n", 1)[0].split(" ")[3]
        if payload_type in _H264.findall(section):
            return
    raise NegotiationError(
        "nothing to send was negotiated: the viewer does not ask to receive H.264 video",
        remedy="offer a video transceiver with direction recvonly or sendrecv",
        code="sdp-no-video",
    )


def with_profile_level_id(sdp: str, profile_level_id: str) -> str:
    """Our description with the `profile-level-id` that the SPS really has.

    Safari shows black otherwise. The level is always corrected; the profile bytes only where the negotiated profile
    is constrained baseline (42 with constraint_set1, RFC 6184 table 5), which is what our encoders make.
    """
    profile, level = profile_level_id[:4], profile_level_id[4:]

    def correct(match: re.Match[str]) -> str:
        negotiated = match[3].lower()
        constrained = negotiated[:2] == "42" and int(negotiated[2:4], 16) & 0x40
        return match[1] + (profile if constrained else negotiated[:4]) + level

    return _FMTP.sub(correct, sdp)


def has_relay_candidate(sdp: str) -> bool:
    """Whether a description offers a TURN relay's address (RFC 8839 section 5.1)."""
    return " typ relay" in sdp
