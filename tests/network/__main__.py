"""`python -m tests.network`: measure every kind of network, and write the tables of docs/connectivity.md. Needs root.

`--long` cuts a link for two minutes as well; it is part of what is written.
"""

from __future__ import annotations

import argparse
import logging
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import structlog

from tests.network.coturn import Coturn
from tests.network.events import Aftermath, address_changed, link_cut, turn_restarted
from tests.network.matrix import ROWS, Outcome, Row, run_row, town
from tests.network.nats import Homes

DOCUMENT = Path(__file__).parents[2] / "docs" / "connectivity.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help="cut the link for two minutes as well")
    parser.add_argument("--part", choices=("paths", "events"), help="only this table")
    options = parser.parse_args()
    logging.disable()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with town() as (made, server):
        if options.part != "events":
            versions = f"aiortc {version('aiortc')} at both ends, camera and viewer on one machine."
            _write("paths", [versions, "", *_paths(made)])
        if options.part != "paths":
            _write("events", list(_events(made, server, options.long)))


def _paths(made: Homes) -> Iterator[str]:
    yield "| camera's NAT | viewer's NAT | TURN at the camera | | path | answer | first picture |"
    yield "|---|---|---|---|---|--:|--:|"
    for row in ROWS:
        line = _path_line(row, run_row(made, row))
        print(line, flush=True)
        yield line


def _path_line(row: Row, outcome: Outcome) -> str:
    answered = f"{outcome.answered:.0f} ms" if outcome.answered is not None else ""
    video = f"{outcome.video:.0f} ms" if outcome.video is not None else "none"
    path = outcome.path if outcome.path in {"direct", "relay"} else f"`{outcome.path}`"
    return f"| {row.camera} | {row.viewer} | {row.turn} | {row.special} | {path} | {answered} | {video} |"


def _events(made: Homes, server: Coturn, long: bool) -> Iterator[str]:
    yield "| what happens | noticed by the camera | pictures again | session | path |"
    yield "|---|--:|--:|---|---|"
    cuts = [(seconds, link_cut(made, seconds)) for seconds in (3.0, 20.0, *([120.0] if long else []))]
    found = [(f"link cut for {seconds:g} s", after) for seconds, after in cuts]
    found.append(("TURN server killed, back after 6 s", turn_restarted(made, server, 6.0)))
    found.append(("the camera's address changes", address_changed(made)))
    for name, after in found:
        line = _event_line(name, after)
        print(line, flush=True)
        yield line


def _event_line(name: str, after: Aftermath) -> str:
    noticed = f"{after.noticed:.1f} s" if after.noticed is not None else "needs none"
    return f"| {name} | {noticed} | {after.back:.1f} s | {'kept' if after.kept else 'a new one'} | {after.path} |"


def _write(name: str, lines: list[str]) -> None:
    """Between the document's markers of that name."""
    text = DOCUMENT.read_text()
    marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    DOCUMENT.write_text(marked.sub(lambda match: match[1] + "\n".join(lines) + "\n" + match[2], text))


main()
