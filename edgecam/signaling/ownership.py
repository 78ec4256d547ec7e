"""To which offer a candidate belongs. A viewer that calls anew sends candidates of the new offer before the offer itself is
there; without this they would go to the session of the old one."""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgecam.peers import Candidate

MAX_KEPT = 64  # candidates of a viewer that wait for their description
MAX_VIEWERS = 256  # of whom that is known, the oldest are forgotten first

_UFRAG = re.compile(r"^a=ice-ufrag:(\S+)", re.MULTILINE)
_IN_LINE = re.compile(r"\bufrag (\S+)")


def ufrags(sdp: str) -> frozenset[str]:
    """The ICE user name fragments of a description (RFC 8839 section 5.4)."""
    return frozenset(_UFRAG.findall(sdp))


def ufrag_of(body: Mapping[str, Any], candidate: Candidate) -> str:
    """The user name fragment of a candidate that a message carries; empty when it does not say."""
    around = body.get("candidate")
    named = around.get("usernameFragment") if isinstance(around, Mapping) else body.get("usernameFragment")
    if isinstance(named, str) and named:
        return named
    written = _IN_LINE.search(candidate.candidate)
    return written[1] if written is not None else ""


@dataclass(slots=True)
class _Viewer:
    described: frozenset[str] = frozenset()
    kept: deque[tuple[str, Candidate]] = field(default_factory=lambda: deque(maxlen=MAX_KEPT))


class CandidateOwnership:
    """Per viewer, which description was the last, and which candidates wait for a later one."""

    def __init__(self) -> None:
        self._viewers: OrderedDict[str, _Viewer] = OrderedDict()

    def described(self, viewer: str, sdp: str) -> list[Candidate]:
        """A description has come: the candidates that waited for it, in order."""
        known = self._viewers.setdefault(viewer, _Viewer())
        self._viewers.move_to_end(viewer)
        if len(self._viewers) > MAX_VIEWERS:
            self._viewers.popitem(last=False)
        known.described = ufrags(sdp)
        due = [candidate for ufrag, candidate in known.kept if ufrag in known.described]
        known.kept.clear()
        return due

    def due(self, viewer: str, ufrag: str, candidate: Candidate) -> bool:
        """Whether the candidate belongs to what has been described, or may. If not, it is kept."""
        known = self._viewers.get(viewer)
        if known is None or not ufrag or not known.described or ufrag in known.described:
            return True
        known.kept.append((ufrag, candidate))
        return False

    def forget(self, viewer: str) -> None:
        self._viewers.pop(viewer, None)
