"""A viewer's way into Janus' streaming plugin: its JSON over HTTP, as far as watching needs it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiortc import RTCPeerConnection, RTCSessionDescription

MOUNTPOINT = 1


class JanusRoom:
    """One Janus session; each viewer attaches its own handle. Here Janus offers and the viewer answers."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    @classmethod
    @asynccontextmanager
    async def entered(cls, session: aiohttp.ClientSession, url: str) -> AsyncIterator[JanusRoom]:
        """With a Janus session made."""
        made = await cls(session, url)._ask(janus="create")
        yield cls(session, f"{url}/{made['data']['id']}")

    async def join(self, pc: RTCPeerConnection) -> None:
        """Watch, answer, start."""
        attached = await self._ask(janus="attach", plugin="janus.plugin.streaming")
        handle = attached["data"]["id"]
        await self._tell(handle, {"request": "watch", "id": MOUNTPOINT})
        offer = await self._event(handle)
        await pc.setRemoteDescription(RTCSessionDescription(offer["sdp"], "offer"))
        await pc.setLocalDescription(await pc.createAnswer())
        answer = {"type": "answer", "sdp": pc.localDescription.sdp}
        await self._tell(handle, {"request": "start"}, answer)

    async def _tell(self, handle: int, body: dict[str, Any], jsep: dict[str, str] | None = None) -> None:
        extra = {"jsep": jsep} if jsep else {}
        await self._ask(f"/{handle}", janus="message", body=body, **extra)

    async def _event(self, handle: int) -> dict[str, Any]:
        """The next description that Janus sends for this handle."""
        while True:
            async with self._session.get(self._url) as response:
                event = await response.json(content_type=None)
            if event.get("sender") == handle and "jsep" in event:
                return dict(event["jsep"])

    async def _ask(self, path: str = "", **message: Any) -> dict[str, Any]:
        message["transaction"] = secrets.token_hex(6)
        async with self._session.post(self._url + path, json=message) as response:
            answer: dict[str, Any] = await response.json(content_type=None)
        if answer["janus"] not in {"success", "ack"}:
            raise RuntimeError(f"Janus says {answer}")
        return answer
