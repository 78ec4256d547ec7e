"""A guarded application on a real loopback socket, and a client that looks like a browser or like curl."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from pydantic import SecretStr

from edgecam.http.guard import Guard
from edgecam.http.listener import application, listening
from edgecam.http.pages import add_static
from edgecam.settings import Listen, WebSettings

TOKEN = "correct horse; battery=staple"  # characters that a cookie may not hold
BROWSER = {"Accept": "text/html,application/xhtml+xml"}


@dataclass(frozen=True, slots=True)
class Scene:
    """An open listener and a client without cookies that follows no redirects."""

    address: Listen
    client: aiohttp.ClientSession

    def url(self, path: str) -> str:
        return f"http://{self.address}{path}"

    async def get(self, path: str, **headers: str) -> aiohttp.ClientResponse:
        return await self.request("GET", path, **headers)

    async def request(self, method: str, path: str, **headers: str) -> aiohttp.ClientResponse:
        """One request whose body has been read; underscores in header names stand for dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.request(method, self.url(path), headers=named, allow_redirects=False) as response:
            await response.read()
            return response

    async def upgrade(self, path: str, **headers: str) -> int:
        """The status that a WebSocket upgrade is answered with: 101 when it succeeds."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            async with self.client.ws_connect(self.url(path), headers=named):
                return 101
        except aiohttp.WSServerHandshakeError as error:
            return error.status


async def _echo_socket(request: web.Request) -> web.StreamResponse:
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    async for message in ws:
        await ws.send_str(message.data)
    return ws


async def _ok(request: web.Request) -> web.StreamResponse:
    await request.read()
    return web.Response(text="ok")


def guarded_app(token: str | None = None, **settings: object) -> tuple[web.Application, WebSettings]:
    """`/`, `/view/front`, `/api/thing` (any method), `/healthz`, `/ws` behind a Guard."""
    section = WebSettings.model_validate({"listen": "127.0.0.1:0", "token": SecretStr(token or ""), **settings})
    app = application(Guard(section, token))
    for path in ("/", "/view/front", "/healthz"):
        app.router.add_get(path, _ok)
    app.router.add_route("*", "/api/thing", _ok)
    app.router.add_get("/ws", _echo_socket)
    add_static(app)
    return app, section


@asynccontextmanager
async def guarded(token: str | None = None, **settings: object) -> AsyncIterator[Scene]:
    """A listener for that application, and a client."""
    app, section = guarded_app(token, **settings)
    async with listening(app, section.address, name="web") as bound:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client:
            yield Scene(bound, client)


def play(script: Callable[[Scene], Awaitable[None]], token: str | None = None, **settings: object) -> None:
    """Run a script against a guarded listener, in time."""

    async def main() -> None:
        async with asyncio.timeout(20):
            async with guarded(token, **settings) as scene:
                await script(scene)

    asyncio.run(main())
