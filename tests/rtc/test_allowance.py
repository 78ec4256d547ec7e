from __future__ import annotations

from edgecam.rtc.allowance import Allowance


def test_an_allowance_fills_again_with_time() -> None:
    allowance = Allowance(rate=2.0, burst=3.0)
    assert [allowance.spend(100.0) for _ in range(4)] == [True, True, True, False]
    assert not allowance.spend(100.4)
    assert allowance.spend(100.5)
    assert [allowance.spend(200.0) for _ in range(4)] == [True, True, True, False]
