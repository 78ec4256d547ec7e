"""What browser tests share: one Chromium for all of them, daemons per module or test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.v4l2 import FakeV4l2, build_fake_v4l2
from tests.harness.browser import Browser, running_browser
from tests.harness.daemons import Daemon, Server
from tests.harness.footage import surveillance_footage

CACHE = Path(__file__).resolve().parents[2] / ".cache"

StartDaemon = Callable[..., Daemon]
StartServer = Callable[..., Server]


# Playwright keeps an event loop in this thread while it is open, and other tests call asyncio.run: so it must be
# closed with the last test of this package.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium."""
    with running_browser() as chromium:
        yield chromium


@pytest.fixture
def start_daemon(tmp_path: Path) -> Iterator[StartDaemon]:
    """Starts a daemon of this test's own with the tables given; ended with the test."""
    with ExitStack() as stack:

        def start(config: dict[str, Any], **options: Any) -> Daemon:
            return stack.enter_context(Daemon(config, tmp_path / "daemon", **options))

        yield start


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Starts a signaling server of this test's own; ended with the test."""
    with ExitStack() as stack:

        def start(config: dict[str, Any] | None = None, **options: Any) -> Server:
            return stack.enter_context(Server(config or {}, tmp_path / "server", **options))

        yield start


@pytest.fixture(scope="session")
def footage() -> Path:
    """A surveillance recording, 768x576 at 10 frames a second."""
    return surveillance_footage()


@pytest.fixture
def v4l2(tmp_path: Path) -> FakeV4l2:
    """A V4L2 camera that is plugged in."""
    camera = FakeV4l2(build_fake_v4l2(CACHE / "fakes"), tmp_path / "video0")
    camera.plug()
    return camera
