"""Somebody who watches the viewer page all the time, in a process of its own: `python -m tests.soak.watching URL`."""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.harness.browser import running_browser


@contextmanager
def watcher(url: str) -> Iterator[None]:
    """Chromium on that page, pictures coming; gone when the block is left."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.soak.watching", url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if process.stdout.readline() != "playing\n":
            raise RuntimeError(f"no pictures on {url}: exit code {process.wait(10)}")
        yield
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


def main() -> None:
    with running_browser() as browser, browser.visit(sys.argv[1]) as visit:
        visit.page.set_viewport_size({"width": 480, "height": 360})  # cheap to draw
        visit.wait_playing()
        print("playing", flush=True)
        while select.select([sys.stdin], [], [], 0)[0] == []:
            visit.page.wait_for_timeout(500)  # Playwright's own loop must turn


if __name__ == "__main__":
    main()
