"""The load generator at a hundredth of its size: that everything arrives, not how fast."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.load import servers
from tests.load.measure import complete, measure
from tests.load.page import page

pytestmark = pytest.mark.alone


def test_every_join_of_a_small_load_is_answered_by_the_server_and_by_the_relay(tmp_path: Path) -> None:
    results = []
    for start in (servers.edgecam(tmp_path, clients=200), servers.node_relay()):
        with start as running:
            results.append(asyncio.run(measure(running, cameras=50, rate=40, seconds=1.5, idle=0)))
            assert complete(results[-1]), results[-1]
    written = page(results, ["a test"])
    assert "| joins answered | 60 in " in written
    assert "nan" not in written
