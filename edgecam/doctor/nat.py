"""Step: STUN servers, and what they say of the NAT in front of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgecam.doctor.findings import Finding, ok, problem, skipped
from edgecam.doctor.reach import Mappings, Reach
from edgecam.doctor.servers import Endpoint
from edgecam.doctor.udp import Bound, Silence

STEP = "stun"
CHECK_NAME = "check the name in urls, and the network's DNS"


def stun_findings(stun: Sequence[Endpoint], reach: Reach) -> Iterator[Finding]:
    """One finding a server, and one of the NAT when somebody has seen us."""
    if not stun:
        yield skipped(STEP, "", "no STUN server is configured")
    for endpoint in stun:
        yield _server(endpoint, reach)
    if reach.mappings.seen:
        yield _nat(reach.mappings)


def _server(endpoint: Endpoint, reach: Reach) -> Finding:
    name = endpoint.shown
    if endpoint.over != "udp":
        return skipped(STEP, name, "STUN over TLS tells nothing of the way that video takes")
    if reach.addresses.get(endpoint.where) is None:
        return problem(STEP, name, "the host name cannot be resolved", code="stun-silent", remedy=CHECK_NAME)
    answer = reach.answers[endpoint.where]
    if isinstance(answer, Bound):
        took = answer.seconds * 1000
        return ok(STEP, name, f"answers in {took:.0f} ms", answer_ms=round(took, 1))
    if reach.udp_blocked:
        return udp_blocked(STEP, endpoint, answer)
    remedy = "check that it runs, and its port; or take it out of the list"
    return problem(STEP, name, f"no answer over UDP{_said(answer)}", code="stun-silent", remedy=remedy)


def _said(answer: Silence) -> str:
    return f" ({answer.reason})" if answer.reason else ""


def udp_blocked(step: str, endpoint: Endpoint, answer: Silence) -> Finding:
    """The finding of a server that UDP does not reach although it, or another one, is there."""
    if answer.forbidden:
        detail = f"this machine may not send UDP{_said(answer)}"
    else:
        detail = "no answer over UDP, though TCP gets through: a firewall blocks UDP"
    remedy = "let UDP out, to ports 3478 and 49152-65535; or name a TURN server that is reached over TCP or TLS"
    return problem(step, endpoint.shown, detail, code="udp-blocked", remedy=remedy)


def _nat(mappings: Mappings) -> Finding:
    """How this machine is seen. Whether a symmetric NAT is a problem depends on TURN, and is said with the paths."""
    seen = sorted({f"{host}:{port}" for host, port in mappings.seen.values()})
    facts = {"seen_as": seen, "symmetric": mappings.symmetric, "nat": mappings.natted}
    if not mappings.natted:
        return ok("nat", "", f"none: this machine is seen by its own address, {seen[0]}", **facts)
    if mappings.symmetric is None:
        return ok("nat", "", f"seen as {seen[0]}; of which kind it is takes a second STUN server to tell", **facts)
    if mappings.symmetric:
        return ok("nat", "", f"symmetric: each server sees another address ({', '.join(seen)})", **facts)
    return ok("nat", "", f"seen as {seen[0]} by every server: most viewers get through directly", **facts)
