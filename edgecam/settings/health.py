"""[health]: how far the daemon goes for a camera that is there and gives no picture; docs/health.md."""

from __future__ import annotations

from pydantic import Field

from edgecam.settings.section import Applied, Seconds, Section


class HealthSettings(Section):
    """[health]: how far the daemon goes for a camera that is there and gives no picture."""

    applied = Applied.AT_ONCE

    exit_after: Seconds = Field(
        900,
        ge=0,
        le=604_800,
        description='seconds, or text such as "15m", without a picture from a camera that is there, after which the daemon ends for '
        "systemd to start it anew; 0: never",
    )
    exits: int = Field(3, ge=1, le=100, description="times in a row that it does so for one camera; then only reopening is left")
    reboot: bool = Field(
        False, description="then ask for a reboot (exit code 79), which needs the drop-in of docs/health.md to be obeyed"
    )
    reboot_every: Seconds = Field(
        86_400, ge=3600, le=31_536_000, description='seconds, or text such as "1d": at most one reboot is asked for in that time'
    )
