"""One network and one browser on the viewer's machine for all tests here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.browser import Browser, running_browser
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


@pytest.fixture(scope="package")
def laptop(shared_network: Network) -> Iterator[Browser]:
    """Chromium on the viewer's machine."""
    with shared_network.viewer.inside():
        chromium = running_browser()
        browser = chromium.__enter__()
    try:
        yield browser
    finally:
        chromium.__exit__(None, None, None)
