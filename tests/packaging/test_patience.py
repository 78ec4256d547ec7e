"""Who waits is as much more patient as the processors were somebody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import stolen, waiting

SECOND = 100  # of the kernel's ticks


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[float]:
    """The clock, and a machine whose processors have done nothing yet."""
    clock = [1000.0]
    monkeypatch.setattr(stolen, "STAT", tmp_path / "stat")
    monkeypatch.setattr(stolen, "LIMIT", tmp_path / "none")
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    processors(used=0, taken=0)
    return clock


def processors(used: float, taken: float) -> None:
    fields = [used * SECOND, 0, 0, 500 * SECOND, 0, 0, 0, taken * SECOND, 0, 0]
    stolen.STAT.write_text(f"cpu  {' '.join(str(round(field)) for field in fields)}\ncpu0 1\n")


@pytest.mark.parametrize(
    ("used", "taken", "lasts"),
    [
        pytest.param(8, 0, 10, id="ours"),
        pytest.param(0, 0, 10, id="nothing was wanted"),
        pytest.param(8, 8, 20, id="half of it taken"),
        pytest.param(1, 99, 10 * stolen.SLOWEST, id="all of it taken"),
    ],
)
def test_patience_ends_as_late_as_the_machine_was_slow(now: list[float], used: float, taken: float, lasts: float) -> None:
    patience = waiting.Patience(10)
    processors(used, taken)
    now[0] += lasts - 0.1
    assert not patience.ended
    now[0] += 0.2
    assert patience.ended
