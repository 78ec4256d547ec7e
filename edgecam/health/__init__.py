"""Health: one board of states, which readiness, status, metrics, systemd and the log all read; docs/health.md."""

from edgecam.health.board import Component, Condition, HealthBoard, State
from edgecam.health.ladder import Ladder, Step
from edgecam.health.memory import LadderMemory
from edgecam.health.pulse import Pulse

__all__ = ["Component", "Condition", "HealthBoard", "Ladder", "LadderMemory", "Pulse", "State", "Step"]
