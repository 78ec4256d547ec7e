"""The fake hardware clock: a process that believes in another time."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("fakeclock.c")


def wrong_clock(seconds: int, directory: Path, kept: Path | str = "") -> dict[str, str]:
    """The environment of a process whose clock is ahead by so many seconds; kept right by somebody while the file `kept`
    exists, if one is named; "denied": nobody may ask."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise RuntimeError("the fake clock needs a C compiler: apt-get install gcc libc6-dev")
    directory.mkdir(parents=True, exist_ok=True)
    library = directory / "fakeclock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE), "-ldl"], check=True)
    told = {"FAKE_CLOCK_KEPT": str(kept)} if kept else {}
    return {"LD_PRELOAD": str(library), "FAKE_CLOCK_OFFSET": str(seconds), **told}
