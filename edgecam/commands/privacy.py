"""`edgecam privacy`: have a running camera closed, or watched again, and see how its switch stands."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import quote

from edgecam.commands.query import ask
from edgecam.settings import Settings

HELD = "its driver does not let go of it: unplug the camera, or cover it"


def privacy(settings: Settings, camera: str, wanted: str, *, as_json: bool) -> int:
    """Set the switch of `camera` to `wanted` (`on`, `off`), or only look (`status`). 0 when the device is closed or may be open, as
    asked; 1 when somebody else keeps it private, or its driver keeps the device."""
    path = f"/api/v1/cameras/{quote(camera, safe='')}/privacy"
    if wanted == "status":
        state = json.loads(ask(settings, path))
    else:
        body = json.dumps({"private": wanted == "on", "by": "cli"}).encode()
        state = json.loads(ask(settings, path, method="POST", body=body))
    print(json.dumps(state, indent=2) if as_json else _readable(state))
    refused = wanted == "off" and state["private"]
    return int(refused or (state["private"] and state["device"] != "closed"))


def _readable(state: dict[str, Any]) -> str:
    if not state["private"]:
        return f"{state['camera']}: not private, its device is {state['device']}"
    since = time.strftime("%F %H:%M:%S", time.localtime(state["since"]))
    lines = [f"{state['camera']}: private since {since}"]
    lines += [f"  {who}: {why}" for who, why in zip(state["by"], state["reasons"], strict=True)]
    lines.append(f"  device: {HELD if state['device'] == 'held' else state['device']}")
    return "\n".join(lines)
