"""What a camera and a mediasoup server have said to each other, played to a camera again: it says the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import socketio
from aiohttp import web

from edgecam.http.listener import listening
from edgecam.settings import Listen
from edgecam.settings.signaling import MediasoupSignaling
from edgecam.signaling import mediasoup, mediasoup_calls
from edgecam.signaling.mediasoup import MediasoupCamera
from edgecam.signaling.socketio_client import ToldErrors
from edgecam.supervisor import Backoff, background, supervise
from tests.signaling.publishing import PATIENCE, Board, Publications, load
from tests.signaling.scene import run

QUICK = Backoff(first=0.01, cap=0.05)
NAMES = ["usual", "extra", "other-forms", "silent"]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a server does not answer is not waited for as long as for a real one."""
    monkeypatch.setattr(mediasoup_calls, "FORM_TIMEOUT", 0.1)
    monkeypatch.setattr(mediasoup_calls, "REPLY_TIMEOUT", 0.5)
    monkeypatch.setattr(mediasoup_calls, "CONNECT_TIMEOUT", 0.1)
    monkeypatch.setattr(mediasoup, "ACKNOWLEDGED", 0.1)
    monkeypatch.setattr(mediasoup, "JOIN_TIMEOUT", 0.5)


class Player:
    """A server that acknowledges and tells what the one in the transcript did, to each connection anew."""

    def __init__(self, transcript: dict[str, Any]) -> None:
        self.transcript = transcript
        self.played: list[list[Any]] = []  # of the newest connection
        self.wrong = ""
        self.connections = 0
        self._moved = asyncio.Event()
        self._server = socketio.AsyncServer(async_mode="aiohttp", transports=["websocket"])
        self._server.on("*", self._heard)
        self._server.on("connect", self._connected)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        app = web.Application()
        self._server.attach(app)
        async with listening(app, Listen("127.0.0.1", 0), name="player") as bound:
            yield f"http://{bound}"
            await self._server.shutdown()

    async def until(self, played: int, connections: int = 1) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.connections < connections or len(self.played) < played:
                self._moved.clear()
                await self._moved.wait()
        assert not self.wrong, self.wrong

    async def drop(self) -> None:
        """Close the newest connection."""
        await self._server.disconnect(self._sid)

    async def _connected(self, sid: str, _environ: object, _auth: object = None) -> None:
        self.connections += 1
        self.played = []
        self._sid = sid

    async def _heard(self, event: str, sid: str, *arguments: Any) -> Any:
        requests = self.transcript["requests"]
        number = len(self.played)
        expected = requests[number] if number < len(requests) else {"method": None, "arguments": [], "reply": None}
        if number and event == requests[number - 1]["method"] != expected["method"]:
            await asyncio.Event().wait()  # the other form of what was answered with an error
        bare = [argument for argument in expected["arguments"] if argument != "ack"]
        if (event, list(arguments)) != (expected["method"], bare):
            self.wrong = self.wrong or f"{event} {arguments} instead of {expected}"
        self.played.append([event, *arguments])
        self._moved.set()
        for told in self.transcript["told"]:
            if told["after"] == number + 1:
                await self._server.emit(told["event"], tuple(told["arguments"]), to=sid)
        if expected["reply"] is None:
            await asyncio.Event().wait()  # never acknowledged
        return tuple(expected["reply"])


@asynccontextmanager
async def camera(url: str, sessions: Publications) -> AsyncIterator[Board]:
    settings = MediasoupSignaling.model_validate({"type": "mediasoup", "url": url, "room": "yard"})
    board = Board()
    dialect = MediasoupCamera("media", settings, "front", sessions, board.line, ToldErrors())
    async with background(("dialect", lambda: supervise(dialect.run, board.line, QUICK))):
        yield board


@pytest.mark.parametrize("name", NAMES)
def test_the_camera_says_what_it_said(name: str) -> None:
    async def main() -> None:
        player = Player(load(f"mediasoup/{name}"))
        async with player.listening() as url:
            sessions = Publications(player.transcript["offers"])
            async with camera(url, sessions) as board:
                await board.until("running")
                await player.until(len(player.transcript["requests"]))
                assert sessions.answers == player.transcript["answers"]

    run(main)


def test_a_session_that_lives_is_kept_when_the_connection_is_not() -> None:
    async def main() -> None:
        player = Player(load("mediasoup/usual"))
        async with player.listening() as url:
            sessions = Publications(player.transcript["offers"])
            async with camera(url, sessions) as board:
                await board.until("running")
                await player.drop()
                await player.until(1, connections=2)
                await board.until("running")
                assert [event for event, *_ in player.played] == ["joinRoom"]
                # Now the server does away with what it had kept: a new connection, and a new producer on it.
                sessions.end("the media server hung up")
                await player.until(len(player.transcript["requests"]), connections=3)
                await board.until("running")
                assert len(sessions.answers) == 2

    run(main)


def test_a_server_that_does_not_answer_is_named() -> None:
    async def main() -> None:
        transcript = load("mediasoup/usual")
        for request in transcript["requests"]:
            request["reply"] = None
        transcript["told"] = []
        player = Player(transcript)
        async with player.listening() as url:
            async with camera(url, Publications(transcript["offers"])) as board:
                assert "it does not answer joinRoom" in await board.until("waiting", "signaling-refused")

    run(main)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ([{"error": "room is full"}], "joinRoom: room is full"),
        ([{"error": {"message": "room is full"}}], "joinRoom: room is full"),
        ([{"success": False, "message": "room is full"}], "joinRoom: room is full"),
        ([{"success": False}], "joinRoom: it failed"),
    ],
)
def test_a_refusal_in_an_acknowledgement_is_told(reply: list[Any], said: str) -> None:
    async def main() -> None:
        transcript = load("mediasoup/usual")
        transcript["requests"][0]["reply"] = reply
        transcript["told"] = []
        player = Player(transcript)
        async with player.listening() as url:
            async with camera(url, Publications(transcript["offers"])) as board:
                assert said in await board.until("waiting", "signaling-refused")

    run(main)


@pytest.mark.parametrize("event", ["getRtpCapabilities", "createWebRtcTransport", "connectWebRtcTransport", "produce"])
def test_what_fails_is_told_by_its_name_and_tried_again(event: str) -> None:
    async def main() -> None:
        transcript = load("mediasoup/usual")
        whole = load("mediasoup/usual")["requests"]
        number = next(index for index, request in enumerate(whole) if request["method"] == event)
        transcript["requests"][number]["reply"] = [{"error": "not today"}]
        player = Player(transcript)
        async with player.listening() as url:
            async with camera(url, Publications(transcript["offers"])) as board:
                assert f"{event}: not today" in await board.until("waiting", "signaling-refused")
                transcript["requests"] = whole
                await board.until("running")

    run(main)


def test_an_error_event_instead_of_an_acknowledgement_is_told() -> None:
    async def main() -> None:
        transcript = load("mediasoup/usual")
        transcript["told"] = [{"after": 1, "event": "error", "arguments": [{"message": "no such room"}]}]
        player = Player(transcript)
        async with player.listening() as url:
            async with camera(url, Publications(transcript["offers"])) as board:
                assert "error: no such room" in await board.until("waiting", "signaling-refused")

    run(main)
