"""Step: each TURN server, each transport of it: does it give this machine a relay address, and if not, why not."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass

from edgecam.doctor.clock import SET_THE_CLOCK, Clock, span
from edgecam.doctor.findings import Finding, ok, problem, skipped
from edgecam.doctor.nat import CHECK_NAME, udp_blocked
from edgecam.doctor.reach import Reach
from edgecam.doctor.servers import Endpoint
from edgecam.doctor.udp import Silence
from edgecam.rtc.ice.refusals import WRONG_CREDENTIALS, refusal_of
from edgecam.rtc.ice.stun import Address
from edgecam.rtc.ice.transactions import StunError
from edgecam.rtc.ice.turn import Allocation

STEP = "turn"
SOON = 600.0  # seconds


@dataclass(frozen=True, slots=True)
class TurnResult:
    """What came of one endpoint: `relayed` is the address that it gave, None unless it works."""

    endpoint: Endpoint
    finding: Finding
    relayed: Address | None = None

    def seen_with(self, reach: Reach) -> TurnResult:
        """The same in the light of what is known of UDP: where nothing comes through, the server is not to blame."""
        answer = reach.answers.get(self.endpoint.where)
        if self.finding.code != "turn-unreachable" or not reach.udp_blocked or not isinstance(answer, Silence):
            return self
        return TurnResult(self.endpoint, udp_blocked(STEP, self.endpoint, answer))


async def try_turn(endpoint: Endpoint, address: Address | None, clock: Clock) -> TurnResult:
    """Allocate on one endpoint with the camera's own TURN client, and give the address back. Takes 10 s at most."""
    if endpoint.over == "dtls":
        why = "TURN over DTLS is not supported; use turns: with ?transport=tcp"
        return TurnResult(endpoint, skipped(STEP, endpoint.shown, why))
    if address is None:
        return _unreachable(endpoint, "the host name cannot be resolved", CHECK_NAME)
    allocation = Allocation(endpoint.server)
    try:
        seconds = await allocation.open(address)
    except StunError as error:
        if not error.code:
            return _unreachable(endpoint, error.reason, "check that it runs, its port, and that no firewall is between")
        return TurnResult(endpoint, _refused(endpoint, error, clock))
    except ssl.SSLError as error:
        return TurnResult(endpoint, _tls(endpoint, error))
    except TimeoutError:
        return _unreachable(endpoint, "no connection", "check that it runs, its port, and that no firewall is between")
    except OSError as error:
        return _unreachable(endpoint, (error.strerror or str(error)).lower(), "check that it runs there, and its port")
    relayed = allocation.relayed
    await allocation.release()
    assert relayed is not None
    return TurnResult(endpoint, _works(endpoint, relayed, seconds, clock), relayed)


def _unreachable(endpoint: Endpoint, why: str, remedy: str) -> TurnResult:
    return TurnResult(endpoint, problem(STEP, endpoint.shown, why, code="turn-unreachable", remedy=remedy))


def _works(endpoint: Endpoint, relayed: Address, seconds: float, clock: Clock) -> Finding:
    detail = f"gives the address {relayed[0]}:{relayed[1]} in {seconds * 1000:.0f} ms"
    left = endpoint.expiry - clock.true_time(time.time()) if endpoint.expiry is not None else None
    if left is not None and left < SOON and endpoint.origin != "minted":
        detail += f"; its credentials end in {span(left)}"
    return ok(STEP, endpoint.shown, detail, relayed=f"{relayed[0]}:{relayed[1]}", allocate_ms=round(seconds * 1000, 1))


def _refused(endpoint: Endpoint, error: StunError, clock: Clock) -> Finding:
    detail = f"the server refuses: {error}"
    if error.code in WRONG_CREDENTIALS:
        code, why, remedy = _why_credentials(endpoint, clock)
        return problem(STEP, endpoint.shown, detail + why, code=code, remedy=remedy, number=error.code)
    refusal = refusal_of(error.code)
    return problem(STEP, endpoint.shown, detail, code=refusal.code, remedy=refusal.remedy, number=error.code)


def _why_credentials(endpoint: Endpoint, clock: Clock) -> tuple[str, str, str]:
    """Code, more detail, remedy: servers say 401 whether a password is wrong or its time is over."""
    now = clock.true_time(time.time())
    expiry = endpoint.expiry
    if expiry is not None and expiry < now:
        if endpoint.origin == "minted" and clock.wrong:
            return "clock-wrong", f"; the credentials were minted by a clock that is {clock.described}", SET_THE_CLOCK
        return "credential-expired", f"; the credentials ended {span(now - expiry)} ago", _FRESH[endpoint.origin]
    if endpoint.origin == "minted":
        unsure = "" if clock.known else ", and this machine's clock"
        return "turn-401", "", f"check that secret is the server's static-auth-secret{unsure}"
    whose = " that the signaling server hands out" if endpoint.origin == "signaling" else ""
    return "turn-401", "", f"check username and credential (password){whose}"


_FRESH = {
    "configured": "put fresh ones into [[ice.servers]], or the server's static-auth-secret as secret: then they are made in time",
    "minted": "give ttl more seconds",
    "fetched": "the service at credentials_url hands out old ones: look at its clock, and at its cache",
    "signaling": "the signaling server hands out old ones: give it secret in [[server.ice_servers]] instead of a fixed user name",
}


def _tls(endpoint: Endpoint, error: ssl.SSLError) -> Finding:
    if isinstance(error, ssl.SSLCertVerificationError):
        detail = f"its TLS certificate is not trusted: {error.verify_message}"
        remedy = "install its CA certificate on this machine, or use the host name that the certificate is for"
    else:
        detail, remedy = f"TLS failed: {error.reason or error}", "check that this port speaks TLS"
    return problem(STEP, endpoint.shown, detail, code="turn-tls", remedy=remedy)
