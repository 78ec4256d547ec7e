"""Two minutes of the soak's scene under full load; `make soak ARGS='--watchdog --minutes 30'` takes half an hour."""

from __future__ import annotations

import pytest

from tests.soak.short import soak


@pytest.mark.timeout(240)
def test_two_minutes_of_full_load_with_a_camera_pulled_out_raise_no_false_alarm() -> None:
    soak("--watchdog", "--one-core", minutes=2.0)
