"""Every test, as soon as the processors allow: `python -m tests.everything [pytest's arguments]`. What `make test` runs.

Most tests wait, for a peer, a timer or a picture: so files of them run beside each other, as many as there are
processors. What is marked `alone` measures time, or takes all that the machine has, and has it for itself afterwards.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

# pytest's exit codes. 2 and above, but for the last: the run itself has ended badly.
PASSED, FAILED, NO_TESTS = 0, 1, 5
WORKERS = max(2, min(4, os.cpu_count() or 1))
BESIDE = ("-n", str(WORKERS), "--no-loadscope-reorder", "-m", "not alone")  # distributed by conftest.py
ALONE = ("-m", "alone")


def pytest(arguments: Sequence[str]) -> int:
    """Its exit code."""
    return subprocess.call([sys.executable, "-m", "pytest", *arguments])


def everything(arguments: Sequence[str]) -> int:
    """pytest's exit code, as if it had been one run; what failed is in pytest's cache."""
    print("== tests, some at a time", flush=True)
    beside = pytest(["--cache-clear", *BESIDE, *arguments])
    if beside not in {PASSED, FAILED, NO_TESTS}:
        return beside
    print("\n== tests, one at a time", flush=True)
    alone = pytest([*ALONE, *arguments])
    if NO_TESTS in {beside, alone}:
        return min(beside, alone)
    return max(beside, alone)


if __name__ == "__main__":
    sys.exit(everything(sys.argv[1:]))
