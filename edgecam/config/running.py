"""Which configuration runs: for status, metrics and whoever wonders why a change had no effect."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What is known of the configuration that runs."""

    ON_TRIAL = "on trial"  # it has changed, and may still make health worse
    GOOD = "good"
    ROLLED_BACK = "rolled back"  # the last good one runs, and not what the file says


@dataclass(frozen=True, slots=True)
class RunningConfig:
    """`digest`: SHA-256 of the file's bytes, `since`: Unix time. `problem`: why the file is not what runs, empty when it is.
    `needs_restart`: keys of the file that will hold after one."""

    file: str
    digest: str
    since: float
    verdict: Verdict
    problem: str = ""
    needs_restart: tuple[str, ...] = ()
    reloads: int = 0
    refused: int = 0
    rollbacks: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For the status document."""
        return {
            "file": self.file,
            "sha256": self.digest,
            "since": datetime.fromtimestamp(self.since, UTC).isoformat(timespec="seconds"),
            "verdict": str(self.verdict),
            "problem": self.problem,
            "needs_restart": list(self.needs_restart),
            "reloads": self.reloads,
            "refused": self.refused,
            "rollbacks": self.rollbacks,
        }


@dataclass(frozen=True, slots=True)
class Preview:
    """What a reload would change now, one line each; `problem`: why it would change nothing."""

    file: str
    problem: str
    changes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For the API."""
        return {"file": self.file, "problem": self.problem, "changes": list(self.changes)}


Samples = Iterator[tuple[str, str, str, list[tuple[dict[str, str], int]]]]


def samples(configuration: dict[str, Any]) -> Samples:
    """What `as_dict` says as Prometheus has it: name, type, help, and samples with their labels."""
    counts = [({"result": result}, configuration[key]) for result, key in _RESULTS]
    yield "config_reloads_total", "counter", "Changes of the configuration, by what became of them.", counts
    current = not configuration["problem"] and not configuration["needs_restart"]
    yield "config_current", "gauge", "1 while what the file says is what runs.", [({}, int(current))]
    rolled_back = configuration["verdict"] == Verdict.ROLLED_BACK
    yield "config_rolled_back", "gauge", "1 while an earlier configuration runs because a change was no good.", [({}, int(rolled_back))]


_RESULTS = (("applied", "reloads"), ("refused", "refused"), ("rolled-back", "rollbacks"))
