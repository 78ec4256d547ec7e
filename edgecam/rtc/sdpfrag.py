"""SDP fragments of trickle ICE (RFC 8840 section 9, media type application/trickle-ice-sdpfrag). Pure text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from edgecam.errors import NegotiationError
from edgecam.peers import Candidate

CONTENT_TYPE = "application/trickle-ice-sdpfrag"
MAX_LINES = 500

# RFC 8839 section 5.4: ice-char, with the least and the greatest lengths.
_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")
_PASSWORD = re.compile(r"[A-Za-z0-9+/]{22,256}")


@dataclass(frozen=True, slots=True)
class Fragment:
    """What one side says of its ICE: credentials (empty when it does not say), candidates with their mid, None for their end."""

    username: str = ""
    password: str = ""
    candidates: tuple[Candidate | None, ...] = ()


def parse(text: str) -> Fragment:
    """Of sections with different credentials the first counts: ours are bundled. Raises NegotiationError."""
    lines = text.splitlines()
    if len(lines) > MAX_LINES:
        raise _wrong(f"the fragment has more than {MAX_LINES} lines")
    username = password = ""
    mid: str | None = None
    candidates: list[Candidate | None] = []
    for line in lines:
        name, _, value = line.strip().partition(":")
        match name:
            case "a=ice-ufrag":
                username = username or value
            case "a=ice-pwd":
                password = password or value
            case "a=mid":
                mid = value.strip()[:64]
            case "a=candidate":
                candidates.append(Candidate(line.strip(), mid))
            case "a=end-of-candidates":
                candidates.append(None)
            case _ if line.startswith("m="):
                mid = None
            case _ if line.strip() and not re.match(r"[a-z]=", line):
                raise _wrong("the fragment has lines that are no SDP")
    if bool(username) != bool(password):
        raise _wrong("the fragment has one of a=ice-ufrag and a=ice-pwd, and not the other")
    if username and not (_UFRAG.fullmatch(username) and _PASSWORD.fullmatch(password)):
        raise _wrong("a=ice-ufrag or a=ice-pwd is not of the form that RFC 8839 asks for")
    return Fragment(username, password, tuple(candidates))


def _wrong(message: str) -> NegotiationError:
    return NegotiationError(message, remedy="see RFC 8840 section 9", code="sdpfrag-malformed")


def render(credentials: tuple[str, str], candidates: Sequence[Candidate], *, complete: bool) -> str:
    """Our side's fragment: credentials, and candidates of the first section. `complete`: there will be no more."""
    username, password = credentials
    lines = [f"a=ice-ufrag:{username}", f"a=ice-pwd:{password}", "m=video 9 UDP/TLS/RTP/SAVPF 0"]
    lines.append(f"a=mid:{next((c.sdp_mid for c in candidates if c.sdp_mid is not None), '0')}")
    lines += [f"a={candidate.candidate}" for candidate in candidates]
    lines += ["a=end-of-candidates"] if complete else []
    return "\r\n".join(lines) + "\r\n"
