"""`edgecam discover`: the devices on this network, for people, programs, or Prometheus."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from edgecam.fleet.discovery import discover as look
from edgecam.fleet.records import Found
from edgecam.settings import Settings


def discover(settings: Settings, *, seconds: float, as_json: bool, as_targets: bool) -> int:
    """Print the devices that announce themselves; 0 when there is one, 1 when not."""
    devices = asyncio.run(look(settings.ice, seconds))
    if as_json:
        print(json.dumps([{**asdict(each), "url": each.url} for each in devices], indent=2))
    elif as_targets:
        print(json.dumps(targets(devices), indent=2))
    else:
        print(_readable(devices))
    return 0 if devices else 1


def targets(devices: Sequence[Found]) -> list[dict[str, Any]]:
    """The devices in the form of Prometheus' file_sd_configs and http_sd_configs: one group each."""
    return [
        {
            "targets": [each.authority],
            "labels": {
                "device": each.name,
                "__meta_edgecam_id": each.id,
                "__meta_edgecam_location": each.location,
                "__scheme__": "https" if each.tls else "http",
            },
        }
        for each in devices
        if each.addresses
    ]


def _readable(devices: Sequence[Found]) -> str:
    if not devices:
        return "no edgecam device announces itself on this network (docs/fleet.md says when one does)"
    rows = [("NAME", "ADDRESS", "CAMERAS", "STATE", "VERSION", "LOCATION")]
    rows += [(d.name, d.url, ", ".join(d.cameras) or "-", d.state or "?", d.version, d.location) for d in devices]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
