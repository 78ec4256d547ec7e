"""What the camera makes of a WHIP server's answers: redirects and who gets the token, refusals, descriptions that are of no use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from edgecam.errors import ConfigError, NegotiationError
from edgecam.health import HealthBoard
from edgecam.http.listener import listening
from edgecam.settings import Listen
from edgecam.settings.signaling import WhipSignaling
from edgecam.signaling.whip import WhipCamera, whip
from edgecam.supervisor import Backoff, background, supervise
from tests.signaling.publishing import PATIENCE, Board, Publications
from tests.signaling.scene import run

QUICK = Backoff(first=0.01, cap=0.05)
TOKEN = "correct-horse-battery"
OFFER = "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 101\r\na=mid:0\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\n"
ANSWER = "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 101\r\na=recvonly\r\n"

Answer = Callable[[web.Request], web.Response]


def created(**headers: str) -> web.Response:
    return web.Response(status=201, text=ANSWER, content_type="application/sdp", headers=headers)


class Server:
    """Answers with `answer`, and keeps method, path and Authorization of each request."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[tuple[str, str, str | None]] = []
        self.url = ""
        self._moved = asyncio.Event()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Server]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._take)
        async with listening(app, Listen("127.0.0.1", 0), name="whip") as bound:
            self.url = f"http://{bound}"
            yield self

    async def _take(self, request: web.Request) -> web.Response:
        self.requests.append((request.method, request.path, request.headers.get("Authorization")))
        self._moved.set()
        return self.answer(request)

    async def until(self, requests: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(self.requests) < requests:
                self._moved.clear()
                await self._moved.wait()


@asynccontextmanager
async def camera(server: Server, sessions: Publications | None = None, **section: Any) -> AsyncIterator[Board]:
    settings = WhipSignaling.model_validate({"type": "whip", "url": f"{server.url}/whip", **section})
    board = Board()
    dialect = WhipCamera("media", settings, "front", sessions or Publications([OFFER]), board.line)
    async with background(("dialect", lambda: supervise(dialect.run, board.line, QUICK))):
        yield board


def against(answer: Answer, act: Callable[[Server], Awaitable[None]]) -> None:
    async def main() -> None:
        async with Server(answer).listening() as server:
            await act(server)

    run(main)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_within_the_origin_takes_method_and_token_along(status: int) -> None:
    def answer(request: web.Request) -> web.Response:
        moved = request.path == "/moved" or request.method == "DELETE"
        return created(Location="session/1") if moved else web.Response(status=status, headers={"Location": "/moved"})

    async def act(server: Server) -> None:
        async with camera(server, token=TOKEN) as board:
            await board.until("running")
        bearer = f"Bearer {TOKEN}"
        assert server.requests == [("POST", "/whip", bearer), ("POST", "/moved", bearer), ("DELETE", "/session/1", bearer)]

    against(answer, act)


def test_an_origin_that_is_trusted_gets_the_token_and_one_that_is_not_is_named() -> None:
    def other(request: web.Request) -> web.Response:
        return created() if request.headers.get("Authorization") == f"Bearer {TOKEN}" else web.Response(status=401)

    async def main() -> None:
        async with Server(other).listening() as second:
            leads = Server(lambda _request: web.Response(status=307, headers={"Location": f"{second.url}/node2"}))
            async with leads.listening() as first:
                async with camera(first, token=TOKEN) as board:
                    detail = await board.until("waiting", "signaling-auth")
                    assert f"the server leads to {second.url}, which is not given the token" in detail
                assert second.requests == [("POST", "/node2", None)]
                async with camera(first, token=TOKEN, token_origins=[second.url]) as board:
                    await board.until("running")

    run(main)


def test_redirects_in_a_circle_are_an_error() -> None:
    async def act(server: Server) -> None:
        async with camera(server) as board:
            assert "redirects more than 5 times" in await board.until("waiting", "signaling-refused")

    against(lambda _request: web.Response(status=307, headers={"Location": "/whip"}), act)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda: web.Response(status=201, text="<html>welcome</html>"), "did not answer with SDP"),
        (lambda: web.Response(status=201, text="v=0\r\nm=video 0 UDP/TLS/RTP/SAVPF 101\r\n"), "takes no video"),
        (lambda: web.Response(status=201, text=ANSWER.replace("recvonly", "inactive")), "takes no video"),
        (lambda: web.Response(status=409, text="taken"), "HTTP 409, taken; somebody else publishes there"),
        (lambda: web.Response(status=404, text="<html>"), "HTTP 404; correct the path in [signaling.media] url"),
        (lambda: web.Response(status=415), "HTTP 415; the server does not take this offer"),
        (lambda: web.Response(status=500, text="oh\r\nno\x07"), "HTTP 500, oh no"),
        (lambda: web.Response(status=400, text=f"no {TOKEN} here"), "HTTP 400, no … here"),
        (lambda: web.Response(status=503, headers={"Retry-After": "7"}), "after 7 s as the server asks"),
    ],
)
def test_what_the_server_refuses_is_told(answer: Callable[[], web.Response], said: str) -> None:
    async def act(server: Server) -> None:
        async with camera(server, token=TOKEN) as board:
            assert said in await board.until("waiting", "signaling-refused")

    against(lambda _request: answer(), act)


