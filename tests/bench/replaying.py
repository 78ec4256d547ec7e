"""`python -m tests.bench.replaying ARGUMENTS`: the edgecam command, whose capture processes replay (replay.py).

Everything else is the daemon as it is. $BENCH_CORE, when set, is the one core on which it runs.
"""

from __future__ import annotations

import os
import sys

if "BENCH_CORE" in os.environ:
    os.sched_setaffinity(0, {int(os.environ["BENCH_CORE"])})

from edgecam import cli
from edgecam.capture import spawn

if __name__ == "__main__":
    spawn.CHILD_MODULE = "tests.bench.replay"
    sys.exit(cli.main())
