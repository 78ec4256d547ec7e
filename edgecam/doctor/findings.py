"""What a step found, and what all of them together mean: one stable code."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgecam.errors import EdgecamError


class Outcome(enum.StrEnum):
    OK = "ok"
    PROBLEM = "problem"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `step` and `subject` say what was tried; `code` and `remedy` belong to problems; `facts` are
    for programs, with units in their names."""

    step: str
    subject: str
    outcome: Outcome
    detail: str
    code: str = ""
    remedy: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        said = {"step": self.step, "subject": self.subject, "outcome": str(self.outcome), "detail": self.detail}
        more = {"code": self.code, "remedy": self.remedy} if self.code else {}
        return {**said, **more, "facts": dict(self.facts)}


def ok(step: str, subject: str, detail: str, **facts: Any) -> Finding:
    return Finding(step, subject, Outcome.OK, detail, facts=facts)


def skipped(step: str, subject: str, detail: str) -> Finding:
    return Finding(step, subject, Outcome.SKIPPED, detail)


def problem(step: str, subject: str, detail: str, *, code: str, remedy: str, **facts: Any) -> Finding:
    return Finding(step, subject, Outcome.PROBLEM, detail, code, remedy, facts)


def problem_of(step: str, subject: str, error: EdgecamError, **facts: Any) -> Finding:
    """The problem that one of our own errors tells."""
    return Finding(step, subject, Outcome.PROBLEM, error.message, error.code, error.remedy, facts)


# Causes before what follows from them: without pictures nothing else matters, a wrong clock makes good credentials
# expire, and without UDP no server answers.
_CAUSES_FIRST = (
    "camera-", "encoder-", "capture-", "file-", "network-down", "clock-wrong", "udp-blocked", "signaling-", "credential", "turn-",
    "nat-symmetric", "codec-mismatch", "relay-", "stun-silent",
)  # fmt: skip


def verdict(findings: Iterable[Finding]) -> Finding | None:
    """The problem to mend first; None when there is none."""
    problems = [finding for finding in findings if finding.outcome is Outcome.PROBLEM]
    return min(problems, key=lambda finding: _rank(finding.code), default=None)


def _rank(code: str) -> int:
    return next((rank for rank, start in enumerate(_CAUSES_FIRST) if code.startswith(start)), -1)