@pytest.mark.parametrize(
    ("status", "body"),
    [(201, "v=0\r\n" + "a=x\r\n" * 40_000), (200, "v" * 200_000)],
)
def test_an_answer_that_is_too_long_is_not_read(status: int, body: str) -> None:
    async def act(server: Server) -> None:
        async with camera(server) as board:
            assert "cannot reach" in await board.until("waiting", "signaling-unreachable")

    against(lambda _request: web.Response(status=status, text=body), act)


def test_a_missing_token_and_a_file_that_is_none_are_told(tmp_path: Any) -> None:
    async def act(server: Server) -> None:
        async with camera(server) as board:
            assert "it wants a token: set [signaling.media] token" in await board.until("waiting", "signaling-auth")
        async with camera(server, token_file=str(tmp_path / "none")) as board:
            assert "the token cannot be read (FileNotFoundError)" in await board.until("waiting", "signaling-refused")

    against(lambda _request: web.Response(status=401), act)


def test_an_answer_that_the_session_refuses_is_told_and_the_session_deleted() -> None:
    class Choosy(Publications):
        async def accept_answer(self, key: Any, answer_sdp: str) -> None:
            raise NegotiationError("the viewer offers no H.264 with packetization-mode=1", code="sdp-no-h264")

    async def act(server: Server) -> None:
        async with camera(server, Choosy([OFFER])) as board:
            assert "the answer of" in await board.until("waiting", "signaling-refused")
            await server.until(2)
            assert [method for method, *_ in server.requests[:2]] == ["POST", "DELETE"]

    against(lambda _request: created(Location="/session/1"), act)


@pytest.mark.parametrize(("location", "deleted"), [(None, []), ("/a/b", ["/a/b"]), ("c?x=1", ["/c"]), ("http://[", [])])
def test_a_session_has_the_place_that_the_server_names(location: str | None, deleted: list[str]) -> None:
    async def act(server: Server) -> None:
        async with camera(server) as board:
            await board.until("running")
        assert [path for method, path, _ in server.requests if method == "DELETE"] == deleted

    against(lambda _request: created(**({"Location": location} if location else {})), act)


def test_several_cameras_need_several_addresses_and_addresses_have_to_be_some() -> None:
    def build(url: str, *cameras: str, **more: Any) -> object:
        settings = WhipSignaling.model_validate({"type": "whip", "url": url, **more})
        return whip("media", settings, dict.fromkeys(cameras, ""), Publications([OFFER]), HealthBoard(), QUICK)

    build("https://media.example/{camera}/whip", "front", "back")
    with pytest.raises(ConfigError, match=r"write \{camera\} in its url"):
        build("https://media.example/whip", "front", "back")
    with pytest.raises(ConfigError, match="is no address"):
        build("https://[media.example/whip", "front")
    with pytest.raises(ConfigError, match="token_origins"):
        build("https://media.example/whip", "front", token_origins=["media2"])
