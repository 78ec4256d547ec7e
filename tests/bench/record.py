"""Everything that a run has measured: kept as JSON, shown as Markdown."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgecam.rtc.sending.cost import PacketCosts
from tests.bench import comparison, stream
from tests.bench.figures import Figure, markdown
from tests.bench.floor import Floor
from tests.bench.viewers import Level, Result

PAGE = """\
# Performance

Written by `make bench ARGS=--write-docs`. {provenance}
`edgecam bench` measures what matters on a device of yours, in half a minute.

![Sender CPU over the number of viewers](performance.svg)

## Sender CPU

{comparison}

Every sender got the same H.264 stream ({stream}), read in real time, nothing encoded in it but by the one that encodes
per viewer; every one got the same receivers, in another process: real ICE, DTLS, consent checks and receiver reports
once a second, while the kernel drops the media in front of their sockets and counts it. Counted is user and system time
of the whole sending process. *Each viewer more* is the slope between 4 and 16 viewers (or what there is), so that work
done once for everybody does not count. The floor in real time is a process that does nothing but encrypt in place and
send with GSO; it has no ICE, no RTCP and no event loop. It has a socket for each viewer, because with ICE each viewer is sent to
from a local candidate of its own; what one socket for all would cost stands below it, and nothing is compared with that. The ratio
to the floor is the median of several rounds, in each of which both were measured one after the other.

## Where a packet's time goes

{parts}

## What was aimed at

{targets}

## Everything

{figures}

## When it was measured

{runs}
"""
ONE_RUN = "All of it was measured in one run."
PIECED = (
    "**Not one run**: its parts were measured after each other, as the list at the end says, so that a ratio between"
    " figures of different runs says little."
)


@dataclass
class Record:
    """Parts may be missing."""

    conditions: dict[str, str] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    levels: tuple[int, ...] = ()
    floor: Floor | None = None
    runs: dict[str, str] = field(default_factory=dict)  # what was measured: when, of which commit, under what load

    @classmethod
    def read(cls, file: Path) -> Record:
        """What `document` made."""
        told: dict[str, Any] = json.loads(file.read_text())
        results = [
            Result(**each | {"levels": tuple(Level(**level) for level in each["levels"])}) for each in told["contestants"]
        ]
        parts = told["floor"]
        floor = Floor(tuple(PacketCosts(**each) for each in parts["profiles"]), parts["rtcp_us"]) if parts else None
        figures = {key: Figure(**each) for key, each in told["figures"].items()}
        return cls(told["conditions"], figures, results, tuple(told["levels"]), floor, told["runs"])

    def take(self, results: list[Result], levels: tuple[int, ...]) -> None:
        """Keep these senders in the place of what was known of them; the floors stay last."""
        fresh = {result.name for result in results}
        kept = [result for result in self.results if result.name not in fresh]
        self.results = sorted([*results, *kept], key=lambda result: result.name.startswith("floor"))
        self.levels = levels

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "conditions": self.conditions,
            "figures": {key: asdict(figure) for key, figure in self.figures.items()},
            "contestants": [asdict(result) for result in self.results],
            "levels": self.levels,
            "floor": asdict(self.floor) if self.floor else None,
            "runs": self.runs,
        }

    def markdown(self) -> str:
        """What is printed."""
        tables = [self._comparison(), self._parts(), comparison.targets(self.figures), self._figures()]
        return "\n".join(filter(None, tables))

    def page(self) -> str:
        """docs/performance.md."""
        units = stream.ensure()
        shape = f"{stream.WIDTH}x{stream.HEIGHT}, {stream.FPS} fps, {stream.bits_per_second(units) / 1e6:.2f} Mbit/s"
        return PAGE.format(
            provenance=ONE_RUN if len({told.partition(",")[0] for told in self.runs.values()}) == 1 else PIECED,
            runs="\n".join(f"* {what}: {told}" for what, told in self.runs.items()),
            comparison=self._comparison().strip(),
            parts=self._parts().strip(),
            targets=comparison.targets(self.figures).strip(),
            figures=self._figures().strip(),
            stream=f"{shape}, one slice a picture, an IDR picture every {stream.GROUP / stream.FPS:.0f} s",
        )

    def _comparison(self) -> str:
        return comparison.table(self.results, self.levels) if self.results else ""

    def _parts(self) -> str:
        return comparison.parts(self.floor) if self.floor else ""

    def _figures(self) -> str:
        return markdown(self.conditions, list(self.figures.values()))
