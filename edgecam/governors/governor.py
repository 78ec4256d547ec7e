"""The governor: looks at sensors and counters, steps, tells cameras and viewers, and says so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from functools import partial, reduce
from pathlib import Path

import structlog

from edgecam.errors import ViewerRefusedError
from edgecam.governors import budget as budgets
from edgecam.governors.budget import Budget
from edgecam.governors.heat import Heat
from edgecam.governors.ledger import Ledger
from edgecam.governors.lines import Lines, sentence
from edgecam.governors.meter import InterfaceMeter, Meter, SentMeter
from edgecam.governors.readings import Readings, look
from edgecam.governors.shortage import Shortage
from edgecam.governors.steps import Steps, heat_ladder
from edgecam.health import HealthBoard
from edgecam.media.pipeline import Pipeline
from edgecam.media.types import NO_LIMITS, Limits
from edgecam.rtc.memory import MemoryReturn
from edgecam.rtc.viewers import Viewers
from edgecam.settings import GovernorSettings

log = structlog.get_logger(__name__)

LOOK_EVERY = 5.0  # seconds between two looks at the sensors at most
LOOKS_A_STEP = 24  # as many fit into recover_after: two between steps down that are urgent
COUNT_EVERY = 1.0  # seconds between two looks at the counters


class Governor:
    """One for all cameras. `run()` never returns; cancelled, it writes down what it has counted, and may be run again.

    `root` is where `/sys` and `/proc` are found. Without sensors and budget it costs a look every five seconds.
    """

    def __init__(
        self,
        settings: GovernorSettings,
        state_dir: Path,
        board: HealthBoard,
        pipelines: Mapping[str, Pipeline],
        viewers: Viewers,
        root: Path = Path("/"),
    ) -> None:
        self.settings = settings
        self.readings = Readings()
        self.limits = NO_LIMITS
        self.causes: list[str] = []
        self.ladder = heat_ladder(settings.min_fps)
        last = len(self.ladder) - 1
        self.heat = Heat(settings.temperature, settings.hysteresis, Steps(last, settings.recover_after))
        self.shortage = Shortage(settings.min_free_memory, Steps(last, settings.recover_after))
        self.budget: Budget | None = None
        self._state_dir = state_dir
        self._root = root
        self._pipelines = pipelines
        self._viewers = viewers
        self._lines = Lines(board)
        self._memory = MemoryReturn()
        self._powerless = False  # whether the present step began with too little voltage

    def apply(self, settings: GovernorSettings) -> None:
        """Other settings from the next `run` on. What is still watched goes on from where it stands; what is not is forgotten."""
        self.settings = settings
        self.ladder = heat_ladder(settings.min_fps)
        if not settings.thermal:
            self.heat = Heat(None, settings.hysteresis, Steps(len(self.ladder) - 1, settings.recover_after))
            self._powerless = False
        self.heat.apply(settings.temperature, settings.hysteresis)
        if not settings.min_free_memory:
            self.shortage = Shortage(0, Steps(len(self.ladder) - 1, settings.recover_after))
        self.shortage.apply(settings.min_free_memory)
        for steps in (self.heat.steps, self.shortage.steps):
            steps.apply(settings.recover_after)
        if not settings.daily_bytes:
            self.budget = None
        elif self.budget is not None:
            self.budget.apply(settings.daily_bytes, settings.day_begins)

    async def run(self) -> None:
        self._lines.remove(self._unwatched())
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._look(), name="governor sensors")
                if self.settings.daily_bytes:
                    group.create_task(self._count(), name="governor bytes")
        finally:
            self._memory.cancel()

    def _unwatched(self) -> list[str]:
        """Lines of the board that the settings turn off."""
        settings = self.settings
        watched = {
            "temperature": settings.thermal,
            "power": settings.thermal,
            "memory": settings.min_free_memory,
            "disk": settings.min_free_disk,
            "budget": settings.daily_bytes,
        }
        return [name for name, so in watched.items() if not so]

    # sensors

    async def _look(self) -> None:
        every = min(LOOK_EVERY, self.settings.recover_after / LOOKS_A_STEP)
        while True:
            # In a thread: a firmware or a disk that does not answer must not hold pictures up.
            self.readings = await asyncio.to_thread(look, self._root, self._state_dir)
            self._judge(time.monotonic())
            await asyncio.sleep(every)

    def _judge(self, now: float) -> None:
        settings, readings, lines = self.settings, self.readings, self._lines
        if settings.thermal:
            self.heat.judge(readings.temperature, readings.power, now)
            self._powerless = (readings.power is not None and readings.power.low) or (self._powerless and self.heat.steps.level > 0)
            lines.temperature(self.heat)
            lines.power(readings.power)
        self.shortage.judge(readings.memory, now)
        if self.shortage.low:
            self._memory.soon()
        if settings.min_free_memory:
            lines.memory(self.shortage, readings.memory.available if readings.memory is not None else None)
        if settings.min_free_disk:
            lines.disk(readings.state, readings.system, settings.min_free_disk)
        self._apply()

    # bytes

    async def _count(self) -> None:
        settings, now = self.settings, _since_boot
        ledger = Ledger(self._state_dir, settings.daily_bytes)
        record = await asyncio.to_thread(ledger.read)
        if self.budget is None:
            self.budget = Budget(settings.daily_bytes, settings.day_begins, record, time.time(), now())
        budget = self.budget
        patterns = settings.metered_interfaces
        meter: Meter = InterfaceMeter(self._root, patterns) if patterns else SentMeter()
        try:
            while True:
                budget.count(meter.take(), time.time(), now())
                self._lines.budget(budget)
                self._apply()
                if ledger.due(budget.record, now()):
                    await asyncio.to_thread(ledger.write, budget.record, now())
                await asyncio.sleep(COUNT_EVERY)
        finally:
            budget.count(meter.take(), time.time(), now())
            ledger.write(budget.record, now())

    # what follows

    def _apply(self) -> None:
        """Also to cameras that have come meanwhile."""
        limits, causes = self._wanted()
        before, self.limits, self.causes = self.limits, limits, causes
        for pipeline in self._pipelines.values():
            pipeline.limit(limits)
        self._viewers.admission.refusal = self._refusal()
        if self.budget is not None and self.budget.spent and self.settings.when_spent == "stop":
            for session in self._viewers:
                session.end("the day's bytes are sent")
        self._lines.limited(limits, causes)
        if limits != before:
            said = sentence(limits, causes) if limits != NO_LIMITS else "no limits"
            log.info(
                "governor.step", fps=limits.fps, bitrate=limits.bitrate, best_rendition=limits.best_rendition, causes=causes, said=said
            )

    def _wanted(self) -> tuple[Limits, list[str]]:
        heat = self.ladder[self.heat.steps.level]
        steps = {("power" if self._powerless and not self.heat.hot else "heat"): heat}
        steps["memory"] = self.ladder[self.shortage.steps.level]
        if self.budget is not None:
            steps["budget"] = budgets.LADDER[self.budget.level]
        causes = [cause for cause, limits in steps.items() if limits != NO_LIMITS]
        return reduce(Limits.with_those_of, steps.values(), NO_LIMITS), causes

    def _refusal(self) -> partial[ViewerRefusedError] | None:
        if self.shortage.low:
            return partial(
                ViewerRefusedError, "this camera host is short of memory", remedy="try again in a minute", code="memory-low"
            )
        if self.budget is not None and self.budget.spent and self.settings.when_spent != "floor":
            return partial(
                ViewerRefusedError,
                "what this camera host may send a day is sent",
                remedy="try again tomorrow, or raise [governor] daily_bytes",
                code="budget-spent",
            )
        return None


def _since_boot() -> float:
    """CLOCK_BOOTTIME, seconds: a machine that was suspended has not had its clock set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
