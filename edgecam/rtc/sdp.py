"""What edgecam reads from and writes into SDP (RFC 8866, RFC 6184 section 8) beside aiortc. Pure text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from edgecam.errors import NegotiationError
from edgecam.peers import Candidate

_FMTP = re.compile(r"^(a=fmtp:(\d+) .*profile-level-id=)([0-9a-fA-F]{6})", re.MULTILINE)
_FORMAT = re.compile(r"^a=fmtp:(\d+) (.*)$", re.MULTILINE)
_ATTRIBUTE = re.compile(r"^a=([a-z-]+):\S", re.MULTILINE)
_H264 = re.compile(r"^a=rtpmap:(\d+) H264/90000", re.MULTILINE | re.IGNORECASE)

_DIRECTION = re.compile(r"^a=(sendrecv|sendonly|recvonly|inactive)\s*$", re.MULTILINE)
_OPUS = re.compile(r"^a=rtpmap:(\d+) opus/48000", re.MULTILINE | re.IGNORECASE)
_CANDIDATES = re.compile(r"^a=(candidate:.*|end-of-candidates)\n", re.MULTILINE)
_MID = re.compile(r"^a=mid:(\S+)", re.MULTILINE)
_BUNDLE = re.compile(r"^a=group:BUNDLE (.*)", re.MULTILINE)
_UFRAG = re.compile(r"^a=ice-ufrag:(\S+)", re.MULTILINE)
_PASSWORD = re.compile(r"^a=ice-pwd:(\S+)", re.MULTILINE)
_REJECTED = re.compile(r"m=\S+ 0 ")
_TRANSPORT = ("ice-ufrag", "ice-pwd", "fingerprint", "setup")  # RFC 8839 section 5.4, RFC 8122, RFC 4145


# A browser's offer of camera, microphone and data has three media sections and some two hundred lines. aiortc opens
# sockets per section and searches linearly, so that more of either is an attack on the daemon.
MAX_SECTIONS = 8
MAX_LINES = 1000


def _sections(sdp: str) -> list[str]:
    """The session part, then each media section; line ends are newlines."""
    return re.split(r"(?m)^(?=m=)", sdp.replace("\r\n", "\n"))


def _video_sections(sdp: str) -> list[str]:
    return [section for section in _sections(sdp) if section.startswith("m=video")]


def require_usable(sdp: str) -> None:
    """Raise NegotiationError unless a viewer's offer or answer is of sane size, can take H.264 with packetization-mode 1,
    and says how to reach and to trust its sender."""
    if not sdp.lstrip().startswith("v=0"):
        raise NegotiationError("this is not SDP", remedy="send the session description as text that begins with v=0")
    if sdp.count("\n") > MAX_LINES or sdp.count("\nm=") > MAX_SECTIONS:
        raise NegotiationError(
            f"the session description has more than {MAX_SECTIONS} media sections or {MAX_LINES} lines",
            remedy="send the description as the browser made it, unchanged",
        )
    session, *media = _sections(sdp)
    videos = [section for section in media if section.startswith("m=video")]
    if not videos:
        raise NegotiationError(
            "the offer asks for no video",
            remedy="add a video transceiver with direction recvonly before creating the offer",
            code="sdp-no-video",
        )
    if not any(_takes_h264(section) for section in videos):
        raise NegotiationError(
            "the viewer offers no H.264 with packetization-mode=1",
            remedy="use a browser with H.264 (all current ones), or install its H.264 decoder",
            code="sdp-no-h264",
        )
    for section in videos:
        _require_transport(session + section)


def _takes_h264(section: str) -> bool:
    parameters = dict(_FORMAT.findall(section))
    return any("packetization-mode=1" in parameters.get(payload_type, "") for payload_type in _H264.findall(section))


def _require_transport(section: str) -> None:
    """aiortc finds out only after the answer has gone out, inside a task of its own."""
    present = set(_ATTRIBUTE.findall(section))
    for name in _TRANSPORT:
        if name not in present:
            raise NegotiationError(
                f"the session description has no a={name}",
                remedy="send the description as the browser made it, unchanged",
            )


def ice_credentials(sdp: str) -> dict[str, tuple[str, str]]:
    """ICE user name fragment and password by mid; of sections that are bundled, those of the first (RFC 9143 section 7.1)."""
    session, *media = _sections(sdp)
    bundled = _BUNDLE.search(session)
    group = bundled[1].split() if bundled is not None else []
    found: dict[str, tuple[str, str]] = {}
    for section in media:
        mid = _MID.search(section)
        ufrag, password = (pattern.search(section) or pattern.search(session) for pattern in (_UFRAG, _PASSWORD))
        if mid is not None and ufrag is not None and password is not None:
            found[mid[1]] = ufrag[1], password[1]
    return {mid: found[group[0]] if mid in group and group[0] in found else own for mid, own in found.items()}


def split_candidates(sdp: str) -> tuple[str, list[Candidate | None]]:
    """A remote description without its candidates, and those candidates (None: their end), for the rules of `rtc.candidates`
    to hold for them too."""
    kept: list[str] = []
    found: list[Candidate | None] = []
    ended = False
    mid, index = None, -1
    for line in sdp.splitlines():
        if line.startswith("m="):
            mid, index = None, index + 1
        elif line.startswith("a=mid:"):
            mid = line.removeprefix("a=mid:").strip()
        if line.startswith("a=candidate:"):
            found.append(Candidate(line, mid, max(index, 0)))
        elif line.startswith("a=end-of-candidates"):
            ended = True
        else:
            kept.append(line)
    if ended:
        found.append(None)
    return "\r\n".join(kept) + "\r\n", found


def audio_wishes(sdp: str) -> tuple[bool, bool]:
    """Whether an offer asks to receive Opus, and whether to send some: of its first audio section that is not rejected."""
    for section in _sections(sdp)[1:]:
        if section.startswith("m=audio") and not _REJECTED.match(section) and _OPUS.search(section):
            found = _DIRECTION.search(section)
            direction = found[1] if found is not None else "sendrecv"  # RFC 8866 section 6.7
            return direction in {"recvonly", "sendrecv"}, direction in {"sendonly", "sendrecv"}
    return False, False


def received_opus(sdp: str) -> int | None:
    """The payload type of the Opus that our own description receives; None when it receives none."""
    for section in _sections(sdp)[1:]:
        opus, direction = _OPUS.search(section), _DIRECTION.search(section)
        receives = direction is not None and direction[1] in {"recvonly", "sendrecv"}
        if section.startswith("m=audio") and not _REJECTED.match(section) and opus is not None and receives:
            return int(opus[1])
    return None


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


def with_candidates(sdp: str, lines: Mapping[str, Sequence[str]], *, complete: bool) -> str:
    """Our description with these candidates (`candidate:…`) in the sections of those mids, in the place of what aiortc wrote.
    `complete`: they are all; otherwise the description says that more may come (RFC 8840 section 4.1)."""
    session, *media = _sections(_CANDIDATES.sub("", sdp.replace("\r\n", "\n")))
    if not complete:
        session += "a=ice-options:trickle\n"
    described = [session]
    for section in media:
        mid = _MID.search(section)
        own = lines.get(mid[1]) if mid is not None else None
        if own is not None and not _REJECTED.match(section):
            section += "".join(f"a={line}\n" for line in own)  # noqa: PLW2901 - the section grows
            section += "a=end-of-candidates\n" if complete else ""  # noqa: PLW2901
        described.append(section)
    return "".join(described).replace("\n", "\r\n")


def has_relay_candidate(sdp: str) -> bool:
    """Whether a description offers a TURN relay's address (RFC 8839 section 5.1)."""
    return " typ relay" in sdp


def leaves_dtls_role(offer: str) -> bool:
    """Whether an offer lets us choose the DTLS role (RFC 5763 section 5): every usable one should."""
    roles = {line.strip() for line in offer.splitlines() if line.startswith("a=setup:")}
    return roles == {"a=setup:actpass"}
