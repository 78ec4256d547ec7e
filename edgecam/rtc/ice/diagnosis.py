"""Why there is no path: what both sides offered, what was checked, what was missing, and what a person can do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgecam.rtc.ice.candidate import Candidate
from edgecam.rtc.ice.endpoints import Endpoint
from edgecam.rtc.ice.pairs import Pair
from edgecam.rtc.ice.servers import Server, ServerHealth

if TYPE_CHECKING:
    from edgecam.rtc.ice.agent import Agent

# Every code, its sentence, and what to do; docs/troubleshooting.md explains them at more length. Where TURN servers refused, the
# code is that of their refusal (`refusals`).
SENTENCES = {
    "ice-no-address": ("this machine has no usable network address", "check its network, and [ice] interfaces and exclude_interfaces"),
    "ice-no-candidates": (
        "the viewer named no address, and none of its checks came here",
        "its browser or its signaling sends no candidates; look at the viewer's console",
    ),
    "ice-names-unresolved": (
        "the viewer named only .local names that nobody here resolves, and none of its checks came here",
        "camera and viewer need the same network, or a STUN or TURN server",
    ),
    "ice-no-common-family": ("one side has only IPv6, the other only IPv4", "give both IPv4, or use a TURN server that has both"),
    "ice-needs-relay": (
        "no packet came through between the networks, and there is no TURN server",
        "add one to [[ice.servers]]",
    ),
    "ice-relay-failed": ("no packet came through directly, and no TURN server gave a relay address", "see the servers in the status"),
    "ice-blocked": (
        "no packet came through, not even through the relay",
        "a firewall at the viewer, or between the TURN server and the viewer, drops them; the viewer may need TURN over TCP or TLS",
    ),
    "ice-one-way": ("the viewer's checks came here, but nothing that was sent to it", "a firewall on the way to the viewer drops UDP"),
    "ice-not-nominated": ("packets came through both ways, but the viewer chose no path", "look at the viewer's console"),
    "dtls-failed": (
        "there was a path, but no encrypted connection over it",
        "large packets are lost on the way (MTU), or the viewer gave up",
    ),
    "offer-unanswered": ("the viewer did not answer the camera's offer", "look at the viewer's console"),
    "consent-lost": ("the viewer stopped answering", "its network went away, or its machine; the page calls again by itself"),
    "relay-lost": ("the TURN server ended the relayed connection", "check whether it was restarted; the page calls again by itself"),
    "address-lost": ("this machine lost the address that the connection used", "nothing: the viewer is called anew"),
}


@dataclass(slots=True)
class Evidence:
    """What an agent has seen. Counts are of checks, by candidate type of the local end."""

    connected: bool = False
    named: int = 0
    resolved: int = 0
    strangers: int = 0
    servers: Sequence[Server] = ()
    sent: Counter[str] = field(default_factory=Counter)
    succeeded: Counter[str] = field(default_factory=Counter)
    received: Counter[str] = field(default_factory=Counter)

    def asked(self, pair: Pair) -> None:
        self.sent[pair.local_candidate.type] += 1

    def answered(self, pair: Pair) -> None:
        self.succeeded[pair.local_candidate.type] += 1

    def heard(self, endpoint: Endpoint) -> None:
        self.received[endpoint.local_candidate.type] += 1


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A stable code, a sentence, what to do, and the facts behind it."""

    code: str
    sentence: str
    remedy: str
    facts: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return {"code": self.code, "reason": self.sentence, "remedy": self.remedy, **self.facts}


def diagnose(agent: Agent, health: ServerHealth) -> Diagnosis:
    """Why this agent found no path, or lost the one it had."""
    local = [c for c in agent.local_candidates if c.port != 9]
    code = _code(agent, local)
    sentence, remedy = SENTENCES[code]
    if code == "ice-relay-failed":
        remedy = health.explain(agent.evidence.servers) or remedy
        refusal = health.refusal(agent.evidence.servers)
        code = refusal.code if refusal is not None else code
    return Diagnosis(code, sentence, remedy, _facts(agent, local))


def _code(agent: Agent, local: Sequence[Candidate]) -> str:
    seen = agent.evidence
    if seen.connected:
        return agent.lost if agent.lost in SENTENCES else "dtls-failed"
    if agent.remote_password is None:
        return "offer-unanswered"
    if seen.succeeded:
        return "ice-not-nominated"
    if seen.received:
        return "ice-one-way"
    if not local:
        return "ice-relay-failed" if any(server.kind == "turn" for server in seen.servers) else "ice-no-address"
    return _unheard(agent, local)


def _unheard(agent: Agent, local: Sequence[Candidate]) -> str:
    """Not one check of the viewer's came here."""
    remote = agent.remote_candidates
    if not remote:
        return "ice-names-unresolved" if agent.evidence.named else "ice-no-candidates"
    if not {c.version for c in local} & {c.version for c in remote}:
        return "ice-no-common-family"
    if any(c.type == "relay" for c in [*local, *remote]):
        return "ice-blocked"
    return "ice-relay-failed" if any(server.kind == "turn" for server in agent.evidence.servers) else "ice-needs-relay"


def _facts(agent: Agent, local: Sequence[Candidate]) -> dict[str, Any]:
    pairs = agent.checklist.pairs
    errors = Counter(pair.error for pair in pairs if pair.error)
    return {
        "local": _kinds(local),
        "remote": _kinds(agent.remote_candidates),
        "pairs": len(pairs),
        "answered": agent.evidence.succeeded.total(),
        "checks_sent": dict(agent.evidence.sent),
        "checks_received": dict(agent.evidence.received),
        "errors": dict(errors.most_common(4)),
    }


def _kinds(candidates: Sequence[Candidate]) -> dict[str, int]:
    """How many of each type and family: `{"host4": 1, "srflx4": 1}`. Addresses stay out of logs and status."""
    return dict(Counter(f"{c.type}{c.version or ''}" for c in candidates))
