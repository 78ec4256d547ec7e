"""What real servers and browsers have said once, said again to the camera: `tests/signaling/record.py` has written it down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from edgecam.health import HealthBoard
from edgecam.settings.signaling import RoomsSignaling, WebsocketSignaling
from edgecam.signaling import rooms as dialect
from edgecam.signaling import rooms_calling, websocket
from edgecam.signaling.percamera import PerCamera
from edgecam.signaling.rooms import RoomsExchange
from edgecam.signaling.websocket import WebsocketExchange
from edgecam.supervisor import background
from tests.signaling.scene import QUICK, Daemon, Recorder, run
from tests.signaling.transcript import TRANSCRIPTS, Player, Step, load
from tests.signaling_servers.rooms.server import ACCOUNTS

Build = Callable[[str, Recorder, HealthBoard], PerCamera]


def rooms(address: str, sessions: Recorder, board: HealthBoard, house: str = "plain") -> PerCamera:
    login = {"login_path": "/login", "login": "camera", "password": ACCOUNTS["camera"]} if house == "locked" else {}
    url = f"http://{address}/{house}"
    section = RoomsSignaling.model_validate({"type": "rooms", "url": url, **login})
    return RoomsExchange("home", section, {"front": ""}, sessions, board, QUICK)


def original(address: str, sessions: Recorder, board: HealthBoard, house: str = "plain") -> PerCamera:
    section = WebsocketSignaling.model_validate({"url": f"ws://{address}/{house}"})
    return WebsocketExchange("home", section, {"front": "front"}, sessions, board, QUICK)


def house_of(steps: list[Step]) -> str:
    opened = next(step for step in steps if step.what in {"open", "request"})
    return str(opened.value).rpartition(" ")[2].split("/")[1]


@pytest.mark.parametrize("path", sorted(TRANSCRIPTS.glob("rooms/*.jsonl")), ids=lambda path: path.stem)
def test_rooms(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENTERING", "CALL_AGAIN", "NOTICED"):
        monkeypatch.setattr(rooms_calling, name, 0.15)
    monkeypatch.setattr(dialect, "ACCEPTED", 0.01)
    monkeypatch.setattr(dialect, "SHORTEST_LIFE", 0.0)
    replay(path, rooms)


@pytest.mark.parametrize("path", sorted(TRANSCRIPTS.glob("websocket/*.jsonl")), ids=lambda path: path.stem)
def test_websocket(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "QUIET", 0.15)
    replay(path, original)


def replay(path: Path, build: Callable[[str, Recorder, HealthBoard, str], PerCamera]) -> None:
    """The camera goes through the whole of it, takes each answer to its own offers and answers each offer, once."""
    steps = load(path)
    expected = negotiated(steps)

    async def main() -> None:
        sessions, board, player = Recorder(), HealthBoard(), Player(steps)
        async with player.listening() as address:
            exchange = build(str(address), sessions, board, house_of(steps))
            camera = Daemon(exchange, sessions, board)
            async with background((exchange.name, exchange.run)):
                async with asyncio.timeout(20):
                    await player.done.wait()
                for kind, text in expected:
                    await _made(sessions, kind, text)
                await camera.until("running")
        answered = [call[2] for call in sessions.calls if call[0] == "answer"]
        assert len(answered) == len(set(answered)), "an offer has been negotiated twice"

    run(main)


def negotiated(steps: list[Step]) -> list[tuple[str, str]]:
    """What the sessions must have been asked: to answer each offer, and to accept each answer but those to an offer of the
    camera's that has given way to one of the viewer."""
    found: list[tuple[str, str]] = []
    gave_way = False
    for step in steps:
        body = step.value.get("data", step.value) if isinstance(step.value, dict) else {}
        sdp = body.get("sdp")
        text = str(sdp.get("sdp") if isinstance(sdp, dict) else sdp)
        if body.get("type") == "offer":
            gave_way = step.who == "server"
            found += [("answer", text)] if gave_way else []
        elif body.get("type") == "answer" and step.who == "server" and not gave_way:
            found.append(("accept_answer", text))
    assert found or "locked" in str(steps[0].value), "nothing was negotiated"
    return found


async def _made(sessions: Recorder, kind: str, text: str) -> None:
    call = next((call for call in sessions.calls if call[0] == kind and call[2] == text), (kind, "", text))
    await sessions.recorded(*call)
