"""A Raspberry Pi's power supply and its firmware's own throttling."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgecam.governors.sysfiles import number, text

# What `vcgencmd get_throttled` shows: now, and once since the last start (16 bits further up).
UNDERVOLTAGE, FREQUENCY_CAPPED, THROTTLED, SOFT_LIMIT = 1, 2, 4, 8
SINCE_START = 16
_FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"


@dataclass(frozen=True, slots=True)
class Power:
    """`low`: the voltage is too low now. `slowed`: the firmware has slowed the processor down, for whatever reason.
    `was_low`: it has been too low since the machine started, if that is known."""

    low: bool
    slowed: bool = False
    was_low: bool = False


def read(root: Path) -> Power | None:
    """None where nobody can tell. `root` is where `/sys` is found."""
    alarms = [_alarm(chip) for chip in (root / "sys/class/hwmon").glob("hwmon*")]
    known = [alarm for alarm in alarms if alarm is not None]
    bits = number(root / _FIRMWARE, 16)
    if bits is None:
        return Power(any(known)) if known else None
    return Power(
        any(known) or bool(bits & UNDERVOLTAGE),
        bool(bits & (FREQUENCY_CAPPED | THROTTLED | SOFT_LIMIT)),
        bool(bits >> SINCE_START & UNDERVOLTAGE),
    )


def _alarm(chip: Path) -> bool | None:
    """Of the driver raspberrypi-hwmon; None of any other chip."""
    if text(chip / "name") != "rpi_volt":
        return None
    alarm = number(chip / "in0_lcrit_alarm")
    return None if alarm is None else bool(alarm)
