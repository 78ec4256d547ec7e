"""A real HTTP service that hands out TURN credentials, one of whose answers after the other is chosen by the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(slots=True)
class Service:
    """`answer` is what is answered next; `asked` the requests so far."""

    url: str = ""
    answer: web.Response | None = None
    asked: list[web.BaseRequest] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def say(self, body: object, status: int = 200, **headers: str) -> None:
        self.answer = web.json_response(body, status=status, headers=headers)

    async def asked_again(self, within: float = 5.0) -> None:
        """Until one more request has come."""
        self.arrived.clear()
        async with asyncio.timeout(within):
            await self.arrived.wait()


@asynccontextmanager
async def service() -> AsyncIterator[Service]:
    """The service on a free port of loopback."""
    offered = Service()

    async def respond(request: web.BaseRequest) -> web.StreamResponse:
        offered.asked.append(request)
        offered.arrived.set()
        assert offered.answer is not None
        body = offered.answer.body
        return web.Response(status=offered.answer.status, body=body, headers=offered.answer.headers)

    runner = web.ServerRunner(web.Server(respond))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        offered.url = f"http://127.0.0.1:{runner.addresses[0][1]}/credentials"
        yield offered
    finally:
        await runner.cleanup()
