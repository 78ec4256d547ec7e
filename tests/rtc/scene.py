"""A camera with viewers in one process: the real pipeline and sessions on a hardware-free source."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from edgecam.health import HealthBoard
from edgecam.media.pipeline import Pipeline
from edgecam.peers import PeerKey
from edgecam.rtc.viewers import Viewers
from edgecam.settings import CameraSettings, IceSettings, ViewerSettings
from edgecam.supervisor import background
from tests.peers.source import EncodedSource


@dataclass(frozen=True, slots=True)
class Scene:
    source: EncodedSource
    pipeline: Pipeline
    viewers: Viewers

    @staticmethod
    def key(peer: str = "viewer-1", camera: str = "front") -> PeerKey:
        return PeerKey("test", camera, peer)


@asynccontextmanager
async def scene(
    *,
    camera: CameraSettings | None = None,
    ice: IceSettings | None = None,
    settings: ViewerSettings | None = None,
) -> AsyncIterator[Scene]:
    source = EncodedSource()
    camera = camera or CameraSettings(source="test")
    pipeline = Pipeline("front", camera, source, HealthBoard().component("camera.front"))
    viewers = Viewers({"front": pipeline}, ice or IceSettings(), settings or ViewerSettings())
    async with background(("camera", pipeline.run)), viewers.serving():
        yield Scene(source, pipeline, viewers)
