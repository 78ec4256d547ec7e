"""Bytes that this process has given the network for its viewers, headers included: what a provider counts.

Whoever sends little counts itself into `octets`; whoever sends much keeps its own counters, and is asked when somebody
looks. The machine has one uplink, the process one count.
"""

from __future__ import annotations

from typing import Protocol
from weakref import WeakSet

UDP_HEADER, TCP_HEADER = 8, 32  # bytes; TCP's with timestamps
TLS_RECORD = 22  # bytes that a record of TLS 1.3 is longer than what is in it
_IPV4_HEADER, _IPV6_HEADER = 20, 40


def ip_header(address: str) -> int:
    """Bytes of it in front of what goes to that address."""
    return _IPV6_HEADER if ":" in address else _IPV4_HEADER


class Counted(Protocol):
    """Whoever keeps counters of its own."""

    @property
    def on_the_wire(self) -> int:
        """Bytes so far, headers included."""


class Traffic:
    """`octets` is what those have sent that are not, or no longer, among the counted."""

    def __init__(self) -> None:
        self.octets = 0
        self._counted: WeakSet[Counted] = WeakSet()

    def enter(self, counted: Counted) -> None:
        """Ask it from now on."""
        self._counted.add(counted)

    def leave(self, counted: Counted) -> None:
        """It sends nothing more. Idempotent."""
        if counted in self._counted:
            self._counted.discard(counted)
            self.octets += counted.on_the_wire

    @property
    def total(self) -> int:
        return self.octets + sum(counted.on_the_wire for counted in self._counted)


SENT = Traffic()
