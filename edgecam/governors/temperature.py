"""The temperature of the processor: the hottest of its thermal zones, or of its hwmon inputs where there are no zones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgecam.governors.sysfiles import number, text

# A zone's type, or a hwmon's name. What is left out on purpose: batteries, radios, disks, and ACPI's guesses.
_PROCESSOR = re.compile(r"cpu|soc|gpu|pkg|core|tsens|k10temp|zenpower|bcm2|sun[0-9]*i|rockchip|imx_thermal|exynos|meson", re.IGNORECASE)
_X86 = re.compile(r"x86_pkg|coretemp|k10temp|zenpower", re.IGNORECASE)
_BELIEVABLE = (-40_000, 150_000)  # thousandths of a degree
DEFAULT, DEFAULT_X86 = 75.0, 90.0  # a Raspberry Pi throttles at 80 and 85, an x86 processor near 100


@dataclass(frozen=True, slots=True)
class Temperature:
    """Degrees Celsius of the hottest sensor, and its name."""

    celsius: float
    sensor: str

    @property
    def usual_limit(self) -> float:
        """Where stepping down begins unless it is configured: below what makes this kind of processor slow down by itself."""
        return DEFAULT_X86 if _X86.search(self.sensor) else DEFAULT


def read(root: Path) -> Temperature | None:
    """None where there is no such sensor. `root` is where `/sys` is found."""
    found = list(_zones(root)) or list(_inputs(root))
    return max(found, key=lambda each: each.celsius, default=None)


def _zones(root: Path) -> Iterator[Temperature]:
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        yield from _reading(text(zone / "type"), number(zone / "temp"))


def _inputs(root: Path) -> Iterator[Temperature]:
    for chip in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        name = text(chip / "name")
        for each in sorted(chip.glob("temp*_input")):
            yield from _reading(name, number(each))


def _reading(name: str | None, thousandths: int | None) -> Iterator[Temperature]:
    if name and thousandths is not None and _PROCESSOR.search(name) and _BELIEVABLE[0] < thousandths < _BELIEVABLE[1]:
        yield Temperature(thousandths / 1000, name)
