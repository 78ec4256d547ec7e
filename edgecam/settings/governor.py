"""[governor]: what the device and its link can afford, and what happens when it is exceeded."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from edgecam.settings.section import Applied, Seconds, Section

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def parse_size(value: object) -> object:
    """Bytes of text such as 500MB, 2.5GB or 32MiB; anything else as it is."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT]|[KMG]i)?B", value) if isinstance(value, str) else None
    return round(float(match[1]) * _UNITS[match[2] or ""]) if match else value


Bytes = Annotated[int, BeforeValidator(parse_size)]


class GovernorSettings(Section):
    """[governor]: takes pictures a second, then bits, then size from all cameras when the device or its link cannot afford them."""

    applied = Applied.AT_ONCE

    thermal: bool = Field(True, description="step down when it is hot, and when the power supply is too weak")
    temperature: float | None = Field(
        None, ge=40, le=110, description="degrees Celsius at which stepping down begins; unset: 75, and 90 on x86 processors"
    )
    hysteresis: float = Field(5, ge=1, le=20, description="degrees below that at which climbing back may begin")
    recover_after: Seconds = Field(
        120, ge=1, le=86_400, description='seconds, or text such as "2m", for which all must be well before each step back'
    )
    min_fps: float = Field(5, ge=1, le=30, description="pictures a second that no step goes below")
    daily_bytes: Bytes = Field(0, ge=0, description='what may be sent a day, e.g. "2GB"; 0 does not count')
    day_begins: int = Field(0, ge=0, le=23, description="hour of local time at which a new day of daily_bytes begins")
    metered_interfaces: tuple[str, ...] = Field(
        (), description='count what these interfaces send and receive, whoever uses them, e.g. ["wwan*"]; empty: only what edgecam sends'
    )
    when_spent: Literal["floor", "refuse", "stop"] = Field(
        "refuse", description="daily_bytes sent: floor: poorest picture only; refuse: nobody new either; stop: nobody at all"
    )
    min_free_memory: Bytes = Field(
        32_000_000, ge=0, description="bytes of memory below which viewers are refused and what can be given up is; 0 never"
    )
    min_free_disk: Bytes = Field(50_000_000, ge=0, description="bytes free for state_dir below which health says disk-full; 0 never")

    @model_validator(mode="after")
    def _enough_to_count(self) -> GovernorSettings:
        if 0 < self.daily_bytes < 10_000_000:
            raise ValueError("daily_bytes is below 10 MB, which is less than a minute of pictures; write for example 500MB")
        return self
