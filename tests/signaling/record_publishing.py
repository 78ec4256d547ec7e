"""Record the transcripts of `whip` and `mediasoup` anew, with real sessions and servers: `python -m tests.signaling.record_publishing`."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgecam.media.pipeline import Pipeline
from edgecam.peers import PeerKey, PeerLink, Publications
from edgecam.rtc.viewers import Viewers
from edgecam.settings import CameraSettings, IceServer, IceSettings, ViewerSettings
from edgecam.settings.signaling import MediasoupSignaling, WhipSignaling
from edgecam.signaling.mediasoup import MediasoupCamera
from edgecam.signaling.percamera import CameraConnection
from edgecam.signaling.socketio_client import ToldErrors
from edgecam.signaling.whip import WhipCamera
from edgecam.supervisor import Backoff, background, supervise
from tests.peers.source import EncodedSource
from tests.signaling.publishing import Board, save
from tests.signaling.test_whip import coturn
from tests.signaling_servers.media.servers import MediaServer

QUICK = Backoff(first=0.05, cap=0.1)
TOKEN = "correct-horse-battery"
FOREVER = 10**15


class Eavesdropper(Viewers):
    """Real sessions whose offers and answers are kept."""

    def __init__(self, board: Board) -> None:
        source = EncodedSource()
        self.pipeline = Pipeline("front", CameraSettings(source="test"), source, board.line)
        super().__init__({"front": self.pipeline}, IceSettings(ipv6=False), ViewerSettings())
        self.offers: list[str] = []
        self.answers: list[str] = []

    async def publish(
        self, key: PeerKey, ice_servers: Sequence[IceServer] = (), link: PeerLink | None = None, patience: float | None = None
    ) -> str:
        offer = await super().publish(key, ice_servers, link, patience)
        self.offers.append(offer)
        return offer

    async def accept_answer(self, key: PeerKey, answer_sdp: str) -> None:
        self.answers.append(answer_sdp)
        await super().accept_answer(key, answer_sdp)


async def record(server: MediaServer, build: Callable[[Publications, Board], CameraConnection], until: float) -> dict[str, Any]:
    """Publish for `until` seconds after it runs; what was said."""
    board = Board()
    viewers = Eavesdropper(Board())
    dialect = build(viewers, board)
    async with background(("camera", viewers.pipeline.run)), viewers.serving():
        async with background(("dialect", lambda: supervise(dialect.run, board.line, QUICK))):
            await board.until("running")
            await asyncio.sleep(until)
    seen = await asyncio.to_thread(server.seen)
    return {"offers": viewers.offers, "answers": viewers.answers, "requests": seen["requests"], "told": seen.get("told", [])}


def whip(server: MediaServer, until: float = 0.3, **more: Any) -> dict[str, Any]:
    section = WhipSignaling.model_validate({"type": "whip", "url": f"{server.url}/front/whip", **more})
    said = asyncio.run(record(server, lambda sessions, board: WhipCamera("media", section, "front", sessions, board.line), until))
    return {"section": more, **said}


def mediasoup(server: MediaServer) -> dict[str, Any]:
    section = MediasoupSignaling.model_validate({"type": "mediasoup", "url": server.url, "room": "yard"})
    told = ToldErrors()
    return asyncio.run(record(server, lambda sessions, board: MediasoupCamera("media", section, "front", sessions, board.line, told), 0.3))


def main() -> None:
    with MediaServer("whip.mjs") as server, tempfile.TemporaryDirectory() as directory, coturn(Path(directory)) as turn:
        scenes: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
            "plain": ({"trickle": False, "location": "absolute"}, {}),
            "token": ({"tokens": {TOKEN: FOREVER}, "redirect": {"location": "/moved/whip"}}, {"token": TOKEN}),
            "trickle": ({"links": [turn]}, {"until": 1.5}),
            "busy": ({"fail": {"status": 503, "retryAfter": "1", "body": "no room", "times": 1}}, {}),
        }
        for name, (script, section) in scenes.items():
            server.reset()
            server.script(**script)
            save(f"whip/{name}", whip(server, **section), server.url)
    with MediaServer("mediasoup.mjs") as server:
        variants: dict[str, dict[str, Any]] = {
            "usual": {"keeps": False},
            "extra": {"join": "ack", "extra": True, "wrapped": True, "profiles": ["4d0032"]},
            "other-forms": {"form": "ack", "capabilities": "data", "connect": "connectTransport"},
            "silent": {"acknowledges": False, "join": "ack-only", "role": "client"},
        }
        for name, script in variants.items():
            server.reset()
            server.script(**script)
            save(f"mediasoup/{name}", mediasoup(server), server.url)


if __name__ == "__main__":
    main()
