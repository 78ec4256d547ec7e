"""The fault table of docs/camera-faults.md: each row names the test that measured it, each such test leaves its figure here."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.harness.stolen import Stolen

FILE = Path(__file__).parents[2] / ".cache" / "camera-faults.json"


class FaultTable:
    """Seconds from a fault to the first picture after it, by the fault's name. One for each test."""

    def __init__(self) -> None:
        self._stolen = Stolen()

    def measured(self, fault: str, seconds: float, within: float) -> None:
        """Keep a figure, for who writes the table; fails when recovery took longer than the table says, on processors of ours."""
        FILE.parent.mkdir(exist_ok=True)
        known = json.loads(FILE.read_text()) if FILE.exists() else {}
        known[fault] = round(seconds, 2)
        fresh = FILE.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(known, indent=1, sort_keys=True))
        fresh.replace(FILE)
        assert seconds < within * self._stolen.slowdown, f"{fault}: {seconds:.2f} s"
