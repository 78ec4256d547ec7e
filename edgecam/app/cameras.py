"""The daemon's cameras: each a pipeline, and a task that keeps its capture process running."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from edgecam.app.camerahealth import CameraHealth
from edgecam.capture.process import CaptureProcess
from edgecam.capture.soundprocess import MicrophoneProcess, SpeakerProcess
from edgecam.health import Condition, HealthBoard
from edgecam.jobs import Jobs
from edgecam.media.microphone import Microphone
from edgecam.media.pipeline import Pipeline
from edgecam.media.speaker import Speaker
from edgecam.privacy import PrivacySwitch, camera_switch
from edgecam.settings import CameraSettings
from edgecam.supervisor import Backoff, supervise

# A camera that comes back should be seen at once; trying to open one costs little.
SOUND_BACKOFF = Backoff(first=0.5, cap=5.0, reset_after=10.0)
CAMERA_BACKOFF = Backoff(first=0.25, cap=1.0, reset_after=10.0)


class Cameras:
    """`pipelines` by name is live: it always holds the enabled cameras, and nothing else may change it. In `state_dir` stands
    which of them are private."""

    def __init__(
        self, settings: Mapping[str, CameraSettings], board: HealthBoard, health: CameraHealth, state_dir: Path
    ) -> None:
        self.pipelines: dict[str, Pipeline] = {}
        self._sources: dict[str, CaptureProcess] = {}
        self._board = board
        self.health = health
        self._state_dir = state_dir
        self._switches: dict[str, PrivacySwitch] = {}  # also of cameras that are made anew
        self._jobs = Jobs()
        for name, camera in settings.items():
            if camera.enabled:
                self.add(name, camera)

    @asynccontextmanager
    async def capturing(self) -> AsyncIterator[None]:
        """Capture and encode while inside; leaving ends the capture processes within a second."""
        async with self._jobs.running():
            yield

    def add(self, name: str, settings: CameraSettings) -> Pipeline:
        """One more camera."""
        component = self._board.component(f"camera.{name}")
        source = self._sources[name] = CaptureProcess(name, settings)
        privacy = camera_switch(name, settings, self._state_dir)
        privacy.begin(self._switches.get(name))  # from here on it is known whether it may be opened at all
        self._switches[name] = privacy
        pipeline = self.pipelines[name] = Pipeline(name, settings, source, component, privacy)
        if settings.microphone:
            sound = MicrophoneProcess(name, settings.microphone, settings.microphone_kbps * 1000)
            pipeline.microphone = Microphone(name, sound, self._board.aside(f"microphone.{name}"), privacy)
        if settings.speaker:
            pipeline.speaker = Speaker(name, SpeakerProcess(name, settings.speaker), self._board.aside(f"speaker.{name}"))
        self.health.add(pipeline, source)
        self._start(pipeline)
        return pipeline

    async def remove(self, name: str, left: Callable[[], Awaitable[None]]) -> None:
        """Forget a camera: from now on nobody finds it; once its viewers have `left`, its capture process ends."""
        pipeline = self.pipelines.pop(name)
        await left()
        await self._jobs.stop(f"camera {name}", f"privacy {name}", f"microphone {name}", f"speaker {name}")
        for device in (pipeline.microphone, pipeline.speaker):
            if device is not None:
                self._board.remove(device.component.name)
        del self._sources[name]
        self.health.remove(name)
        self._board.remove(pipeline.component.name)

    def adjust(self, name: str, settings: CameraSettings) -> None:
        """Other settings, of which the capture process need not know at once."""
        self._sources[name].reconfigure(settings)
        self.pipelines[name].reconfigure(settings)

    async def reopen(self, name: str, settings: CameraSettings) -> None:
        """Other settings, with another capture process; viewers stay, and go on with its first keyframe."""
        pipeline = self.pipelines[name]
        await self._jobs.stop(f"camera {name}")
        pipeline.component.report(Condition.STARTING)
        self.adjust(name, settings)
        self._capture(pipeline)

    def _start(self, pipeline: Pipeline) -> None:
        self._jobs.start(f"privacy {pipeline.name}", pipeline.privacy.run)
        self._capture(pipeline)
        for what, device in (("microphone", pipeline.microphone), ("speaker", pipeline.speaker)):
            if device is not None:
                self._jobs.start(f"{what} {pipeline.name}", partial(supervise, device.run, device.component, SOUND_BACKOFF))

    def _capture(self, pipeline: Pipeline) -> None:
        run = partial(supervise, pipeline.run, pipeline.component, CAMERA_BACKOFF)
        self._jobs.start(f"camera {pipeline.name}", run)
