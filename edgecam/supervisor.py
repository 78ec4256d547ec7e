"""Run a component until it breaks; classify, back off with jitter, report, run it again."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from edgecam.errors import RetryableError
from edgecam.health import Component

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Full-jitter exponential backoff, in seconds; starts over after `reset_after` seconds of health."""

    first: float = 0.5
    cap: float = 30.0
    reset_after: float = 60.0

    def delays(self) -> Iterator[float]:
        """Endless waits: uniform between half of and the whole of min(cap, first * 2**n)."""
        ceiling = self.first
        while True:
            yield random.uniform(ceiling / 2, ceiling)
            ceiling = min(self.cap, ceiling * 2)


def leaf_errors(error: BaseException) -> list[BaseException]:
    """The errors inside an exception group, flattened: a TaskGroup wraps even a single one."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaf_errors(inner)]
    return [error]


def retryable(error: BaseException) -> RetryableError | None:
    """The first leaf when every leaf is retryable, else None."""
    leaves = leaf_errors(error)
    chosen = [leaf for leaf in leaves if isinstance(leaf, RetryableError)]
    return chosen[0] if chosen and len(chosen) == len(leaves) else None


async def supervise(run: Callable[[], Awaitable[None]], component: Component, backoff: Backoff) -> None:
    """Call `run()` for ever; a RetryableError is reported and backed off, anything else is raised.

    `run` reports `component.running()` itself once it really runs. Returns when `run` returns. The component's pulse says
    when it will be tried again; its ladder, if it has one, may ask for more patience, or end the daemon.
    """
    try:
        await _attempts(run, component, backoff)
    except asyncio.CancelledError:
        component.pulse.cancelled()
        raise
    component.pulse.returned()


async def _attempts(run: Callable[[], Awaitable[None]], component: Component, backoff: Backoff) -> None:
    delays = backoff.delays()
    while True:
        component.pulse.free()
        started = time.monotonic()
        try:
            await run()
        except Exception as error:  # this is the place where failures are classified
            reason = retryable(error)
            if reason is None:
                raise
            # A task group whose task breaks while it is cancelled raises what broke, and the cancellation is lost.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError from error
            healthy_for = time.monotonic() - max(started, component.state.since)
            if component.state.ready and healthy_for >= backoff.reset_after:
                delays = backoff.delays()
            component.waiting(reason.code, str(reason))
        else:
            return
        delay = next(delays)
        if component.ladder is not None:
            delay = max(delay, component.ladder.failed(reason))
        log.debug("component.backoff", component=component.name, seconds=round(delay, 2))
        component.pulse.promise(f"to be tried again after {delay:.1f} s", delay)
        await asyncio.sleep(delay)


@asynccontextmanager
async def background(
    *jobs: tuple[str, Callable[[], Coroutine[object, object, None]]],
) -> AsyncIterator[asyncio.TaskGroup]:
    """Run named jobs beside the block and cancel them when it is left; a job that raises cancels the block."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(job(), name=name) for name, job in jobs]
        try:
            yield group
        finally:
            for task in tasks:
                task.cancel()
