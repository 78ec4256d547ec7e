"""What a camera and a signaling server have said to each other: recorded between real ones, and played again to a camera.

A transcript is a file of JSON lines: who (camera, server), what (request, reply, open, text, binary, close), and the value.
The camera's descriptions and candidates are left out of it: they name this machine's addresses, and are new each time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import aiohttp
from aiohttp import web
from yarl import URL

from edgecam.http.listener import listening
from edgecam.settings import Listen

TRANSCRIPTS = Path(__file__).parent / "transcripts"
PATIENCE = 10.0  # seconds
OWN_SDP = "of the camera"

Who = Literal["camera", "server"]


@dataclass(frozen=True, slots=True)
class Step:
    who: Who
    what: str
    value: Any

    @property
    def kind(self) -> str:
        """The type of a message, empty for what is none."""
        body = self.value if isinstance(self.value, dict) else {}
        return str(body.get("type", ""))


def load(path: Path) -> list[Step]:
    """The transcript in a file below `transcripts`."""
    return [Step(**json.loads(line)) for line in path.read_text().splitlines()]


def save(path: Path, steps: Iterable[Step]) -> None:
    """Write it, without what is the camera's own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = ({"who": s.who, "what": s.what, "value": _bare(s)} for s in steps if not _is_own_candidate(s))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _is_own_candidate(step: Step) -> bool:
    return step.who == "camera" and step.kind == "ice-candidate"


def _bare(step: Step) -> Any:
    if step.who != "camera" or not isinstance(step.value, dict) or "sdp" not in step.value:
        return step.value
    sdp = {**step.value["sdp"], "sdp": OWN_SDP} if isinstance(step.value["sdp"], dict) else OWN_SDP
    return {**step.value, "sdp": sdp}


class Recorder:
    """Stands between a camera and a server, and writes down what both say. Serves on `address` while open."""

    def __init__(self, server: str) -> None:
        self.steps: list[Step] = []
        self._server = URL(server)

    def _note(self, who: Who, what: str, value: Any) -> None:
        self.steps.append(Step(who, what, value))

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Listen]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        async with listening(app, Listen("127.0.0.1", 0), name="recorder") as bound:
            yield bound

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        target = self._server.origin().join(request.rel_url)
        headers = {name: value for name, value in request.headers.items() if name in {"Authorization", "Content-Type"}}
        async with aiohttp.ClientSession() as http:
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await self._pass_on_socket(request, http, target, headers)
            self._note("camera", "request", f"{request.method} {request.rel_url}")
            async with http.request(request.method, target, data=await request.read(), headers=headers) as reply:
                body = await reply.json() if reply.content_type == "application/json" else None
                self._note("server", "reply", {"status": reply.status, "body": body})
                return web.json_response(body, status=reply.status)

    async def _pass_on_socket(
        self, request: web.Request, http: aiohttp.ClientSession, target: URL, headers: dict[str, str]
    ) -> web.StreamResponse:
        try:
            onward = await http.ws_connect(target, headers=headers)
        except aiohttp.WSServerHandshakeError as error:
            self._note("camera", "open", str(request.rel_url))
            self._note("server", "reply", {"status": error.status, "body": None})
            return web.Response(status=error.status)
        camera = web.WebSocketResponse()
        await camera.prepare(request)
        self._note("camera", "open", str(request.rel_url))
        back = asyncio.create_task(self._carry("server", onward, camera), name="to the camera")
        try:
            await self._carry("camera", camera, onward)
        finally:
            await onward.close()
            back.cancel()
        return camera

    async def _carry(self, who: Who, source: Any, sink: Any) -> None:
        async for message in source:
            data = message.data.decode() if message.type is aiohttp.WSMsgType.BINARY else message.data
            with suppress(ValueError):
                data = json.loads(data)
            self._note(who, "binary" if message.type is aiohttp.WSMsgType.BINARY else "text", data)
            with suppress(ConnectionError):
                await (sink.send_bytes if message.type is aiohttp.WSMsgType.BINARY else sink.send_str)(message.data)
        self._note(who, "close", source.close_code)
        await sink.close(code=source.close_code or 1000)


class Player:
    """A server that says what the one in the transcript said, as soon as the camera has said what it had said before that.

    A camera may say more than was recorded: an offer again, its candidates.
    """

    def __init__(self, steps: Iterable[Step]) -> None:
        self._steps = list(steps)
        while self._steps[-1].what == "close":
            self._steps.pop()  # the end of the recording
        self._next = 0
        self.done = asyncio.Event()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Listen]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        async with listening(app, Listen("127.0.0.1", 0), name="player") as bound:
            yield bound

    def _take(self, who: Who, what: str) -> Step:
        assert self._next < len(self._steps), f"the transcript has ended before {who} {what}"
        step = self._steps[self._next]
        assert (step.who, step.what) == (who, what), f"{step} is next in the transcript, and not {who} {what}"
        self._next += 1
        return step

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._play(request)
        step = self._take("camera", "request")
        assert step.value == f"{request.method} {request.rel_url}", f"{request.rel_url} instead of {step.value}"
        reply = self._take("server", "reply").value
        return web.json_response(reply["body"], status=reply["status"])

    async def _play(self, request: web.Request) -> web.StreamResponse:
        step = self._take("camera", "open")
        assert step.value == str(request.rel_url), f"{request.rel_url} instead of {step.value}"
        if self._next < len(self._steps) and self._steps[self._next].what == "reply":
            return web.Response(status=self._take("server", "reply").value["status"])
        ws = web.WebSocketResponse(timeout=0.1)
        await ws.prepare(request)
        while self._next < len(self._steps) and self._steps[self._next].what in {"text", "binary"}:
            step = self._steps[self._next]
            self._next += 1
            if step.who == "camera":
                await _until_said(ws, step)
            else:
                await asyncio.sleep(0.01)  # as over a network: not everything in one moment
                text = step.value if isinstance(step.value, str) else json.dumps(step.value)
                await (ws.send_str(text) if step.what == "text" else ws.send_bytes(text.encode()))
        if self._next < len(self._steps):
            await ws.close(code=self._steps[self._next].value or 1000)
            while self._next < len(self._steps) and self._steps[self._next].what == "close":
                self._next += 1  # both sides have said so
        else:
            self.done.set()
            async for _ in ws:
                pass
        return ws


async def _until_said(ws: web.WebSocketResponse, step: Step) -> None:
    """Until the camera has said such a message: of that type, with those fields, addressed to the same."""
    while True:
        body = json.loads(await ws.receive_str(timeout=PATIENCE))
        if body.get("type") == step.kind:
            assert set(body) == set(step.value), f"{sorted(body)} instead of {sorted(step.value)}"
            assert body.get("to") == step.value.get("to")
            return
