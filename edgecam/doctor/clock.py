"""Step: is this machine's clock right? Minted credentials and certificates depend on it."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Iterable
from dataclasses import dataclass

from edgecam.doctor.findings import Finding, ok, problem, skipped

TOLERANCE = 60.0  # seconds
SET_THE_CLOCK = "set the clock: systemctl enable --now systemd-timesyncd"


@dataclass(frozen=True, slots=True)
class Compared:
    """By how many seconds this machine's clock is ahead of `witness`."""

    witness: str
    ahead: float


def compared(witness: str, date: str) -> Compared | None:
    """A Date header (RFC 9110 section 5.6.7) that has just come against our clock; None when it cannot be read."""
    try:
        there = email.utils.parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError):
        return None
    return Compared(witness, time.time() - (there + 0.5))  # the header counts whole seconds


@dataclass(frozen=True, slots=True)
class Clock:
    """What is known of our clock. `not_yet`: a certificate that, by our clock, is not valid yet."""

    witnesses: tuple[Compared, ...] = ()
    not_yet: str = ""

    @classmethod
    def of(cls, witnesses: Iterable[Compared | None], not_yet: str = "") -> Clock:
        return cls(tuple(each for each in witnesses if each is not None), not_yet)

    @property
    def known(self) -> bool:
        return bool(self.witnesses)

    @property
    def ahead(self) -> float:
        """Seconds, by the witness that agrees with us most: the others' clocks may be wrong themselves."""
        return min((each.ahead for each in self.witnesses), key=abs, default=0.0)

    @property
    def wrong(self) -> bool:
        return abs(self.ahead) > TOLERANCE or (not self.known and bool(self.not_yet))

    @property
    def described(self) -> str:
        return f"{span(abs(self.ahead))} {'fast' if self.ahead > 0 else 'slow'}"

    def true_time(self, ours: float) -> float:
        """Unix time as the witness sees it, for a time of our clock."""
        return ours - self.ahead if self.wrong else ours


def span(seconds: float) -> str:
    """About how long that is, for people."""
    for unit, length in (("years", 31_536_000), ("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def clock_finding(clock: Clock) -> Finding:
    if not clock.known and clock.not_yet:
        detail = f"the certificate of {clock.not_yet} is not valid yet, by this clock ({time.strftime('%F %R', time.gmtime())} UTC)"
        return problem("clock", "", detail, code="clock-wrong", remedy=SET_THE_CLOCK)
    if not clock.known:
        return skipped("clock", "", "nobody to compare with: no signaling server or credentials_url answered")
    witness = min(clock.witnesses, key=lambda each: abs(each.ahead))
    facts = {"ahead_s": round(witness.ahead, 1)}
    if clock.wrong:
        detail = f"{clock.described}, says {witness.witness}"
        return problem("clock", "", detail, code="clock-wrong", remedy=SET_THE_CLOCK, **facts)
    return ok("clock", "", f"agrees with {witness.witness} within {max(1, round(abs(witness.ahead)))} s", **facts)
