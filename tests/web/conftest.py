"""One daemon for the tests that only look at it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.daemons import Daemon

# Small enough to cost nothing beside the tests.
TINY = {"source": "test", "width": 320, "height": 240, "fps": 15, "bitrate_kbps": 200}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with one camera that runs and one that is not there."""
    directory = tmp_path_factory.mktemp("daemon")
    absent = {"source": "v4l2", "device": str(directory / "no-such-device"), "title": "Ghost"}
    with Daemon({"camera": {"front": {**TINY, "title": "Front door"}, "ghost": absent}}, directory) as running:
        running.wait_camera("front", condition="running")
        yield running
        running.assert_quiet()


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon of which everything works."""
    with Daemon({"camera": {"front": TINY}}, tmp_path_factory.mktemp("healthy")) as running:
        running.wait_ready()
        yield running
        running.assert_quiet()
