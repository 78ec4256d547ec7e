"""Candidate pairs and their connectivity checks (RFC 8445 sections 6.1.2 and 7.2)."""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass, field

from edgecam.rtc.ice.candidate import Candidate
from edgecam.rtc.ice.endpoints import Endpoint
from edgecam.rtc.ice.stun import Address

MAX_PAIRS = 200


class State(enum.StrEnum):
    WAITING = "waiting"
    CHECKING = "checking"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(slots=True, eq=False)
class Pair:
    """A way to the viewer. `protocol` and `remote_addr` have aioice's names, because the fast path looks for them."""

    protocol: Endpoint
    remote_candidate: Candidate
    state: State = State.WAITING
    nominated: bool = False  # by the viewer, when it controls; by us, when we do
    triggered: bool = False  # the viewer's check has come over it: ours goes out next
    task: asyncio.Task[None] | None = field(default=None, repr=False)
    error: str = ""

    @property
    def local_candidate(self) -> Candidate:
        return self.protocol.local_candidate

    @property
    def remote_addr(self) -> Address:
        return self.remote_candidate.host, self.remote_candidate.port

    @property
    def is_relayed(self) -> bool:
        return "relay" in {self.local_candidate.type, self.remote_candidate.type}

    def priority(self, controlling: bool) -> int:
        """RFC 8445 section 6.1.2.3."""
        ours, theirs = self.local_candidate.priority, self.remote_candidate.priority
        g, d = (ours, theirs) if controlling else (theirs, ours)
        return (min(g, d) << 32) + 2 * max(g, d) + (g > d)


class Checklist:
    """All pairs of one viewer, best first."""

    def __init__(self) -> None:
        self.pairs: list[Pair] = []
        self.controlling = False

    def pair_up(self, endpoint: Endpoint, remote: Candidate, *, named: bool = False) -> None:
        """Form the pair of the two unless it exists or makes no sense. `named`: the address was hidden behind an mDNS name,
        and a relay must not learn it (draft-ietf-mmusic-mdns-ice-candidates section 3.3.2)."""
        local = endpoint.local_candidate
        if local.version != remote.version or (named and local.type == "relay") or self.find(endpoint, remote.address):
            return
        self.add(Pair(endpoint, remote))

    def add(self, pair: Pair) -> None:
        if len(self.pairs) < MAX_PAIRS:
            self.pairs.append(pair)
            self.sort()

    def sort(self) -> None:
        self.pairs.sort(key=lambda pair: -pair.priority(self.controlling))

    def find(self, endpoint: Endpoint, remote: Address) -> Pair | None:
        for pair in self.pairs:
            if pair.protocol is endpoint and pair.remote_addr == remote:
                return pair
        return None

    def next(self, *, relays: bool) -> Pair | None:
        """The pair to check now: triggered ones first, then by priority; those over our relays only when it is their time."""
        waiting = [p for p in self.pairs if p.state is State.WAITING and (relays or p.local_candidate.type != "relay")]
        return next((pair for pair in waiting if pair.triggered), waiting[0] if waiting else None)

    def clear(self) -> None:
        """Forget all pairs, and end their checks."""
        for pair in self.pairs:
            if pair.task is not None:
                pair.task.cancel()
        self.pairs = []

    @property
    def exhausted(self) -> bool:
        """No check is under way or to be made."""
        return all(pair.state in {State.SUCCEEDED, State.FAILED} for pair in self.pairs)

    def drop(self, endpoint: Endpoint) -> list[Pair]:
        """Forget the pairs over an endpoint that is gone; returns them."""
        gone = [pair for pair in self.pairs if pair.protocol is endpoint]
        self.pairs = [pair for pair in self.pairs if pair.protocol is not endpoint]
        for pair in gone:
            if pair.task is not None:
                pair.task.cancel()
        return gone
