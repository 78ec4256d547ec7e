"""What the daemon's HTTP routes may look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from edgecam.blackbox.box import BlackBox
from edgecam.config.running import Preview, RunningConfig
from edgecam.fleet.identity import Device
from edgecam.governors.governor import Governor
from edgecam.health import HealthBoard
from edgecam.http.guard import Guard
from edgecam.media.pipeline import Pipeline
from edgecam.peers import IceServers
from edgecam.rtc.relay_check import RelayCheck
from edgecam.rtc.viewers import Viewers
from edgecam.settings import Listen
from edgecam.signaling.calls import Caller


@dataclass(frozen=True, slots=True)
class SignalingLine:
    """One signaling connection as status shows it; its state stands on the board under `component`."""

    name: str
    type: str
    url: str
    cameras: tuple[str, ...]
    components: tuple[str, ...]


@dataclass(slots=True)
class WebContext:
    """The running daemon as it is now: its owner replaces what a reload changes, and the mappings are live. Routes read it
    only, but for `viewers`."""

    device: Device
    board: HealthBoard
    pipelines: Mapping[str, Pipeline]
    viewers: Viewers
    ice_servers: IceServers
    signaling: Mapping[str, SignalingLine]
    relay_check: RelayCheck | None = None
    configuration: RunningConfig | None = None  # None where there is no file
    preview: Callable[[], Preview] | None = None  # of a reload
    callers: Mapping[tuple[str, str], Caller] = field(default_factory=dict)  # by signaling and camera
    blackbox: BlackBox | None = None
    governor: Governor | None = None  # from the start of the services on
    address: Listen | None = None  # of the open listener


GUARD = web.AppKey("edgecam_guard", Guard)
CONTEXT = web.AppKey("edgecam_context", WebContext)
