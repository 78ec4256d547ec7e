"""The proof that every part of the daemon turns, and what systemd is told of it; docs/health.md."""

from edgecam.watchdog.liveness import Liveness
from edgecam.watchdog.service import report_to_systemd

__all__ = ["Liveness", "report_to_systemd"]
