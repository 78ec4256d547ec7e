"""`python -m tests.bench`: measure, print the tables, keep them in .cache/bench/{latest.md,record.json}."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from tests.bench import capture, comparison, delay, floor, glass, joins, ondemand, rawcamera, service, stream, viewers
from tests.bench.conditions import commit, conditions
from tests.bench.contestants import ALL, ROOT
from tests.bench.figures import Figure
from tests.bench.record import Record
from tests.bench.scene import scene

KEPT = ROOT / ".cache" / "bench"
DOCS = ROOT / "docs"


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured. `seconds` at each number of viewers: whole groups of pictures, or keyframes distort it."""

    joins: int
    glass_seconds: float
    glass_rounds: int
    levels: tuple[int, ...]
    seconds: float
    crowd: int
    crowd_seconds: float
    starts: int
    units: int
    idle: float
    pairs: int
    contestants: tuple[str, ...]


GROUP_SECONDS = stream.GROUP / stream.FPS
EVERYBODY = tuple(contestant.name for contestant in ALL)
FULL = Effort(20, 24, 4, (1, 4, 16, 64), 3 * GROUP_SECONDS, 100, 20, 5, 120, 30, 7, EVERYBODY)
QUICK = Effort(2, 2, 1, (1, 4), 1, 8, 2, 1, 30, 2, 1, ("edgecam", "aiortc-shared"))


def _say(what: str) -> None:
    print(f"measuring: {what}", file=sys.stderr, flush=True)


def _joins(effort: Effort, directory: Path, record: Record) -> None:
    with scene(directory / "joins") as running:
        record.conditions |= conditions(running)
        _say("joining")
        record.figures |= joins.measure(running, effort.joins)
        _say("joining through a relay, and beside silent servers")
        record.figures |= joins.measure_servers(running.browser, directory / "servers", effort.joins)


def _glass(effort: Effort, directory: Path, record: Record) -> None:
    with scene(directory / "glass") as running:
        _say("glass to glass, against GStreamer webrtcbin")
        found, missing = glass.measure(running, effort.glass_seconds, effort.glass_rounds)
    record.figures |= found
    if missing:
        print(f"NOT MEASURED: webrtcbin's glass to glass: {missing}", file=sys.stderr)
    if "glass_webrtcbin_ms" in found:
        ratio = found["glass_bare_ms"].p50 / found["glass_webrtcbin_ms"].p50
        record.figures["ratio_glass"] = Figure("glass to glass on a bare page, edgecam to webrtcbin, medians", "ratio", ratio)


def _viewers(effort: Effort, directory: Path, record: Record) -> None:
    del directory
    results = []
    for contestant in ALL:
        if contestant.name not in effort.contestants:
            continue
        _say(f"CPU per viewer: {contestant.title}")
        results.append(viewers.measure(contestant, effort.levels, effort.seconds))
        if results[-1].missing:
            print(f"NOT MEASURED: {contestant.title}: {results[-1].missing}", file=sys.stderr)
    if results[0].name == "edgecam":
        _say("the floor")
        profile, address = results[0].profile, results[0].address
        results += [floor.paced(profile, address, effort.levels, effort.seconds, name) for name in floor.TITLES]
        record.floor = floor.measure(effort.seconds / 3)
        record.figures |= comparison.ratios(results, record.floor)
        record.figures["ratio_floor"] = _beside_the_floor(effort, results)
    record.take(results, effort.levels)


def _beside_the_floor(effort: Effort, results: list[viewers.Result]) -> Figure:
    """edgecam and the floor in turns, the first one as it stands in the table: the machine's pace wanders by a third within minutes,
    and each is measured for seconds only."""
    (own,) = (contestant for contestant in ALL if contestant.name == "edgecam")
    levels = viewers.sloping(effort.levels)
    pairs = [(results[0], next(result for result in results if result.name == "floor"))]
    for number in range(1, effort.pairs):
        _say(f"edgecam beside the floor, {number + 1} of {effort.pairs}")
        again = viewers.measure(own, levels, effort.seconds)
        pairs.append((again, floor.paced(again.profile, again.address, levels, effort.seconds)))
    found = [(mine.per_viewer(), least.per_viewer()) for mine, least in pairs]
    ratios = [mine / least for mine, least in found if mine and least]
    return Figure.of("edgecam to floor, each viewer more, measured in turns", "ratio", ratios)


def _delay(effort: Effort, directory: Path, record: Record) -> None:
    _say(f"send delay with {effort.crowd} viewers")
    record.figures |= delay.measure(directory / "delay", effort.crowd, effort.crowd_seconds)


def _capture(effort: Effort, directory: Path, record: Record) -> None:
    del directory
    _say("capture")
    record.figures |= capture.measure(effort.starts, effort.units)


def _rawcamera(effort: Effort, directory: Path, record: Record) -> None:
    _say("a raw camera")
    record.figures |= rawcamera.measure(directory / "rawcamera", effort.units)


def _ondemand(effort: Effort, directory: Path, record: Record) -> None:
    _say("on demand")
    record.figures |= ondemand.measure(directory / "ondemand", effort.joins, effort.idle)


def _service(effort: Effort, directory: Path, record: Record) -> None:
    del directory
    _say("start of the service")
    record.figures |= service.measure(effort.starts)


PARTS: dict[str, Callable[[Effort, Path, Record], None]] = {
    "joins": _joins,
    "glass": _glass,
    "viewers": _viewers,
    "delay": _delay,
    "capture": _capture,
    "rawcamera": _rawcamera,
    "ondemand": _ondemand,
    "service": _service,
}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measure edgecam and others on loopback: joins and latency in Chromium, sender CPU per viewer, delay.",
    )
    parser.add_argument(
        "--quick", action="store_true", help="a minute, to see that it works; the figures are worth little"
    )
    parser.add_argument("--part", choices=PARTS, help="only this one; the others keep what they last measured")
    parser.add_argument(
        "--only", metavar="NAMES", help=f"of the senders only these, separated by commas: {','.join(EVERYBODY)}"
    )
    parser.add_argument("--keep", metavar="DIR", type=Path, default=KEPT, help="where latest.md and record.json go")
    parser.add_argument("--write-docs", action="store_true", help="write docs/performance.md and docs/performance.svg too")
    return parser.parse_args()


def main() -> int:
    options = _options()
    effort = QUICK if options.quick else FULL
    if options.only:
        effort = replace(effort, contestants=tuple(options.only.split(",")))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    stream.ensure()
    kept = options.keep / "record.json"
    record = Record.read(kept) if options.part and kept.exists() else Record()
    begun = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    with TemporaryDirectory(prefix="edgecam-bench-") as name:
        for part in [options.part] if options.part else PARTS:
            before = os.getloadavg()[0]
            PARTS[part](effort, Path(name), record)
            names = f" ({options.only})" if options.only and part == "viewers" else ""
            load = f"load average {before:.1f} before and {os.getloadavg()[0]:.1f} after, the benchmark's own included"
            record.runs[part + names] = f"run begun {begun} UTC, {commit()}, {load}"
    options.keep.mkdir(parents=True, exist_ok=True)
    text = record.markdown()
    (options.keep / "latest.md").write_text(text)
    kept.write_text(json.dumps(record.document(), indent=2) + "\n")
    if options.write_docs:
        (DOCS / "performance.md").write_text(record.page())
        (DOCS / "performance.svg").write_text(comparison.drawing(record.results, record.levels))
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
