"""`edgecam call`: have a camera of the running daemon call a person, and wait for what comes of it."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from edgecam.commands.query import ask
from edgecam.settings import Settings

LOOK_EVERY = 1.0  # seconds


def call(settings: Settings, to: str, *, camera: str, signaling: str) -> int:
    """Call, and print what happens until the call is over; Ctrl-C hangs up. 0 when somebody has answered."""
    wanted = {"to": to, "camera": camera, "signaling": signaling}
    now = _asked(settings, "POST", "/api/v1/calls", {name: value for name, value in wanted.items() if value})
    path, shown, answered = f"/api/v1/calls/{now['id']}", "", False
    try:
        while True:
            if now["state"] != shown:
                shown = now["state"]
                answered |= shown == "answered"
                print(f"{now['to']}: {shown}" + (f" ({now['reason']})" if now["reason"] else ""), flush=True)
            if shown == "ended":
                return 0 if answered else 1
            time.sleep(LOOK_EVERY)
            now = _asked(settings, "GET", path)
    except KeyboardInterrupt:
        print(f"{to}: hanging up", file=sys.stderr)
        _asked(settings, "DELETE", path)
        return 0 if answered else 1


def _asked(settings: Settings, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
    reply = json.loads(ask(settings, path, method=method, body=json.dumps(body).encode() if body is not None else None))
    assert isinstance(reply, dict)
    return reply
