"""pytest, and what fails again by itself: `python -m tests.again [pytest's arguments]`. What CI runs.

Half of the tests run against the clock, on a host whose processors may be somebody else's for a moment. A few that fail
in a run of an hour and pass when nothing else runs have met such a moment; the end of the output names them, since one
that is named again and again is broken. Many that fail, or anything but failing tests, is no matter of chance.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

MOST = 12  # that may fail by chance: one moment takes several that run one after the other
AGAIN = 2  # times
CALMER = 10.0  # seconds to wait before the last time
SOME_FAILED = 1  # pytest's exit code; 2 and above: the run itself has ended badly


def failed_tests() -> list[str]:
    """Of the last run in this directory, as pytest's cache plugin has written them down."""
    path = Path(".pytest_cache/v/cache/lastfailed")
    return sorted(json.loads(path.read_text())) if path.exists() else []


def main(arguments: list[str]) -> int:
    """pytest's exit code: of the last run."""
    pytest = [sys.executable, "-m", "pytest"]
    code = subprocess.call([*pytest, "--cache-clear", *arguments])
    first = failed = failed_tests()
    if len(first) > MOST:
        return code
    for attempt in range(AGAIN):
        if code != SOME_FAILED or not failed:
            break
        time.sleep(attempt * CALMER)
        print(f"\n== once more, by itself: {', '.join(failed)}", flush=True)
        code = subprocess.call([*pytest, "--last-failed", "--last-failed-no-failures=none", *arguments])
        failed = failed_tests()
    if code == 0 and first:
        print("\n== FAILED ONCE, and passed by itself. Not to be got used to:", *first, sep="\n     ", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
