"""Ports for servers that tests start."""

from __future__ import annotations

import itertools
import os
import socket

# Below the range that Linux gives to outgoing connections, so that nobody takes a port between finding and using it;
# begun at a place of this process, so that two test runs side by side seldom look at the same one.
FIRST, COUNT = 20_000, 12_000
_next = itertools.count(os.getpid() * 37)


def free_port() -> int:
    """A TCP port that nothing listens on, on any address."""
    for number in _next:
        port = FIRST + number % COUNT
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
        return port
    raise AssertionError("unreachable")
