"""The supervisor: what is retried, how long it waits, and what it lets through."""

from __future__ import annotations

import asyncio
import time
from itertools import islice

import pytest

from edgecam.errors import CaptureError, ConfigError
from edgecam.health import Condition, HealthBoard, pulse
from edgecam.supervisor import Backoff, background, leaf_errors, retryable, supervise

QUICK = Backoff(first=0.01, cap=0.02, reset_after=0.05)


def test_waits_grow_to_the_cap_with_jitter() -> None:
    delays = list(islice(Backoff(first=0.5, cap=30, reset_after=60).delays(), 12))
    assert all(0.25 <= delays[0] <= 0.5 for _ in delays)
    assert all(15 <= delay <= 30 for delay in delays[7:])
    assert len(set(delays)) == 12


def test_a_retryable_failure_is_reported_and_tried_again_until_it_works() -> None:
    board = HealthBoard()
    component = board.component("camera.front")
    seen: list[tuple[Condition, str]] = []
    board.watch(lambda: seen.append((component.state.condition, component.state.code)))
    attempts = 0

    async def run() -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise CaptureError("gone", code="camera-absent")
        component.running()

    asyncio.run(supervise(run, component, QUICK))
    assert attempts == 3
    assert component.failures == 2
    assert seen == [(Condition.WAITING, "camera-absent"), (Condition.RUNNING, "")]


def test_a_failure_inside_a_task_group_is_classified_by_its_leaves() -> None:
    group = ExceptionGroup("one", [ExceptionGroup("two", [CaptureError("a"), CaptureError("b")])])
    assert retryable(group) is not None
    assert len(leaf_errors(group)) == 2
    assert retryable(ExceptionGroup("mixed", [CaptureError("a"), ValueError("b")])) is None


async def returns() -> None:
    """An attempt that is over at once, and nothing was wrong."""


def test_what_breaks_while_it_is_cancelled_is_not_tried_again() -> None:
    async def scenario() -> None:
        async def breaks_when_cancelled() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                raise CaptureError("the server went away at the same moment", code="signaling-lost")

        async def run() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(breaks_when_cancelled(), name="connection")

        board = HealthBoard()
        task = asyncio.create_task(supervise(run, board.component("signaling.home"), Backoff(10)), name="supervisor")
        await asyncio.sleep(0.01)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=2)
        assert done
        assert task.cancelled()

    asyncio.run(scenario())


def test_a_pulse_is_broken_by_whoever_is_late_hangs_or_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "LATE", 0.0)
    component = HealthBoard().component("camera.front")
    now = time.monotonic()
    assert not component.pulse.broken(now), "nobody supervises it yet"
    component.pulse.promise("to be tried again", 1.0)
    assert not component.pulse.broken(now)
    assert "to be tried again, 9 s late" in component.pulse.broken(now + 10)
    component.pulse.free()
    assert not component.pulse.broken(now + 1e6), "what runs may run for ever"
    component.pulse.attempt = lambda: now + 5
    assert not component.pulse.broken(now)
    assert "it hangs: 5 s ago" in component.pulse.broken(now + 10)
    component.pulse.attempt = None
    asyncio.run(asyncio.wait_for(supervise(returns, component, QUICK), 1))
    assert component.pulse.broken(now) == "its supervisor has ended"
    component.pulse.cancelled()
    component.pulse.free()
    assert not component.pulse.broken(now + 60, wanted=True), "begun anew"
    component.pulse.cancelled()
    assert not component.pulse.broken(now + 60), "no longer wanted"
    assert not component.pulse.broken(now + 1, wanted=True), "a reload does that too"
    assert component.pulse.broken(now + 60, wanted=True) == "its supervisor has ended"


@pytest.mark.parametrize("error", [ConfigError("bad"), ValueError("bug")])
def test_anything_else_unwinds(error: Exception) -> None:
    async def run() -> None:
        raise error

    with pytest.raises(type(error)):
        asyncio.run(supervise(run, HealthBoard().component("x"), QUICK))


def test_background_jobs_end_with_their_block_and_a_broken_one_ends_the_block() -> None:
    async def scenario() -> None:
        ended = asyncio.Event()

        async def job() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        async with background(("job", job)):
            await asyncio.sleep(0)
        assert ended.is_set()

        async def broken() -> None:
            raise ValueError("bug")

        with pytest.raises(ExceptionGroup):
            async with background(("broken", broken)):
                await asyncio.Event().wait()

    asyncio.run(asyncio.wait_for(scenario(), 2))
