"""What governors put on the health board: a line for each sensor that there is, and one for what was taken."""

from __future__ import annotations

from collections.abc import Iterable

from edgecam.governors.budget import SPENT, Budget
from edgecam.governors.disk import Disk
from edgecam.governors.heat import Heat
from edgecam.governors.power import Power
from edgecam.governors.shortage import Shortage
from edgecam.health import HealthBoard
from edgecam.media.types import NO_LIMITS, Limits


class Lines:
    """Lines appear with the first reading, and are `running` or `degraded`: nothing of this keeps pictures from moving."""

    def __init__(self, board: HealthBoard) -> None:
        self._board = board

    def remove(self, names: Iterable[str]) -> None:
        """Take them off the board."""
        for name in names:
            self._board.remove(name)

    def temperature(self, heat: Heat) -> None:
        if heat.celsius is None or heat.limit is None:
            self._board.remove("temperature")
        elif heat.hot:
            self._degraded("temperature", "temperature-high", f"{heat.celsius:.0f} °C, stepping down from {heat.limit:g} °C on")
        else:
            self._running("temperature")

    def power(self, power: Power | None) -> None:
        if power is None:
            self._board.remove("power")
        elif power.low:
            self._degraded("power", "undervoltage", "the power supply gives too little voltage; use a stronger one, and a shorter cable")
        elif power.slowed:
            self._degraded("power", "processor-slowed", "the firmware has slowed the processor down, most often for heat")
        else:
            self._running("power")

    def memory(self, shortage: Shortage, available: int | None) -> None:
        if available is None:
            self._board.remove("memory")
        elif shortage.low:
            self._degraded("memory", "memory-low", f"{megabytes(available)} left; nobody new is let in")
        else:
            self._running("memory")

    def disk(self, state: Disk | None, system: Disk | None, least: int) -> None:
        known = [disk for disk in (state, system) if disk is not None]
        full = [disk for disk in known if disk.free < least]
        if not known:
            self._board.remove("disk")
        elif state is not None and state.read_only:
            self._degraded("disk", "disk-read-only", f"{state.path} cannot be written; what is to outlive a restart is lost")
        elif full:
            self._degraded("disk", "disk-full", f"{full[0].path}: {megabytes(full[0].free)} left")
        else:
            self._running("disk")

    def budget(self, budget: Budget) -> None:
        said = f"{budget.used * 100 // budget.budget} % of the day's {gigabytes(budget.budget)} are sent"
        if budget.level == SPENT:
            self._degraded("budget", "budget-spent", said)
        elif budget.level:
            self._degraded("budget", "budget-ahead", f"{said}, and {budget.gone:.0%} of the day are over")
        else:
            self._running("budget")

    def limited(self, limits: Limits, causes: list[str]) -> None:
        if limits == NO_LIMITS:
            self._running("governor")
        else:
            self._degraded("governor", "limited", sentence(limits, causes))

    def _running(self, name: str) -> None:
        self._board.component(name).running()

    def _degraded(self, name: str, code: str, detail: str) -> None:
        self._board.component(name).degraded(code, detail)


_CAUSES = {
    "heat": "it is too hot",
    "power": "the power supply is too weak",
    "memory": "memory is short",
    "budget": "the day's bytes run out",
}


def sentence(limits: Limits, causes: list[str]) -> str:
    """For people: what is taken, and why."""
    taken = []
    if limits.fps is not None:
        taken.append(f"{limits.fps:g} pictures a second at most")
    if limits.bitrate < 1:
        taken.append(f"{limits.bitrate:.0%} of the bitrate" if limits.bitrate else "the least bitrate")
    if limits.best_rendition:
        taken.append("half the size" if limits.best_rendition == 1 else "a quarter of the size")
    why = " and ".join(_CAUSES[cause] for cause in causes)
    return f"{', '.join(taken)}, because {why}"


def megabytes(octets: int) -> str:
    return f"{octets / 1e6:.0f} MB"


def gigabytes(octets: int) -> str:
    return f"{octets / 1e9:.3g} GB"
