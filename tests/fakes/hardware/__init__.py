"""A hardware encoder for machines that have none: it works until it is broken."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tests.harness.processes import PACKAGE_HOME


@dataclass(frozen=True, slots=True)
class HardwareEncoder:
    """Capture processes that are started with `env` find it; it works while the file exists."""

    file: Path

    @property
    def env(self) -> dict[str, str]:
        here = str(Path(__file__).parent)
        return {"FAKE_ENCODER": str(self.file), "PYTHONPATH": os.pathsep.join((here, PACKAGE_HOME))}

    def install(self) -> None:
        self.file.touch()

    def break_(self) -> None:
        """The next picture fails."""
        self.file.unlink()
