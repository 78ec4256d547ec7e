"""One network for all tests here, and for each file one browser on the viewer's machine: Playwright runs one at a time.
A link that is cut for two minutes is in a network of its own, beside all other tests."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.harness.beside import Beside
from tests.harness.browser import Browser
from tests.network.events import Aftermath
from tests.network.hosts import browser_on
from tests.network.namespaces import EVERYTHING, TCP_ONLY, Network
from tests.network.namespaces import network as new_network

LONG_CUT = 120.0  # seconds
_CUT = Beside("long_cut", "tests.network.longcut", str(LONG_CUT))


def pytest_collection_finish(session: pytest.Session) -> None:
    _CUT.begin(session)


def pytest_unconfigure() -> None:
    _CUT.end()


@pytest.fixture
def long_cut() -> Aftermath:
    """What came of it."""
    code, output = _CUT.result(LONG_CUT + 90)
    assert code == 0, output
    told = json.loads(next(line for line in output.splitlines() if line.startswith("{")))
    return Aftermath(**{**told, "codes": tuple(told["codes"])})


@pytest.fixture(scope="package")
def shared_network() -> Iterator[Network]:
    with new_network() as made:
        yield made


@pytest.fixture
def network(shared_network: Network) -> Network:
    """Camera and viewer, and a router between them that lets everything through."""
    shared_network.public.firewall(EVERYTHING)
    return shared_network


@pytest.fixture
def no_direct_path(network: Network) -> Network:
    """Between camera and viewer only TCP passes, so that media must go through a server in the middle."""
    network.public.firewall(TCP_ONLY)
    return network


@pytest.fixture(scope="module")
def laptop(shared_network: Network) -> Iterator[Browser]:
    """Chromium on the viewer's machine."""
    with browser_on(shared_network.viewer) as browser:
        yield browser
