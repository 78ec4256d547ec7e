"""The daemon's call to itself through the relay, made by schedule: a TURN server that has gone is known before a viewer needs it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from edgecam.health import Component, Condition
from edgecam.media.pipeline import Pipeline
from edgecam.peers import IceServers
from edgecam.rtc.ice.servers import Server, servers_of
from edgecam.rtc.selfcall import CallResult, call_through
from edgecam.settings import IceServer, IceSettings

log = structlog.get_logger(__name__)

FIRST_AFTER = 15.0  # seconds after the start, when cameras run
AGAIN_AFTER = 30.0  # seconds, while there is no camera to call with, or the last call failed


@dataclass(frozen=True, slots=True)
class _Checked:
    url: str
    result: CallResult

    def as_dict(self) -> dict[str, Any]:
        first = self.result.first_frame_s
        return {
            "url": self.url,
            "ok": self.result.works,
            "first_frame_ms": round(first * 1000) if first is not None else None,
            "fps": round(self.result.fps, 1),
        }


class RelayCheck:
    """Calls through each TURN server, configured or handed out by signaling, every `every` seconds, with the pictures of a camera
    that runs. `component` is waiting while none of the servers works: that degrades the daemon's health, and ends nothing."""

    def __init__(
        self, pipelines: Mapping[str, Pipeline], ice: IceSettings, servers: IceServers, every: float, component: Component
    ) -> None:
        self.ok: bool | None = None
        self._pipelines = pipelines
        self._ice = ice
        self._servers = servers
        self._every = every
        self._component = component
        self._checked: list[_Checked] = []
        self._at = 0.0

    async def run(self) -> None:
        """Check for ever."""
        self._component.report(Condition.RESTING, detail="not called yet")
        await asyncio.sleep(min(FIRST_AFTER, self._every))
        while True:
            settled = await self.check()
            await asyncio.sleep(self._every if settled else min(AGAIN_AFTER, self._every))

    async def check(self) -> bool:
        """One round of calls; whether it came to a good end."""
        pipeline = next((p for p in self._pipelines.values() if p.component.state.condition is Condition.RUNNING), None)
        # Signaling may hand the same server out to each camera, with credentials of its own.
        turn: dict[str, Server] = {}
        for server in servers_of(self._servers.current()):
            if server.kind == "turn":
                turn.setdefault(server.url, server)
        if not turn:
            self.ok, self._checked = None, []
            self._component.report(Condition.RESTING, detail="no TURN server is configured, and signaling hands out none")
            return True
        if pipeline is None:
            return False  # the camera's own line says what is wrong; nothing is learnt about the relay
        self._checked = [_Checked(server.url, await call_through(pipeline, _alone(server), self._ice)) for server in turn.values()]
        self._at = time.monotonic()
        self._report()
        return bool(self.ok)

    def _report(self) -> None:
        working = [each for each in self._checked if each.result.works]
        failed = [each.url for each in self._checked if not each.result.works]
        self.ok = bool(working)
        if failed:
            log.warning("relay.silent", urls=failed, remedy="run `edgecam doctor` on this machine: it says why")
        if working:
            best = working[0].as_dict()
            without = f"; nothing comes through {', '.join(failed)}" if failed else ""
            self._component.running(f"{best['url']}: first picture after {best['first_frame_ms']} ms{without}")
        else:
            detail = f"the camera's call to itself brings no picture through {', '.join(failed)}; `edgecam doctor` says why"
            self._component.waiting(self._code(), detail)

    def _code(self) -> str:
        """Of servers that refuse, why; else what was seen."""
        codes = [each.result.error.code for each in self._checked if each.result.error is not None]
        return next((code for code in codes if code != "turn-unusable"), "relay-no-media")

    def as_dict(self) -> dict[str, Any]:
        """For the status document."""
        age = round(time.monotonic() - self._at, 1) if self._checked else None
        return {"every_s": self._every, "age_s": age, "servers": [each.as_dict() for each in self._checked]}


def _alone(server: Server) -> IceServer:
    return IceServer(urls=(server.url,), username=server.username, credential=server.credential)
