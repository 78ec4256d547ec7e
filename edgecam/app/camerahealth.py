"""What keeps a camera's health truthful: its ladder, its encoder's line, and the moment from which it is known to hang."""

from __future__ import annotations

import os
from pathlib import Path

from edgecam.capture.process import CaptureProcess
from edgecam.health import HealthBoard, Ladder, LadderMemory
from edgecam.health.ladder import Surroundings
from edgecam.media.encoderline import EncoderLine
from edgecam.media.pipeline import Pipeline
from edgecam.settings.health import HealthSettings


class CameraHealth:
    """One for all cameras; each is told by `add` when it comes and by `remove` when it is no longer configured."""

    def __init__(self, settings: HealthSettings, state_dir: Path, board: HealthBoard) -> None:
        self._settings = settings
        self._memory = LadderMemory(state_dir)
        self._board = board
        self._pipelines: dict[str, Pipeline] = {}
        self._encoders: dict[str, EncoderLine] = {}
        board.watch(self._look)

    def add(self, pipeline: Pipeline, source: CaptureProcess) -> None:
        name, component = pipeline.name, pipeline.component
        self._pipelines[name] = pipeline
        component.pulse.attempt = lambda: source.due
        around = Surroundings(
            started_by_systemd=bool(os.environ.get("NOTIFY_SOCKET")),
            units=lambda: pipeline.units,
            others_watched=lambda: self._others_watched(name),
        )
        component.ladder = Ladder(name, self._settings, self._memory, around)
        line = self._encoders[name] = EncoderLine(pipeline, lambda: source.left_out, self._board.component(f"encoder.{name}"))
        line.look()

    def remove(self, name: str) -> None:
        self._board.remove(self._encoders.pop(name).component.name)
        del self._pipelines[name]

    def apply(self, settings: HealthSettings) -> None:
        """Other settings from now on; what was counted stays."""
        self._settings = settings
        for pipeline in self._pipelines.values():
            if pipeline.component.ladder is not None:
                pipeline.component.ladder.settings = settings

    def _look(self) -> None:
        for line in tuple(self._encoders.values()):
            line.look()

    def _others_watched(self, name: str) -> bool:
        others = (pipeline for pipeline in self._pipelines.values() if pipeline.name != name)
        return any(pipeline.subscribers and pipeline.component.state.ready for pipeline in others)
