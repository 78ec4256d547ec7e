"""A `[signaling.NAME]` section at work, where each camera has a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from typing import Protocol

from edgecam.health import Component, Condition, HealthBoard
from edgecam.jobs import Jobs
from edgecam.peers import Sessions
from edgecam.supervisor import Backoff, supervise

BACKOFF = Backoff(first=0.5, cap=30.0, reset_after=60.0)  # seconds


class CameraConnection(Protocol):
    """One camera on one signaling server."""

    def addresses_gone(self, addresses: Collection[str]) -> None:
        """The machine has lost these addresses."""

    async def run(self) -> None:
        """Connect, and exchange until the connection breaks. For `supervise`: raises SignalingError and never retries."""


async def public(sessions: Sessions, camera: str, component: Component) -> None:
    """Wait until that camera may be published; what waits for nothing but that rests."""
    if sessions.is_private(camera):
        component.resting("private", f"{camera} is private, and is published again when it is not")
        await sessions.until_public(camera)


class PerCamera:
    """What serves a `[signaling.NAME]` section for `cameras`, by name. `build` makes the connection of a camera, given its line on
    the board.

    `components`: the names of those lines, `signaling.NAME`, or `signaling.NAME.CAMERA` when there are several; a camera keeps
    its line for as long as it keeps its connection.
    """

    def __init__(
        self,
        name: str,
        cameras: Collection[str],
        board: HealthBoard,
        backoff: Backoff,
        build: Callable[[str, Component], CameraConnection],
    ) -> None:
        self.name = f"signaling.{name}"
        self.connections: dict[str, CameraConnection] = {}  # by camera
        self._backoff = backoff
        self._lines: dict[str, Component] = {}
        self._jobs = Jobs()
        for camera in cameras:
            line = board.component(self.name if len(cameras) == 1 else f"{self.name}.{camera}")
            self._begin(camera, build(camera, line), line)

    @property
    def components(self) -> tuple[str, ...]:
        return tuple(line.name for line in self._lines.values())

    def addresses_gone(self, addresses: Collection[str]) -> None:
        """The machine has lost these addresses: connections from them are dead."""
        for connection in self.connections.values():
            connection.addresses_gone(addresses)

    async def run(self) -> None:
        """Run until cancelled: losing a server is reported on the board and retried for ever."""
        async with self._jobs.running():
            await asyncio.Event().wait()

    async def become(self, other: PerCamera, keep: Collection[str]) -> None:
        """Serve the cameras of `other`, which was made from the same section and does not run: those in `keep` keep their
        connection, all others get the one that is ready in `other`."""
        going = [camera for camera in self.connections if camera not in keep or camera not in other.connections]
        await self._jobs.stop(*(self._job(camera) for camera in going))
        for camera in going:
            del self.connections[camera]
            self._lines.pop(camera).report(Condition.STARTING)
        for camera, connection in other.connections.items():
            if camera not in self.connections:
                self._begin(camera, connection, other._lines[camera])

    def _begin(self, camera: str, connection: CameraConnection, line: Component) -> None:
        self.connections[camera], self._lines[camera] = connection, line
        self._jobs.start(self._job(camera), partial(supervise, connection.run, line, self._backoff))

    def _job(self, camera: str) -> str:
        return f"{self.name}.{camera}"
