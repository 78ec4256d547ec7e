"""Floods from another address while a good pair has calls: none of them is lost. How much slower they are, `make load` measures."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.load import servers
from tests.load.attacks import KINDS, other_machine, slowing
from tests.load.servers import Running
from tests.network.namespaces import Machine

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Machine]]:
    directory = tmp_path_factory.mktemp("attacks")
    with other_machine() as machine, servers.edgecam(directory, clients=3000, host="0.0.0.0", allow_anonymous=True) as running:
        yield running, machine


@pytest.mark.parametrize("kind", KINDS)
def test_a_flood_from_one_address_costs_nobody_a_call(stage: tuple[Running, Machine], kind: str) -> None:
    running, machine = stage
    found = asyncio.run(slowing(running, machine, kind, rate=100.0, seconds=1.0, rounds=1))
    assert found.lost == 0, found
    assert found.relay[0] < 200, found
