"""The supervisor: what is retried, how long it waits, and what it lets through."""

from __future__ import annotations

import asyncio
from itertools import islice

import pytest

from edgecam.errors import CaptureError, ConfigError
from edgecam.health import Condition, HealthBoard
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
