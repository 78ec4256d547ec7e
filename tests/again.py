"""Every test, and what fails again by itself: `python -m tests.again [--plain] [pytest's arguments]`. What CI runs.

Half of the tests run against the clock, on a host whose processors may be somebody else's for minutes. A few that fail and
pass when nothing else runs have met such a moment; the end of the output names them, since one that is named again and
again is broken. Many that fail, or anything but failing tests, is no matter of chance.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from tests.everything import everything, run_pytest
from tests.harness.stolen import MUCH, Stolen

MOST = 40  # that may fail by chance: one in a hundred, while somebody else has the processors
AGAIN = 2  # times
LATEST = 4200.0  # seconds after the beginning: CI's own patience ends soon afterwards
LOOK = 2.0  # seconds
CALMER = 120.0  # seconds in which the processors may become ours again


def failed_tests() -> list[str]:
    """Of the last run in this directory, as pytest's cache plugin has written them down."""
    path = Path(".pytest_cache/v/cache/lastfailed")
    return sorted(json.loads(path.read_text())) if path.exists() else []


def wait_for_calm() -> None:
    """Until the processors are ours, or patience ends."""
    begun = time.monotonic()
    while time.monotonic() < begun + CALMER:
        stolen = Stolen()
        time.sleep(LOOK)
        if stolen.share < MUCH:
            return


def main(arguments: list[str]) -> int:
    """pytest's exit code: of the last run."""
    begun, stolen = time.monotonic(), Stolen()
    plain = arguments[:1] == ["--plain"]  # one after the other, from the first on
    arguments = arguments[plain:]
    code = run_pytest(["--cache-clear", *arguments]) if plain else everything(arguments)
    first = failed = failed_tests()
    if len(first) > MOST:
        return code
    for _ in range(AGAIN):
        if code != pytest.ExitCode.TESTS_FAILED or not failed:
            break
        passed = time.monotonic() - begun
        print(f"\n{len(failed)} failed after {passed / 60:.0f} minutes: {stolen}", flush=True)
        if passed > LATEST:
            print("It is too late to try again.", flush=True)
            break
        wait_for_calm()
        print(f"\n== once more, by itself: {', '.join(failed)}", flush=True)
        stolen = Stolen()
        code = run_pytest(["--last-failed", "--last-failed-no-failures=none", *arguments])
        failed = failed_tests()
    if code == pytest.ExitCode.OK and first:
        print("\n== FAILED ONCE, and passed by itself. Not to be got used to:", *first, sep="\n     ", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
