"""What the daemon's HTTP routes may look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiohttp import web

from edgecam.health import HealthBoard
from edgecam.media.pipeline import Pipeline
from edgecam.rtc.viewers import Viewers
from edgecam.settings import IceSettings


@dataclass(frozen=True, slots=True)
class SignalingLine:
    """One signaling connection as status shows it; its state stands on the board under `component`."""

    name: str
    type: str
    url: str
    cameras: tuple[str, ...]
    components: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WebContext:
    """The running daemon, read-only but for `viewers`."""

    name: str
    board: HealthBoard
    pipelines: Mapping[str, Pipeline]
    viewers: Viewers
    ice: IceSettings
    signaling: Sequence[SignalingLine]


CONTEXT = web.AppKey("edgecam_context", WebContext)
