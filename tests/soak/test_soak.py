"""Two minutes of the soak; `make soak` takes an hour."""

from __future__ import annotations

import pytest

from tests.soak.creep import LatencyTrace
from tests.soak.short import soak


@pytest.mark.alone
@pytest.mark.timeout(240)
def test_two_minutes_leave_latency_and_footprint_as_they_were() -> None:
    soak("--calm", minutes=2.0)


def test_a_queue_that_fills_is_noticed_however_noisy_the_machine() -> None:
    calm, filling = LatencyTrace(), LatencyTrace()
    for second in range(60):
        noise = 40.0 if second % 3 else 0.0
        for trace, creep in ((calm, 0.0), (filling, second * 0.2)):
            trace.note([{"latency_p50_ms": 13.0 + noise + creep + second / 1000, "latency_p95_ms": 90.0}])
    assert not calm.creeps
    assert filling.creeps
