"""Another device that goes by our name. Probing finds one that is there already; two that start at once find each other only later.

Imported only where zeroconf is: it is derived from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zeroconf import RecordUpdate, RecordUpdateListener, Zeroconf

SRV = 33  # the type of service records (RFC 2782)


class Rivals(RecordUpdateListener):
    """Calls `found(host)` for each service record of our name that leads to another host (RFC 6762 section 9)."""

    def __init__(self, service: str, host: str, found: Callable[[str], None]) -> None:
        self._service = service.lower()
        self._host = host.lower()
        self._found = found

    def async_update_records(self, _zeroconf: Zeroconf, now: float, records: Sequence[RecordUpdate]) -> None:
        """Of zeroconf."""
        for each in records:
            record = each.new
            if record.type == SRV and record.name.lower() == self._service and not record.is_expired(now):
                host = str(getattr(record, "server", self._host)).lower()
                if host != self._host:
                    self._found(host)

    def async_update_records_complete(self) -> None:
        """Of zeroconf."""
