"""Does every part of the daemon turn? Told by what they leave behind anyway: nothing on the media path counts for this."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edgecam.health import Component, HealthBoard
from edgecam.media.feed import Feed
from edgecam.media.pipeline import Pipeline
from edgecam.media.types import AccessUnit
from edgecam.rtc.viewers import Viewers

TOO_LATE = 1.5  # seconds: who looks so late was frozen itself, and the others with it
LEAST_UNITS = 2  # between two looks, to tell anything from them
ON_DEMAND = "on-demand"  # what a camera that is closed for nobody's watching is said to do
PACER_LATE = 1.0  # seconds that a camera's pacing timer may be late


@dataclass(frozen=True, slots=True)
class _Rendition:
    """`taking`: what those feeds were given so far that are given every unit, no keyframe needed first."""

    units: int
    taking: Mapping[Feed, int]


@dataclass(frozen=True, slots=True)
class _Camera:
    """What a camera's parts had done at a look: pictures that came, of each rendition, and what its viewers share sent last."""

    pictures: int
    renditions: tuple[_Rendition, ...]
    sending: Mapping[Feed, int]
    newest: AccessUnit | None


class Liveness:
    """`look` is called every few seconds. What is stuck in two looks running stands on the board, under `supervisor` or `fanout`.

    The event loop proves that it turns by looking at all.
    """

    def __init__(self, board: HealthBoard, pipelines: Mapping[str, Pipeline], viewers: Viewers | None) -> None:
        self._board = board
        self._pipelines = pipelines
        self._viewers = viewers
        self._supervisor = board.component("supervisor")
        self._fanout = board.component("fanout")
        self._cameras: dict[str, _Camera] = {}
        self._suspected: set[str] = set()
        self._looked_at = float("-inf")
        self._supervisor.running()
        self._fanout.running()

    def look(self, now: float, period: float) -> list[str]:
        """What does not turn, in words; empty while everything does. `now` is CLOCK_MONOTONIC seconds, `period` what is meant
        to lie between two looks."""
        before, self._cameras = self._cameras, {name: self._seen(p) for name, p in self._pipelines.items()}
        late, self._looked_at = now - self._looked_at > period + TOO_LATE, now
        if late:
            self._suspected.clear()
            return []
        found = [*self._supervisors(now), *self._fanouts(before)]
        stuck = [(line, what) for line, subject, what in found if f"{line.name} {subject}" in self._suspected]
        self._suspected = {f"{line.name} {subject}" for line, subject, _what in found}
        for line in (self._supervisor, self._fanout):
            _report(line, [what for at, what in stuck if at is line])
        return [what for _line, what in stuck]

    def _supervisors(self, now: float) -> Iterator[tuple[Component, str, str]]:
        cameras = {pipeline.component for pipeline in self._pipelines.values()}
        for component in self._board:
            broken = component.pulse.broken(now, wanted=component in cameras)
            if broken and component.essential:
                yield self._supervisor, component.name, f"{component.name}: {broken}"
        for pipeline in self._pipelines.values():
            if pipeline.stuck:
                what = f"camera {pipeline.name} is said to run and gives no pictures"
                yield self._supervisor, f"pictures {pipeline.name}", what
            shutter, code = pipeline.shutter, pipeline.component.state.code
            if code == ON_DEMAND and shutter.presence.needed and shutter.device == "closed":
                what = f"camera {pipeline.name} is needed and stays closed"
                yield self._supervisor, f"shutter {pipeline.name}", what

    def _fanouts(self, before: Mapping[str, _Camera]) -> Iterator[tuple[Component, str, str]]:
        for name, now in self._cameras.items():
            then = before.get(name)
            if then is not None and (what := _idle(then, now)):
                yield self._fanout, name, f"camera {name}: {what}"
        for name, fanout in self._viewers.fanouts.items() if self._viewers is not None else ():
            if fanout.pacer.late > PACER_LATE:
                yield self._fanout, f"pacer {name}", f"camera {name}: packets wait, and the pacing timer does not run"

    def _seen(self, pipeline: Pipeline) -> _Camera:
        viewers, name = self._viewers, pipeline.name
        fanout = viewers.fanouts.get(name) if viewers is not None else None
        outlets = [s.outlet for s in viewers or () if s.key.camera == name and s.outlet is not None and s.outlet.fast is not None]
        feeds = [outlet.feed for outlet in outlets if outlet.feed is not None]
        return _Camera(
            pipeline.units,
            tuple(
                _Rendition(r.units, {f: f.delivered for f in r.broadcaster.feeds if f.rendition == r.index and not f.needs_keyframe})
                for r in pipeline.renditions
            ),
            {feed: feed.delivered for feed in feeds},
            fanout.newest if fanout is not None else None,
        )


def _idle(then: _Camera, now: _Camera) -> str:
    """Which part of the fan-out did nothing between two looks though it had to, in words."""
    arrived = now.pictures - then.pictures
    handed = sum(rendition.units for rendition in now.renditions) - sum(rendition.units for rendition in then.renditions)
    if arrived >= LEAST_UNITS and handed == 0 and len(now.renditions) == len(then.renditions):
        return f"{arrived} pictures came, and went to no rendition"
    for index, (old, new) in enumerate(zip(then.renditions, now.renditions, strict=False)):
        both = old.taking.keys() & new.taking.keys()
        if new.units - old.units >= LEAST_UNITS and both and all(new.taking[feed] == old.taking[feed] for feed in both):
            return f"{new.units - old.units} pictures of rendition {index} came, and none of its viewers was given one"
    moved = any(now.sending[feed] > then.sending[feed] for feed in then.sending.keys() & now.sending.keys())
    if moved and now.newest is then.newest:
        return "viewers are given pictures, and nothing is made of them to be sent"
    return ""


def _report(line: Component, stuck: list[str]) -> None:
    if not stuck:
        line.running()
    elif line.state.ready:
        line.waiting(f"{line.name}-stuck", "; ".join(stuck))
