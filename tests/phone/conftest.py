"""Chromium with a camera of its own: a green field with a moving dial and a clock."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.browser import Browser, running_browser

FAKE_CAMERA = ("--use-fake-device-for-media-stream=device-count=2,fps=30", "--use-fake-ui-for-media-stream")


# Playwright keeps an event loop in this thread while it is open, and other tests call asyncio.run: so it must be
# closed with the last test of this package.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with running_browser(*FAKE_CAMERA) as chromium:
        yield chromium
