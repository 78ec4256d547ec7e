"""[blackbox]: what is kept of the last hours for whoever has to find out what happened."""

from __future__ import annotations

from pydantic import Field

from edgecam.settings.section import Applied, Section


class BlackboxSettings(Section):
    """[blackbox]: the last events, in memory; written to state_dir only after a death."""

    applied = Applied.RESTART

    memory_bytes: int = Field(
        1_000_000, ge=65_536, le=16_000_000, description="memory for the last events, diagnoses and vital signs; about a day of them"
    )
    keep: int = Field(5, ge=0, le=50, description="deaths of the daemon that are kept in state_dir, some 100 kB each; 0 writes none")
    writes_per_day: int = Field(4, ge=1, le=100, description="such files written a day at most, for the sake of SD cards")
