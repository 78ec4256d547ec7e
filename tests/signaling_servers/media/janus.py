"""A WHIP server whose media end is Janus: its videoroom plugin, and in front of its API as much WHIP as a publisher needs."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from edgecam.http.listener import listening
from edgecam.settings import Listen
from tests.harness.ports import free_port
from tests.harness.waiting import until
from tests.harness.web import request
from tests.peers.viewer import Viewer

BINARY = Path("/usr/bin/janus")
ROOM = 1234
START_WITHIN = 15.0  # seconds

_GENERAL = """
general: {{ configs_folder = "{directory}", session_timeout = 0, debug_level = 4 }}
nat: {{ ice_lite = {lite}, ice_ignore_list = "vmnet" }}
plugins: {{ disable = "{plugins}" }}
transports: {{ disable = "{transports}" }}
"""
_HTTP = """
general: {{ json = "compact", base_path = "/janus", http = true, port = {port}, ip = "127.0.0.1", https = false }}
admin: {{ admin_http = false, admin_https = false }}
"""
_ROOM = """
room-{room}: {{ description = "cameras", publishers = 4, videocodec = "h264", h264_profile = "42e01f" }}
"""


class Janus:
    """Janus with nothing but its videoroom plugin, on loopback, with a configuration of its own."""

    def __init__(self, directory: Path, *, lite: bool) -> None:
        self.port = free_port()
        self.log = directory / "janus.log"
        self._directory = directory
        general = _GENERAL.format(
            directory=directory,
            lite=str(lite).lower(),
            plugins=_others("plugins", "libjanus_videoroom.so"),
            transports=_others("transports", "libjanus_http.so"),
        )
        (directory / "janus.jcfg").write_text(general)
        (directory / "janus.transport.http.jcfg").write_text(_HTTP.format(port=self.port))
        (directory / "janus.plugin.videoroom.jcfg").write_text(_ROOM.format(room=ROOM))

    def start(self) -> None:
        with self.log.open("ab") as output:
            command: list[str | Path] = [BINARY, "-F", self._directory, "-o"]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        until(self._answers, within=START_WITHIN, what="Janus", explain=lambda: self.log.read_text(errors="replace")[-400:])

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        try:
            return request(self.port, "GET", "/janus/info", timeout=1).status == 200
        except OSError:
            return False


@contextmanager
def running(directory: Path, *, lite: bool) -> Iterator[Janus]:
    if not BINARY.exists():
        raise RuntimeError("janus is missing: apt-get install janus")
    janus = Janus(directory, lite=lite)
    janus.start()
    try:
        yield janus
    finally:
        janus.kill()


def _others(kind: str, but: str) -> str:
    found = {file.name.partition(".so")[0] + ".so" for file in Path("/usr/lib").glob(f"*/janus/{kind}/*.so*")}
    return ",".join(sorted(found - {but}))


class Handle:
    """A session with Janus that has one handle on the videoroom. Raises RuntimeError with what Janus says."""

    def __init__(self, http: aiohttp.ClientSession, janus: Janus) -> None:
        self._http = http
        self._url = f"http://127.0.0.1:{janus.port}/janus"
        self._handle = ""

    async def attach(self) -> None:
        self._url += f"/{(await self._ask(janus='create'))['data']['id']}"
        self._handle = f"/{(await self._ask(janus='attach', plugin='janus.plugin.videoroom'))['data']['id']}"

    async def tell(self, body: dict[str, Any], jsep: dict[str, str] | None = None) -> dict[str, Any]:
        """A message to the plugin, and the event that answers it."""
        await self._ask(self._handle, janus="message", body=body, **({"jsep": jsep} if jsep else {}))
        while True:
            async with self._http.get(self._url) as response:
                event: dict[str, Any] = await response.json(content_type=None)
            if event.get("janus") == "event":
                if "error" in event["plugindata"]["data"]:
                    raise RuntimeError(event["plugindata"]["data"]["error"])
                return event

    async def leave(self) -> None:
        await self._ask(janus="destroy")

    async def _ask(self, path: str = "", **message: Any) -> dict[str, Any]:
        message["transaction"] = secrets.token_hex(6)
        async with self._http.post(self._url + path, json=message) as response:
            answer: dict[str, Any] = await response.json(content_type=None)
        if answer["janus"] not in {"success", "ack"}:
            raise RuntimeError(f"Janus says {answer}")
        return answer


class WhipFront:
    """WHIP over Janus' API. `publishers`: the handle of each session, by id, and its feed; `deleted` counts."""

    def __init__(self, janus: Janus) -> None:
        self.publishers: dict[str, tuple[Handle, int]] = {}
        self.published = 0
        self.deleted = 0
        self._janus = janus
        self._moved = asyncio.Event()

    async def until(self, published: int, within: float) -> None:
        """Until so many offers have been answered."""
        async with asyncio.timeout(within):
            while self.published < published:
                self._moved.clear()
                await self._moved.wait()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        async with aiohttp.ClientSession() as self._http:
            app = web.Application()
            app.router.add_post("/whip", self._post)
            app.router.add_delete("/session/{id}", self._delete)
            async with listening(app, Listen("127.0.0.1", 0), name="whip") as bound:
                yield f"http://{bound}/whip"

    async def _post(self, request: web.Request) -> web.Response:
        handle = Handle(self._http, self._janus)
        join = {"request": "joinandconfigure", "ptype": "publisher", "room": ROOM, "display": "front", "video": True, "audio": False}
        try:
            await handle.attach()
            event = await handle.tell(join, {"type": "offer", "sdp": await request.text()})
        except (aiohttp.ClientError, RuntimeError) as error:
            return web.Response(status=502, text=str(error))
        identity = secrets.token_hex(6)
        self.publishers[identity] = (handle, event["plugindata"]["data"]["id"])
        self.published += 1
        self._moved.set()
        headers = {"Location": f"/session/{identity}"}
        return web.Response(status=201, text=event["jsep"]["sdp"], content_type="application/sdp", headers=headers)

    async def _delete(self, request: web.Request) -> web.Response:
        self.deleted += 1
        await self.end(request.match_info["id"])
        return web.Response()

    async def end(self, identity: str) -> None:
        """As an operator of Janus would."""
        handle, _feed = self.publishers.pop(identity, (None, 0))
        if handle is not None:
            try:
                await handle.leave()
            except (aiohttp.ClientError, RuntimeError):
                return  # Janus has been restarted meanwhile

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[Viewer]:
        """Somebody who watches the newest publisher in Janus."""
        feed = list(self.publishers.values())[-1][1]
        handle = Handle(self._http, self._janus)
        await handle.attach()
        async with Viewer() as viewer:
            event = await handle.tell({"request": "join", "ptype": "subscriber", "room": ROOM, "streams": [{"feed": feed}]})
            answer = await viewer.answer(event["jsep"]["sdp"])
            await handle.tell({"request": "start"}, {"type": "answer", "sdp": answer})
            yield viewer
            await handle.leave()
