"""The soak as a test."""

from __future__ import annotations

import subprocess
import sys

from tests.harness.processes import HOME

GRACE = 90.0  # seconds to begin and to end


def soak(*options: str, minutes: float) -> None:
    """Of a process of its own, which has to find nothing wrong."""
    command = [sys.executable, "-m", "tests.soak", *options, "--minutes", str(minutes)]
    done = subprocess.run(
        command, cwd=HOME, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=minutes * 60 + GRACE,
    )  # fmt: skip
    print(done.stdout)
    assert done.returncode == 0
