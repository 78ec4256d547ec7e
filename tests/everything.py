"""Every test, as soon as the processors allow: `python -m tests.everything [pytest's arguments]`. What `make test` runs.

Most tests wait, for a peer, a timer or a picture: so files of them run beside each other, as many as there are
processors. What is marked `alone` measures time, or takes all that the machine has, and has it for itself afterwards.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

WORKERS = max(2, min(4, os.cpu_count() or 1))
PHASES = {
    "some at a time": ("--cache-clear", "-n", str(WORKERS), "--no-loadscope-reorder", "-m", "not alone"),  # see conftest.py
    "one at a time": ("-m", "alone"),
}


def run_pytest(arguments: Sequence[str]) -> int:
    """Its exit code; negative if a signal ended it."""
    return subprocess.call([sys.executable, "-m", "pytest", *arguments])


def everything(arguments: Sequence[str]) -> int:
    """pytest's exit code, as if it had been one run; what failed is in pytest's cache."""
    judged: set[int] = set()
    for how, options in PHASES.items():
        print(f"\n== tests, {how}", flush=True)
        code = run_pytest([*options, *arguments])
        if code not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED}:
            return code  # the run itself has ended badly
        judged.add(code)
    return max(judged - {pytest.ExitCode.NO_TESTS_COLLECTED}, default=int(pytest.ExitCode.NO_TESTS_COLLECTED))


if __name__ == "__main__":
    sys.exit(everything(sys.argv[1:]))
