"""Rooms over HTTP and a WebSocket relay, in FastAPI, as far as the document goes; where it leaves something open, each house decides
differently. `python -m tests.signaling_servers.rooms.server PORT` serves them all, each below its own path.

/plain    what is said in a room goes to the others as it is; nobody is told who comes and goes
/noticed  GET instead of POST, /ws/{room}/{user}, {from, data} around what is relayed, user-joined and user-left
/locked   a bearer token for everything, got for a password, good for a few seconds
/twice    every message is relayed twice
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from fastapi import FastAPI, HTTPException, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse
from pydantic import BaseModel

PAGE = Path(__file__).with_name("page.html")
ACCOUNTS = {"camera": "opensesame", "anna": "wonderland"}
TOKEN_LIFE = 6.0  # seconds


@dataclass(slots=True)
class Room:
    """Who is in it: sockets to names."""

    members: dict[WebSocket, str] = field(default_factory=dict)

    async def tell(self, sender: WebSocket, message: object) -> None:
        """To all others. One that has just gone must not keep the message from the rest."""
        for socket in list(self.members):
            if socket is not sender:
                try:
                    await (socket.send_text(message) if isinstance(message, str) else socket.send_json(message))
                except (WebSocketDisconnect, RuntimeError):
                    self.members.pop(socket, None)


Rooms = dict[str, Room]


def _existing(rooms: Rooms, room_id: str) -> dict[str, object]:
    if room_id not in rooms:
        raise HTTPException(404, "Room not found")
    return {"room_id": room_id, "participants": len(rooms[room_id].members)}


def _made(rooms: Rooms) -> dict[str, str]:
    room_id = secrets.token_hex(4)
    rooms[room_id] = Room()
    return {"room_id": room_id}


async def _relay(rooms: Rooms, room_id: str, socket: WebSocket, *, times: int = 1) -> None:
    if room_id not in rooms:
        await socket.close(4404)
        return
    await socket.accept()
    room = rooms[room_id]
    room.members[socket] = ""
    try:
        while True:
            text = await socket.receive_text()
            for _ in range(times):
                await room.tell(socket, text)
    except WebSocketDisconnect:
        pass
    finally:
        room.members.pop(socket, None)


def plain(*, times: int = 1) -> FastAPI:
    app, rooms = FastAPI(), Rooms()

    @app.post("/create-room")
    def create() -> dict[str, str]:
        return _made(rooms)

    @app.post("/join-room/{room_id}")
    def join(room_id: str) -> dict[str, object]:
        return _existing(rooms, room_id)

    @app.websocket("/ws/{room_id}")
    async def socket(websocket: WebSocket, room_id: str) -> None:
        await _relay(rooms, room_id, websocket, times=times)

    app.add_api_route("/", lambda: FileResponse(PAGE))
    return app


def noticed() -> FastAPI:
    app, rooms = FastAPI(), Rooms()

    @app.get("/create-room")
    def create() -> dict[str, str]:
        return _made(rooms)

    @app.get("/join-room/{room_id}")
    def join(room_id: str) -> dict[str, object]:
        return _existing(rooms, room_id)

    @app.websocket("/ws/{room_id}/{user}")
    async def socket(websocket: WebSocket, room_id: str, user: str) -> None:
        if room_id not in rooms:
            await websocket.close(4404)
            return
        await websocket.accept()
        room = rooms[room_id]
        await room.tell(websocket, {"type": "user-joined", "user_id": user})
        room.members[websocket] = user
        try:
            while True:
                await room.tell(websocket, {"from": user, "data": await websocket.receive_json()})
        except WebSocketDisconnect:
            pass
        finally:
            room.members.pop(websocket, None)
            await room.tell(websocket, {"type": "user-left", "user_id": user})

    app.add_api_route("/", lambda: FileResponse(PAGE))
    return app


class Login(BaseModel):
    """What the login wants."""

    username: str
    password: str


def locked() -> FastAPI:
    app, rooms = FastAPI(), Rooms()
    tokens: dict[str, float] = {}
    made: defaultdict[str, int] = defaultdict(int)

    def remaining(bearer: str) -> float:
        return tokens.get(bearer.removeprefix("Bearer "), 0.0) - time.monotonic()

    def allowed(request: Request) -> None:
        if remaining(request.headers.get("authorization", "")) <= 0:
            raise HTTPException(401, "Token missing or expired")

    @app.post("/login")
    def login(given: Login) -> dict[str, str]:
        if ACCOUNTS.get(given.username) != given.password:
            raise HTTPException(401, "Incorrect username or password")
        made[given.username] += 1
        token = secrets.token_urlsafe(16)
        tokens[token] = time.monotonic() + TOKEN_LIFE
        return {"access_token": token, "token_type": "bearer"}

    @app.get("/logins")
    def logins() -> dict[str, int]:
        return made

    @app.post("/create-room")
    def create(request: Request) -> dict[str, str]:
        allowed(request)
        return _made(rooms)

    @app.post("/join-room/{room_id}")
    def join(request: Request, room_id: str) -> dict[str, object]:
        allowed(request)
        return _existing(rooms, room_id)

    @app.websocket("/ws/{room_id}")
    async def socket(websocket: WebSocket, room_id: str) -> None:
        bearer = websocket.headers.get("authorization", "") or websocket.query_params.get("token", "")
        if remaining(bearer) <= 0:
            await websocket.close(1008)
            return
        try:
            async with asyncio.timeout(remaining(bearer)):
                await _relay(rooms, room_id, websocket)
        except TimeoutError:
            await websocket.close(1008, "token expired")

    app.add_api_route("/", lambda: FileResponse(PAGE))
    return app


def build() -> FastAPI:
    """All houses."""
    app = FastAPI()
    app.add_api_route("/healthz", lambda: {"ok": True})
    app.mount("/plain", plain())
    app.mount("/noticed", noticed())
    app.mount("/locked", locked())
    app.mount("/twice", plain(times=2))
    return app


if __name__ == "__main__":
    uvicorn.run(build(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", timeout_graceful_shutdown=1)
