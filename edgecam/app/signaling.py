"""The daemon's signaling connections, one dialect for each `[signaling.NAME]` that has a camera to offer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from edgecam.app.plan import Plan, offered
from edgecam.health import HealthBoard
from edgecam.jobs import Jobs
from edgecam.rtc.viewers import Viewers
from edgecam.settings import Settings
from edgecam.settings.signaling import Signaling
from edgecam.signaling.calls import Caller, Calling
from edgecam.signaling.dialects import dialect, says_titles
from edgecam.signaling.percamera import PerCamera
from edgecam.signaling.reasons import endpoint
from edgecam.supervisor import Backoff
from edgecam.web.context import SignalingLine

log = structlog.get_logger(__name__)

SIGNALING_BACKOFF = Backoff(first=0.5, cap=30.0, reset_after=60.0)


class Connections:
    """`lines` and `callers` are live: what stands in them is what runs now."""

    def __init__(self, settings: Settings, viewers: Viewers, board: HealthBoard, state_dir: Path) -> None:
        self.lines: dict[str, SignalingLine] = {}
        self.callers: dict[tuple[str, str], Caller] = {}  # cameras that can call people, by signaling and camera
        self._dialects: dict[str, PerCamera] = {}
        self._viewers = viewers
        self._board = board
        self._state_dir = state_dir
        self._jobs = Jobs()
        viewers.address_listeners.append(self.addresses_gone)
        for name, section in settings.signaling.items():
            self.add(name, section, offered(section, settings))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep them connected while inside."""
        async with self._jobs.running():
            yield

    def check(self, plan: Plan) -> None:
        """Raise ConfigError for what only a dialect itself can find wrong; nothing is changed."""
        for name in (*plan.signaling.added, *plan.signaling.changed):
            section = plan.after.signaling[name]
            self._make(name, section, offered(section, plan.after), HealthBoard())

    async def apply(self, plan: Plan) -> None:
        """Leave, change and add connections as planned; those that have nothing to do with it notice nothing."""
        before, after = plan.before, plan.after
        other = [name for name in plan.signaling.changed if before.signaling[name].type != after.signaling[name].type]
        await self.remove(*plan.signaling.removed, *other)
        for name in plan.signaling.changed:
            if name not in other:
                await self._change(name, before, after)
        for name in (*other, *plan.signaling.added):
            section = after.signaling[name]
            self.add(name, section, offered(section, after))

    def add(self, name: str, section: Signaling, cameras: Mapping[str, str]) -> None:
        """One more connection; `cameras` are names to titles."""
        if not cameras:
            log.warning("signaling.unused", signaling=name, reason="no enabled camera to offer there")
            return
        made = self._make(name, section, cameras, self._board)
        self._dialects[name] = made
        self._note(name, section, cameras)
        self._jobs.start(made.name, made.run)

    async def remove(self, *names: str) -> None:
        """Leave those servers; the sessions of viewers who came from there go on."""
        gone = {name: self._dialects.pop(name) for name in names if name in self._dialects}
        await self._jobs.stop(*(each.name for each in gone.values()))
        for name, each in gone.items():
            self._forget(name)
            for component in each.components:
                self._board.remove(component)

    def addresses_gone(self, addresses: Collection[str]) -> None:
        """The machine has lost these addresses: connections from them are dead."""
        for each in self._dialects.values():
            each.addresses_gone(addresses)

    async def _change(self, name: str, before: Settings, after: Settings) -> None:
        """Of a section that says the same as before, cameras keep their connection while the server is told the same of them."""
        old, new = before.signaling[name], after.signaling[name]
        titles, cameras = offered(old, before), offered(new, after)
        keep = {camera for camera in cameras if titles.get(camera) == cameras[camera] or (camera in titles and not says_titles(new))}
        same = old.model_copy(update={"cameras": new.cameras}) == new
        running, made = self._dialects[name], self._make(name, new, cameras, self._board)
        lines = {*running.components, *made.components}
        await running.become(made, keep if same else ())
        for line in lines.difference(running.components):
            self._board.remove(line)
        self._forget(name)
        self._note(name, new, cameras)

    def _make(self, name: str, section: Signaling, cameras: Mapping[str, str], board: HealthBoard) -> PerCamera:
        return dialect(name, section, cameras, self._viewers, board, SIGNALING_BACKOFF, self._state_dir)

    def _note(self, name: str, section: Signaling, cameras: Mapping[str, str]) -> None:
        made = self._dialects[name]
        self.lines[name] = SignalingLine(name, section.type, endpoint(section.url), tuple(cameras), made.components)
        if isinstance(made, Calling):
            self.callers.update({(name, camera): caller for camera, caller in made.callers.items()})

    def _forget(self, name: str) -> None:
        del self.lines[name]
        for key in [key for key in self.callers if key[0] == name]:
            del self.callers[key]
