"""How a process of ours ends: with the daemon, and without waiting for a driver."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from typing import NoReturn

EX_SOFTWARE = 70  # sysexits.h
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent() -> None:
    """Have the kernel kill this process when the daemon dies, even while it is stuck inside a driver."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before it could be asked for
        os._exit(0)


def die_of(error: BaseException | None) -> NoReturn:
    """Say it, and end without waiting for threads that may be inside a driver."""
    if isinstance(error, BrokenPipeError | ConnectionResetError):
        os._exit(0)  # the daemon has gone
    traceback.print_exception(error)
    sys.stderr.flush()
    os._exit(EX_SOFTWARE)
