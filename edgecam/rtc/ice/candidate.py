"""ICE candidates (RFC 8445 section 5.1) and their lines (RFC 8839 section 5.1)."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass, replace

TYPE_PREFERENCE = {"host": 126, "prflx": 110, "srflx": 100, "relay": 0}
MAX_LINE = 1024


@dataclass(frozen=True, slots=True)
class Candidate:
    """One transport address; the field names are aioice's, because aiortc reads them. `generation` and the like are left out."""

    foundation: str
    component: int
    transport: str
    priority: int
    host: str
    port: int
    type: str
    related_address: str | None = None
    related_port: int | None = None
    tcptype: str | None = None

    @property
    def line(self) -> str:
        """`candidate:…` without `a=`."""
        text = f"candidate:{self.foundation} {self.component} {self.transport} {self.priority} {self.host} {self.port} typ {self.type}"
        if self.related_address is not None:
            text += f" raddr {self.related_address} rport {self.related_port}"
        return text

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.port

    @property
    def version(self) -> int:
        """4 or 6; 0 for a name."""
        try:
            return ipaddress.ip_address(self.host).version
        except ValueError:
            return 0

    def at(self, host: str) -> Candidate:
        """The same candidate at a resolved address."""
        return replace(self, host=str(ipaddress.ip_address(host)))


def parse_line(line: str) -> Candidate | None:
    """The candidate in `a=candidate:…`, with or without prefix; None for what is not UDP or cannot be read."""
    text = line.strip().removeprefix("a=").removeprefix("candidate:")
    fields = text.split()
    if len(text) > MAX_LINE or len(fields) < 8 or fields[2].lower() != "udp" or fields[6] != "typ":
        return None
    try:
        component, priority, port = int(fields[1]), int(fields[3]), int(fields[5])
    except ValueError:
        return None
    kind = fields[7]
    if not (0 < port < 65536 and 0 <= priority < 2**32 and component == 1 and kind in TYPE_PREFERENCE):
        return None
    return Candidate(fields[0][:64], component, "udp", priority, fields[4].lower(), port, kind)


def priority(kind: str, local_preference: int, type_preference: int | None = None) -> int:
    """RFC 8445 section 5.1.2.1, for the only component."""
    preference = TYPE_PREFERENCE[kind] if type_preference is None else type_preference
    return (preference << 24) + (local_preference << 8) + 255


def foundation(kind: str, base: str, server: str = "") -> str:
    """Equal for candidates of one type, base address and server (RFC 8445 section 5.1.1.3)."""
    return hashlib.md5(f"{kind}|{base}|{server}".encode(), usedforsecurity=False).hexdigest()[:16]
