"""pytest, and what fails once more by itself: `python -m tests.twice [pytest's arguments]`. What CI runs.

Half of the tests run against the clock, on a host whose processors may be somebody else's for a moment. A few that fail
in a run of an hour and pass when nothing else runs have met such a moment; the end of the output names them, since one
that is named again and again is broken. Many that fail, or anything but failing tests, is no matter of chance.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

MOST = 5  # that may fail by chance
SOME_FAILED = 1  # pytest's exit code; 2 and above: the run itself has ended badly


def failed_tests() -> list[str]:
    """Of the last run in this directory, as pytest's cache plugin has written them down."""
    path = Path(".pytest_cache/v/cache/lastfailed")
    return sorted(json.loads(path.read_text())) if path.exists() else []


def main(arguments: list[str]) -> int:
    """pytest's exit code: of the second run, if there was one."""
    pytest = [sys.executable, "-m", "pytest"]
    code = subprocess.call([*pytest, "--cache-clear", *arguments])
    failed = failed_tests()
    if code != SOME_FAILED or not 0 < len(failed) <= MOST:
        return code
    print(f"\n== once more, by itself: {', '.join(failed)}", flush=True)
    code = subprocess.call([*pytest, "--last-failed", "--last-failed-no-failures=none", *arguments])
    if code == 0:
        print("\n== FAILED ONCE, and passed by itself. Not to be got used to:", *failed, sep="\n     ", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
