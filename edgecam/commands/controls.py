"""`edgecam controls`: list a running camera's controls, and set some while it streams."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import quote

from edgecam.commands.query import ask
from edgecam.errors import ConfigError
from edgecam.media.types import Control
from edgecam.settings import Settings, control


def controls(settings: Settings, camera: str, wanted: Sequence[str], *, as_json: bool) -> int:
    """`wanted` are texts such as `brightness=10`; without any it only looks. Raises ConfigError."""
    path = f"/api/v1/cameras/{quote(camera, safe='')}/controls"
    try:
        body = json.dumps(dict(control(text) for text in wanted)).encode()
    except ValueError as error:
        raise ConfigError(str(error), remedy="for example brightness=10", code="control-malformed") from None
    answer = json.loads(ask(settings, path, method="PATCH", body=body) if wanted else ask(settings, path))
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        print("\n".join(str(Control(**each)) for each in answer["controls"]) or f"{camera} has no controls")
    return 0
