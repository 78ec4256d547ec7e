"""The parts of the daemon that a new configuration may change."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from edgecam import logs
from edgecam.app.cameras import Cameras
from edgecam.app.ice import CurrentIceServers
from edgecam.app.plan import Plan
from edgecam.app.services import Services
from edgecam.app.signaling import Connections
from edgecam.http.guard import Guard
from edgecam.http.tokens import TokenInfo
from edgecam.rtc.viewers import Viewers
from edgecam.web.context import WebContext


@dataclass(frozen=True, slots=True)
class Parts:
    """Who owns what while the daemon runs; `app.daemon` opens and closes them."""

    guard: Guard
    cameras: Cameras
    ice_servers: CurrentIceServers
    viewers: Viewers
    connections: Connections
    services: Services
    context: WebContext

    def check(self, plan: Plan) -> None:
        """Raise ConfigError for what cannot be applied; nothing is changed."""
        self.connections.check(plan)

    async def apply(self, plan: Plan, token: TokenInfo) -> None:
        """Change what runs as planned. What is removed goes first: a device may be named anew by what is added."""
        before, after = plan.before, plan.after
        if before.log != after.log:
            logs.configure(after.log)
        self.guard.apply(after.web, token.token)
        if before.ice.servers != after.ice.servers:
            await self.ice_servers.replace(after.ice.servers)
        await self.viewers.apply(after.ice, after.viewers)
        for name in plan.cameras.removed:
            left = partial(self.viewers.remove_camera, name, "the camera is no longer configured")
            await self.cameras.remove(name, left)
        for name in plan.cameras.changed:
            await self._change(name, plan)
        for name in plan.cameras.added:
            self.viewers.add_camera(self.cameras.add(name, after.camera[name]))
        await self.connections.apply(plan)
        await self.services.apply(before, after)

    async def _change(self, name: str, plan: Plan) -> None:
        camera = plan.after.camera[name]
        self.viewers.set_playout(name, camera.playout_delay_ms)
        if name in plan.reopened:
            await self.cameras.reopen(name, camera)
        else:
            self.cameras.adjust(name, camera)
