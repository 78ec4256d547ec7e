"""Messages that nobody meant: every type of the dialect, with fields right, wrong, missing, hostile, or of another kind."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence

TYPES = (
    "welcome", "register", "registered", "cameras", "peer-connected", "peer-disconnected", "offer", "answer", "ice-candidate",
    "get-turn-config", "turn-config", "error", "chat", "", "__proto__", "REGISTER",
)  # fmt: skip
HOSTILE: tuple[object, ...] = (
    None, True, False, 0, -1, 2**63, 2**4000, 1e308, "", " ", "\0", "\u2028", "\ud800", "é" * 70, "a" * 65, "x" * 3000, "../../etc/passwd",
    "<script>", "%s%n", "{{7*7}}", "' OR 1=1 --", [], {}, [[[[]]]], {"type": "offer"}, ["sender"], {"sdp": None}, {"a": {"b": {"c": {}}}},
)  # fmt: skip
CANDIDATE = "candidate:1 1 udp 2122260223 192.0.2.1 5000 typ host"
FIELDS = (
    "role", "cameraId", "peerId", "instanceId", "token", "title", "offers", "list", "received", "sdp", "candidate", "peer", "message",
    "code", "turnConfig", "config", "cameras", "type",
)  # fmt: skip


class Fuzzer:
    """`mark`: what its SDP and candidates contain, so that whoever gets them knows whose they are. `peers` are ids to choose from."""

    def __init__(self, seed: int, cameras: Sequence[str], peers: Callable[[], Sequence[str]]) -> None:
        self.chance = random.Random(seed)
        self._cameras = cameras
        self._peers = peers

    def message(self, mark: str, kind: str | None = None) -> str:
        """A text frame; most often one that could be meant, of `kind` if one is given."""
        chance = self.chance
        kind = kind if kind is not None else chance.choice(TYPES)
        body: dict[str, object] = {"type": kind, **self._meant(kind, mark)}
        while chance.random() < 0.3:
            body[chance.choice(FIELDS)] = chance.choice(HOSTILE)
        while body and chance.random() < 0.1:
            body.pop(chance.choice(list(body)))
        text = json.dumps(body, ensure_ascii=chance.random() < 0.9)
        return text if chance.random() < 0.9 else self._torn(text)

    def _meant(self, kind: str, mark: str) -> dict[str, object]:
        chance, found = self.chance, dict[str, object]()
        if chance.random() < 0.7:
            found["cameraId"] = chance.choice(self._cameras)
        if chance.random() < 0.6:
            found["peerId"] = chance.choice(self._peers() or ["nobody-at-all-here"])
        if kind == "register":
            found["role"] = chance.choice(("sender", "receiver"))
            found |= {"instanceId": f"instance-{chance.randrange(4)}"} if chance.random() < 0.5 else {}
            found |= {"offers": True} if chance.random() < 0.5 else {}
            found |= {"list": True} if chance.random() < 0.2 else {}
            found |= {"received": chance.choice((0, 1, 5, -1, 10**9))} if chance.random() < 0.3 else {}
        elif kind in {"offer", "answer"}:
            found["sdp"] = f"v=0 {mark}"
        elif kind == "ice-candidate":
            found["candidate"] = {"candidate": f"{CANDIDATE} {mark}", "sdpMid": "0", "sdpMLineIndex": 0}
        elif kind == "error":
            found |= {"message": f"no {mark}", "code": chance.choice(("viewers-full", "x"))}
        elif kind.startswith("peer-"):
            found["peer"] = chance.choice(("sender", "receiver"))
        return found

    def _torn(self, text: str) -> str:
        chance = self.chance
        at, length = chance.randrange(len(text) + 1), chance.randint(1, 30)
        match chance.randrange(4):
            case 0:
                return text[:at]
            case 1:
                return text[:at] + text[at + length :]
            case 2:
                return text[:at] + "".join(chance.choice('{}[]",:\\\0\n0e-') for _ in range(length)) + text[at:]
            case _:
                return "[" * chance.choice((1, 100, 100_000)) + text
