"""Parts of a running daemon that freeze on demand."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from tests.harness.processes import PACKAGE_HOME


@dataclass(frozen=True, slots=True)
class Freezer:
    """Freezes parts of processes that were started with `env`."""

    file: Path

    @property
    def env(self) -> dict[str, str]:
        here = str(Path(__file__).parent)
        return {"FREEZE_FILE": str(self.file), "PYTHONPATH": os.pathsep.join((here, PACKAGE_HOME))}

    def freeze(self, pid: int, part: str) -> None:
        """That part of that process, as sitecustomize.py has them; returns before it has happened."""
        self.file.write_text(part)
        os.kill(pid, signal.SIGUSR1)
