"""What a camera and a WHIP server have said to each other, played to a camera again: it says the same, byte by byte."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from edgecam.errors import ViewerRefusedError
from edgecam.http.listener import listening
from edgecam.peers import Candidate
from edgecam.settings import Listen
from edgecam.settings.signaling import WhipSignaling
from edgecam.signaling.whip import WhipCamera
from edgecam.supervisor import Backoff, background, supervise
from tests.signaling.publishing import PATIENCE, Board, Publications, load
from tests.signaling.scene import run

QUICK = Backoff(first=0.01, cap=0.05)
NAMES = ["plain", "token", "trickle", "busy"]


class Player:
    """A server that answers as the one in the transcript did, to the requests in it and to no others."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.transcript = load(name)
        self.played = 0
        self.wrong = ""
        self._moved = asyncio.Event()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        async with listening(app, Listen("127.0.0.1", 0), name="player") as bound:
            self.transcript = load(self.name, f"http://{bound}")
            yield f"http://{bound}"

    async def until(self, played: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.played < played:
                self._moved.clear()
                await self._moved.wait()
        assert not self.wrong, self.wrong

    async def _answer(self, request: web.Request) -> web.Response:
        expected = self.transcript["requests"][self.played] if self.played < len(self.transcript["requests"]) else None
        headers = request.headers
        came = {
            "method": request.method,
            "url": str(request.rel_url),
            "authorization": headers.get("Authorization"),
            "type": headers.get("Content-Type"),
            "ifMatch": headers.get("If-Match"),
            "body": await request.text(),
        }
        if expected is None or came != {key: expected[key] for key in came}:
            self.wrong = self.wrong or f"{came} instead of {expected}"
        self.played += 1
        self._moved.set()
        reply: dict[str, Any] = expected["reply"] if expected is not None else {"status": 500}
        answer = web.Response(status=reply["status"], body=(reply.get("body") or "").encode())
        for name, value in reply.get("headers", {}).items():
            for each in value if isinstance(value, list) else [value]:
                answer.headers.add(name, each)
        return answer


@asynccontextmanager
async def camera(url: str, sessions: Publications, **section: Any) -> AsyncIterator[Board]:
    settings = WhipSignaling.model_validate({"type": "whip", "url": f"{url}/front/whip", **section})
    board = Board()
    dialect = WhipCamera("media", settings, "front", sessions, board.line)
    async with background(("dialect", lambda: supervise(dialect.run, board.line, QUICK))):
        yield board


@pytest.mark.parametrize("name", NAMES)
def test_the_camera_says_what_it_said(name: str) -> None:
    async def main() -> None:
        player = Player(f"whip/{name}")
        async with player.listening() as url:
            sessions = Publications(player.transcript["offers"])
            async with camera(url, sessions, **player.transcript["section"]) as board:
                await board.until("running")
                for patched in (r for r in player.transcript["requests"] if r["method"] == "PATCH"):
                    before = player.played
                    _trickle(sessions, patched["body"])
                    await player.until(before + 1)
            requests = player.transcript["requests"]
            await player.until(len(requests))
            assert requests[-1]["method"] == "DELETE"
            assert sessions.answers == player.transcript["answers"]
            links = [link for r in requests for link in (r["reply"]["headers"].get("link") or [])]
            assert len(sessions.added) == len(links)
            assert ("close", "server", "the camera is not published any more") in sessions.calls

    run(main)


def _trickle(sessions: Publications, fragment: str) -> None:
    link = sessions.links["server"]
    assert link is not None
    for line in re.findall(r"a=(candidate:[^\r\n]*)", fragment):
        link.local_candidate(Candidate(line, "0", 0))
    if "a=end-of-candidates" in fragment:
        link.local_candidate(None)


def test_a_camera_that_cannot_be_published_says_why_and_asks_nobody() -> None:
    async def main() -> None:
        player = Player("whip/plain")
        async with player.listening() as url:
            sessions = Publications(["v=0"])
            sessions.broken["server"] = ViewerRefusedError("no TURN server can be used", code="turn-unusable", remedy="see [ice]")
            async with camera(url, sessions) as board:
                assert await board.until("waiting", "turn-unusable") == "front cannot be published: no TURN server can be used; see [ice]"
            assert player.played == 0

    run(main)


def test_a_session_that_ends_is_deleted_before_the_next_offer() -> None:
    async def main() -> None:
        player = Player("whip/plain")
        async with player.listening() as url:
            requests = player.transcript["requests"]
            player.transcript["requests"] = [*requests, *requests]
            sessions = Publications(player.transcript["offers"])
            async with camera(url, sessions) as board:
                await board.until("running")
                sessions.end("the media server stopped answering", "consent-lost")
                detail = await board.until("waiting", "consent-lost")
                assert detail.startswith(f"front is not published at {url}/front/whip any more: the media server stopped answering")
                await board.until("running")
            await player.until(2 * len(requests))

    run(main)


@pytest.mark.parametrize(("status", "known"), [(404, False), (410, False), (412, True), (405, True), (401, True), (500, True)])
def test_only_a_session_that_is_unknown_is_given_up_when_candidates_are_refused(status: int, known: bool) -> None:
    async def main() -> None:
        player = Player("whip/trickle")
        async with player.listening() as url:
            patch = next(index for index, r in enumerate(player.transcript["requests"]) if r["method"] == "PATCH")
            requests = player.transcript["requests"]
            requests[patch]["reply"] = {"status": status, "headers": {}, "body": "no"}
            body = requests[patch]["body"]
            requests[patch + 1 :] = [r for r in requests if r["method"] == "DELETE"]
            sessions = Publications(player.transcript["offers"])
            async with camera(url, sessions) as board:
                await board.until("running")
                _trickle(sessions, body)
                await player.until(patch + 1)
                if known:
                    await asyncio.sleep(0.2)  # in which nothing is to happen
                    assert board.line.state.ready
                else:
                    await sessions.recorded("close", "server", "the media server does not know the session any more")
                    await player.until(patch + 2)

    run(main)


def test_a_redirect_to_where_nothing_is_encrypted_is_not_followed() -> None:
    """From https to http, which needs no server to be seen."""
    import aiohttp
    from yarl import URL

    from edgecam.signaling.whip_http import RefusedError, WhipServer

    async def main() -> None:
        settings = WhipSignaling.model_validate({"type": "whip", "url": "https://media.example/whip"})
        async with aiohttp.ClientSession() as http:
            server = WhipServer(http, "media", settings, settings.url)
            assert server._followed(URL("https://media.example/whip"), "/moved") == URL("https://media.example/moved")
            with pytest.raises(RefusedError):
                server._followed(URL("https://media.example/whip"), "http://media.example/whip")
            for target in ("ftp://media.example/whip", "file:///etc/passwd", "http://["):
                with pytest.raises(ValueError):  # noqa: PT011 - the words are those of others
                    server._followed(URL("https://media.example/whip"), target)

    run(main)
