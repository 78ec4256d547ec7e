"""`edgecam doctor`: what keeps pictures from getting through, and what to do about it."""

from __future__ import annotations

import asyncio
import json
import sys
import textwrap
from typing import Any

from edgecam import logs
from edgecam.commands.query import daemon_answers, status_document
from edgecam.doctor.findings import Finding, Outcome, verdict
from edgecam.doctor.names import leave_resolvers_behind
from edgecam.doctor.walk import Walk
from edgecam.redaction import mask_text
from edgecam.settings import LogSettings, Settings

WIDTH = 30  # columns of step and subject
_COLORS = {Outcome.OK: "32", Outcome.PROBLEM: "1;31", Outcome.SKIPPED: "2"}
_INDENT = " " * 11


def doctor(settings: Settings, *, as_json: bool) -> int:
    """Print one line a step as it is taken, then the verdict; 0 when nothing is wrong, else 1."""
    logs.configure(LogSettings(level="error"))
    return asyncio.run(_examine(settings, as_json=as_json))


async def _examine(settings: Settings, *, as_json: bool) -> int:
    leave_resolvers_behind()
    daemon = await asyncio.to_thread(_running_daemon, settings)
    findings: list[Finding] = []
    async for finding in Walk(settings, daemon).steps():
        findings.append(finding)
        if not as_json:
            print(mask_text(rendered(finding, colored=sys.stdout.isatty())), flush=True)
    worst = verdict(findings)
    if as_json:
        print(mask_text(json.dumps(_document(findings, worst, daemon), indent=2, ensure_ascii=False)))
    else:
        print(mask_text(_conclusion(findings, worst)))
    return 0 if worst is None else 1


def _running_daemon(settings: Settings) -> dict[str, Any] | None:
    """Its status, None when none answers where the configuration says. Raises when it does but wants another token."""
    return status_document(settings) if daemon_answers(settings) else None


def rendered(finding: Finding, *, colored: bool = False) -> str:
    """One line, and below it what to do."""
    outcome = f"{finding.outcome:<9}"
    if colored:
        outcome = f"\x1b[{_COLORS[finding.outcome]}m{outcome}\x1b[0m"
    name = f"{finding.step} {finding.subject}".strip()
    code = f" [{finding.code}]" if finding.code else ""
    lines = [f"{outcome} {name:<{WIDTH}} {finding.detail}{code}"]
    if finding.remedy:
        lines += textwrap.wrap(f"→ {finding.remedy}", 110, initial_indent=_INDENT, subsequent_indent=_INDENT + "  ")
    return "\n".join(lines)


def _conclusion(findings: list[Finding], worst: Finding | None) -> str:
    if worst is None:
        return "\nverdict: ok. Every step that could be taken works."
    problems = sum(finding.outcome is Outcome.PROBLEM for finding in findings)
    lines = [f"\nverdict: {worst.code}. {worst.remedy[:1].upper()}{worst.remedy[1:]}."]
    if problems > 1:
        lines.append(f"         {problems} problems; this one first, others may follow from it.")
    relayed = [finding.subject for finding in findings if finding.step == "call" and finding.outcome is Outcome.OK]
    if relayed:
        lines.append(f"         Pictures do get through, by way of {relayed[0]}.")
    return "\n".join(lines)


def _document(findings: list[Finding], worst: Finding | None, daemon: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "ok": worst is None,
        "verdict": worst.code if worst is not None else "ok",
        "remedy": worst.remedy if worst is not None else "",
        "daemon_running": daemon is not None,
        "findings": [finding.as_dict() for finding in findings],
    }
