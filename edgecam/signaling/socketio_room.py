"""The camera's side of the `socketio-room` dialect: a participant among others in a room where everybody calls everybody."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

import structlog

from edgecam.health import Component, HealthBoard
from edgecam.settings.signaling import SocketioRoomSignaling
from edgecam.signaling import fields
from edgecam.signaling.conversation import WatchedSessions
from edgecam.signaling.exchange import Line
from edgecam.signaling.participants import Room, Seat
from edgecam.signaling.percamera import BACKOFF, PerCamera
from edgecam.signaling.socketio_client import ServerAddress, ToldErrors, connected, lost, said_by
from edgecam.supervisor import Backoff

log = structlog.get_logger(__name__)


class RoomCamera:
    """One camera in one room. `run` is for `supervise`: it raises and never retries."""

    def __init__(self, section: str, settings: SocketioRoomSignaling, seat: Seat, component: Component, board: HealthBoard) -> None:
        self._seat = seat
        self._component = component
        self._line = Line()
        query = {"roomId": seat.room, "userName": seat.user_name}
        self._address = ServerAddress(section, settings.url, settings.path, query)
        self._live: Room | None = None
        self._picture_changed = asyncio.Event()
        board.watch(self._picture_changed.set)

    def addresses_gone(self, addresses: Collection[str]) -> None:
        """The machine has lost these addresses."""
        if self._live is not None:
            self._live.connection.addresses_gone(addresses)

    async def run(self) -> None:
        """Join the room, be there until the connection breaks. Raises SignalingError, perhaps grouped."""
        async with connected(self._address) as connection:
            self._seat.ours.add(connection.sid)
            try:
                async with asyncio.TaskGroup() as group:
                    await self._stay(Room(self._seat, connection, group, self._line), group)
            finally:
                self._seat.ours.discard(connection.sid)

    async def _stay(self, room: Room, group: asyncio.TaskGroup) -> None:
        self._live = room
        try:
            await room.join()
            self._component.running(f"{self._seat.camera} is in room {self._seat.room} at {self._address.shown}")
            group.create_task(self._tell_media_state(room), name=f"{self._seat.via}.{self._seat.camera}.media-state")
            async for event, arguments in room.connection.events():
                self._take(room, event, arguments)
            raise lost(self._address)
        finally:
            self._live = None
            room.exchange.close()

    async def _tell_media_state(self, room: Room) -> None:
        """Say whether there are pictures, and again whenever that changes."""
        said: bool | None = None
        while True:
            self._picture_changed.clear()
            if said is not (video_off := not self._seat.picture.state.ready):
                said = video_off
                await room.say_media_state(video_off=video_off)
            await self._picture_changed.wait()

    def _take(self, room: Room, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "error":
            said = said_by(arguments)
            if self._seat.told.is_news(said):
                hint = "if nobody sees the camera, compare the server's messages with docs/signaling-socketio-room.md"
                log.warning("server.error", via=self._seat.via, camera=self._seat.camera, message=said, hint=hint)
            return
        try:
            room.take(event, arguments)
        except fields.WireError as error:
            log.debug("message.malformed", via=self._seat.via, camera=self._seat.camera, message=event[:40], reason=str(error))


class RoomExchange(PerCamera):
    """A `[signaling.NAME]` section at work: each of its cameras is a participant with a connection of its own."""

    def __init__(
        self,
        name: str,
        settings: SocketioRoomSignaling,
        cameras: Mapping[str, str],
        sessions: WatchedSessions,
        board: HealthBoard,
        backoff: Backoff = BACKOFF,
    ) -> None:
        ours: set[str] = set()
        told = ToldErrors()

        def build(camera: str, component: Component) -> RoomCamera:
            room, user_name = settings.room.replace("{camera}", camera), settings.user_name or cameras[camera]
            picture = board.component(f"camera.{camera}")
            seat = Seat(f"signaling.{name}", camera, room, user_name, sessions, picture, ours, told)
            return RoomCamera(name, settings, seat, component, board)

        super().__init__(name, cameras, board, backoff, build)
