"""Dialects that publish a camera, against servers that play what real ones said; only the sessions behind them are a recorder."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgecam.health import Component, HealthBoard
from edgecam.peers import Ended, PeerKey, PeerLink
from edgecam.settings import IceServer
from tests.signaling.scene import Recorder

TRANSCRIPTS = Path(__file__).parent / "transcripts"
PATIENCE = 10.0  # seconds
SERVER = "http://server.invalid"


class Publications(Recorder):
    """Implements `peers.Publications` with the offers of a transcript, the last of them for ever. Sessions are connected once their
    answer is there, and over once they are closed or `end` is called."""

    def __init__(self, offers: Sequence[str]) -> None:
        super().__init__()
        self._offers = list(offers)
        self.added: list[IceServer] = []
        self._over = asyncio.Event()
        self._answered = asyncio.Event()
        self._reason = Ended("closed")

    async def publish(
        self, key: PeerKey, ice_servers: Sequence[IceServer] = (), link: PeerLink | None = None, patience: float | None = None
    ) -> str:
        self._over.clear()
        self._answered.clear()
        self.ice_servers = ice_servers
        self.links[key.peer] = link
        self._record("publish", key.peer)
        if key.peer in self.broken:
            raise self.broken[key.peer]
        return self._offers.pop(0) if len(self._offers) > 1 else self._offers[0]

    def add_ice_servers(self, key: PeerKey, servers: Sequence[IceServer]) -> None:
        self.added = list(servers)

    async def accept_answer(self, key: PeerKey, answer_sdp: str) -> None:
        await super().accept_answer(key, answer_sdp)
        self.living.add(key.peer)
        self._answered.set()

    async def connected(self, key: PeerKey) -> bool:
        await self._answered.wait()
        return not self._over.is_set()

    async def ended(self, key: PeerKey) -> Ended:
        await self._over.wait()
        return self._reason

    async def close(self, key: PeerKey, reason: str) -> None:
        await super().close(key, reason)
        self.end(reason)

    def end(self, reason: str, code: str = "") -> None:
        """The session is over."""
        self._reason = Ended(reason, code)
        self.living.clear()
        self._over.set()
        self._answered.set()

    @property
    def answers(self) -> list[str]:
        return [call[2] for call in self.calls if call[0] == "accept_answer"]


class Board:
    """One line of health, waited for."""

    def __init__(self) -> None:
        self._board = HealthBoard()
        self._changed = asyncio.Event()
        self._board.watch(self._changed.set)
        self.line: Component = self._board.component("signaling.media")

    async def until(self, condition: str, code: str = "") -> str:
        """Wait for a state; its detail."""
        async with asyncio.timeout(PATIENCE):
            while (self.line.state.condition, self.line.state.code) != (condition, code):
                self._changed.clear()
                await self._changed.wait()
        return self.line.state.detail


def load(name: str, url: str = SERVER) -> dict[str, Any]:
    """A transcript below `transcripts`, for a server at `url`."""
    found = json.loads((TRANSCRIPTS / f"{name}.json").read_text().replace(SERVER, url))
    assert isinstance(found, dict)
    return found


def save(name: str, transcript: dict[str, Any], url: str) -> None:
    """Write one, in which the server's URL is replaced by SERVER."""
    path = TRANSCRIPTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(transcript, indent=1).replace(url, SERVER) + "\n")
