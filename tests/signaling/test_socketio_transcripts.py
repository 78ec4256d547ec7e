"""What real servers and browsers have said once, said again to the camera: `tests/signaling/record_socketio.py` has written it down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgecam.signaling import participants
from tests.signaling.scene import run
from tests.signaling.socketio_scene import ANNA, Post, Town, calling, meeting, post
from tests.signaling.transcript import TRANSCRIPTS

CALLS = sorted(TRANSCRIPTS.glob("socketio-call/*.jsonl"))
ROOMS = sorted(TRANSCRIPTS.glob("socketio-room/*.jsonl"))
OWN_TIME = {"media-state-change"}  # when the camera says it has nothing to do with the others


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def sdps(path: Path, event: str) -> list[str]:
    """The descriptions that the camera was given in such events, each once, in order."""
    given = [line["args"][0]["sdp"]["sdp"] for line in lines(path) if line["who"] == "server" and line["event"] == event]
    return list(dict.fromkeys(given))


async def play(path: Path, server: Post, town: Town) -> None:
    """Say what the server said, wait for what the camera said: that event, to the same, with those fields.

    What the camera has made up itself, its socket's id and the name of a conversation, is another one each time.
    """
    made_up: dict[str, str] = {}
    for line in lines(path):
        event, (recorded, *_more) = line["event"], line["args"] or [None]
        if event in OWN_TIME:
            continue
        if line["who"] == "server":
            text = json.dumps(line["args"])
            for before, now in made_up.items():
                text = text.replace(json.dumps(before), json.dumps(now))
            await server.emit(event, *json.loads(text))
            continue
        if event == "call.invite":
            assert town.camera is not None
            await town.camera.call(recorded["to"])
        said = await server.until(event)
        assert set(said) == set(recorded), event
        for name in ("to", "targetId", "roomId", "userName", "email"):
            assert said.get(name) == recorded.get(name), (event, name)
        for name in ("conversation_id", "socketId"):
            if name in said and said[name] != recorded[name]:
                made_up[recorded[name]] = said[name]


@pytest.mark.parametrize("path", CALLS, ids=lambda path: path.stem)
def test_calls(path: Path) -> None:
    async def main() -> None:
        async with post() as server, calling(server, callers=["*@calls.example"]) as town:
            await play(path, server, town)
            assert town.camera is not None
            for sdp in sdps(path, "call.answer"):
                await town.sessions.recorded("accept_answer", ANNA, sdp)
            answered = [call[2] for call in town.sessions.calls if call[0] == "answer"]
            assert answered == ([] if path.stem == "refused" else sdps(path, "call.offer")), "each offer once"
            candidates = [call[2] for call in town.sessions.calls if call[0] == "candidate"]
            assert len(candidates) == len(set(candidates))
            assert all("mid:1" in sdp for sdp in answered), "audio and video were offered"

    run(main)


@pytest.mark.parametrize("path", ROOMS, ids=lambda path: path.stem)
def test_rooms(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(participants, "PATIENCE", 0.15)

    async def main() -> None:
        async with post() as server, meeting(server, room="hall front") as town:
            await play(path, server, town)
            answers = sdps(path, "answer")
            for sdp in answers[1:] if path.stem == "crossing" else answers:
                await town.sessions.recorded("accept_answer", _peer(path), sdp)
            answered = [call[2] for call in town.sessions.calls if call[0] == "answer"]
            assert answered == sdps(path, "offer"), "each offer once"
            assert len([call for call in town.sessions.calls if call[0] == "offer"]) == len(_camera_offers(path))

    run(main)


def _peer(path: Path) -> str:
    return next(str(line["args"][0]["fromId"]) for line in lines(path) if line["who"] == "server" and line["event"] == "answer")


def _camera_offers(path: Path) -> list[dict[str, Any]]:
    return [line for line in lines(path) if line["who"] == "camera" and line["event"] == "offer"]
