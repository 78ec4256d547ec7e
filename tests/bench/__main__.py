"""`python -m tests.bench [--quick]`: print the table and keep it in .cache/bench/latest.{md,json}."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from tests.bench import capture, cost, glass, joins
from tests.bench.conditions import conditions
from tests.bench.figures import Figure, document, markdown
from tests.bench.scene import scene

KEPT = Path(__file__).resolve().parents[2] / ".cache" / "bench"


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    joins: int
    glass_seconds: float
    levels: tuple[int, ...]
    cost_seconds: float
    starts: int
    units: int


FULL = Effort(joins=20, glass_seconds=20, levels=(0, 1, 4, 8), cost_seconds=8, starts=5, units=120)
QUICK = Effort(joins=3, glass_seconds=3, levels=(0, 2), cost_seconds=1.5, starts=2, units=30)


def _say(what: str) -> None:
    print(f"measuring: {what}", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Measure edgecam in Chromium on loopback."
    )
    parser.add_argument(
        "--quick", action="store_true", help="half a minute, to see that it works; the figures are worth little"
    )
    parser.add_argument("--keep", metavar="DIR", type=Path, default=KEPT, help="where latest.md and latest.json go")
    options = parser.parse_args()
    effort = QUICK if options.quick else FULL
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    figures: dict[str, Figure] = {}
    with TemporaryDirectory(prefix="edgecam-bench-") as name:
        directory = Path(name)
        with scene(directory) as running:
            told = conditions(running)
            _say("joining")
            figures |= joins.measure(running, effort.joins)
            _say("glass to glass")
            figures |= glass.measure(running, effort.glass_seconds)
        _say("what viewers cost")
        figures |= cost.measure(directory / "cost", effort.levels, effort.cost_seconds)
    _say("capture")
    figures |= capture.measure(effort.starts, effort.units)
    table = markdown(told, list(figures.values()))
    options.keep.mkdir(parents=True, exist_ok=True)
    (options.keep / "latest.md").write_text(table)
    (options.keep / "latest.json").write_text(json.dumps(document(told, figures), indent=2) + "\n")
    print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
