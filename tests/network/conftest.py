"""One network for all tests here, and for each file one browser on the viewer's machine: Playwright runs one at a time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.browser import Browser
from tests.network.hosts import browser_on
from tests.network.namespaces import EVERYTHING, TCP_ONLY, Network
from tests.network.namespaces import network as new_network


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
