"""What a TURN server means that refuses: a stable code, and what a person can do about it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from edgecam.peers import expiry_of

# RFC 8656 section 19, RFC 8489 section 14.8
WRONG_CREDENTIALS = frozenset({401, 431, 441})


@dataclass(frozen=True, slots=True)
class Refusal:
    """A stable code, and what to do."""

    code: str
    remedy: str


_REFUSALS = {
    403: Refusal("turn-forbidden", "the server forbids this user or address: look at its access rules"),
    442: Refusal("turn-forbidden", "the server relays no UDP: allow it there"),
    486: Refusal("turn-quota", "this user has all the allocations it may have: raise user-quota there, or end other sessions"),
    508: Refusal("turn-quota", "the server has no relay address left: widen min-port and max-port there, or raise total-quota"),
}
_OTHER = Refusal("turn-forbidden", "look into the server's log")
_OVER = Refusal("credential-expired", "the credentials have ended: get fresh ones, or give the server's static-auth-secret as secret")
_WRONG = Refusal(
    "turn-401", "check its username and credential (password), and this machine's clock if they are time-limited"
)


def refusal_of(number: int, username: str = "") -> Refusal:
    """Of a STUN error code, 300 to 699. `username` tells whether time-limited credentials are over, by this machine's clock."""
    if number in WRONG_CREDENTIALS:
        expiry = expiry_of(username)
        return _OVER if expiry is not None and expiry < time.time() else _WRONG
    return _REFUSALS.get(number, _OTHER)
