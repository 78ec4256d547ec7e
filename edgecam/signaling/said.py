"""What was said last between the camera and each viewer: messages are repeated, and offers cross."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

REPEAT_WITHIN = 0.1  # seconds after the camera's offer in which a second notice of the same join is only a repetition
CROSSED_WITHIN = 5.0  # seconds in which an answer may belong to an offer of the camera that has given way
MAX_REMEMBERED = 200  # viewers


@dataclass(slots=True)
class _Said:
    """Times are CLOCK_MONOTONIC seconds, None for what has not happened."""

    their_offer: str = ""
    our_answer: str = ""
    their_answer: str = ""
    offered_at: float | None = None  # our offer, not answered yet
    gave_way_at: float | None = None  # it was not answered: the viewer had offered too


class SaidLast:
    """Bounded: of viewers that were not heard of for long nothing is known."""

    def __init__(self) -> None:
        self._said: OrderedDict[str, _Said] = OrderedDict()

    def _of(self, peer: str) -> _Said:
        said = self._said.setdefault(peer, _Said())
        if len(self._said) > MAX_REMEMBERED:
            self._said.popitem(last=False)
        return said

    def answer_to(self, peer: str, offer: str) -> str:
        """What was answered to that very offer, empty if nothing: a new answer would end the session that the first one made."""
        said = self._of(peer)
        return said.our_answer if said.their_offer == offer else ""

    def offer_came(self, peer: str) -> None:
        """The viewer has offered; an offer of ours that is on its way gives way."""
        said = self._of(peer)
        if said.offered_at is not None:
            said.offered_at, said.gave_way_at = None, time.monotonic()

    def answered(self, peer: str, offer: str, answer: str) -> None:
        """The camera has answered."""
        said = self._of(peer)
        said.their_offer, said.our_answer = offer, answer

    def offered(self, peer: str) -> None:
        """The camera has just sent an offer."""
        said = self._of(peer)
        said.offered_at, said.gave_way_at = time.monotonic(), None

    def just_offered(self, peer: str) -> bool:
        """Whether that was only a moment ago, and nothing has happened since."""
        at = self._of(peer).offered_at
        return at is not None and time.monotonic() - at < REPEAT_WITHIN

    def answer_came(self, peer: str, answer: str) -> bool:
        """Whether that answer is news, and not one that has come before."""
        said = self._of(peer)
        said.offered_at = None
        is_news, said.their_answer = said.their_answer != answer, answer
        return is_news

    def crossed(self, peer: str) -> bool:
        """Whether both sides have given way, and so neither has the session that the other one means. True once."""
        said = self._of(peer)
        at, said.gave_way_at = said.gave_way_at, None
        return at is not None and time.monotonic() - at < CROSSED_WITHIN

    def left(self, peer: str) -> None:
        """The viewer has left: whatever comes next is meant."""
        said = self._of(peer)
        said.offered_at = said.gave_way_at = None
