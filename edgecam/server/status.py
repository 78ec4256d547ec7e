"""Who is connected: /status as JSON, /metrics as Prometheus' text format (version 0.0.4)."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from edgecam import __version__
from edgecam.server.audit import AuditLog
from edgecam.server.hub import Hub
from edgecam.server.reception import Reception
from edgecam.server.resumption import Lines
from edgecam.server.seats import Client

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Status:
    """Reads everything that there is to say about a running server. Times in seconds."""

    def __init__(self, hub: Hub, lines: Lines, reception: Reception, audit: AuditLog) -> None:
        self._hub = hub
        self._lines = lines
        self._reception = reception
        self._audit = audit
        self._started = time.monotonic()

    def document(self) -> dict[str, Any]:
        """Peer ids are secrets: only their beginning is shown."""
        now = time.monotonic()
        registry = self._hub.registry
        cameras = [
            {
                "id": camera.id,
                "title": camera.title or camera.id,
                "online": camera.online,
                **({"instance": camera.host.name} if camera.host is not None else {}),
                **(_client(camera.seat.client, camera.seat.since, now) if camera.seat else _NOBODY),
                "viewers": [
                    {"peer": viewer.peer_id[:6], **_client(viewer.client, viewer.since, now)} for viewer in camera.viewers.values()
                ],
            }
            for camera in registry.cameras.values()
        ]
        return {
            "version": __version__,
            "uptime_s": round(now - self._started, 1),
            "clients": len(self._hub.clients),
            "away": sum(line.away for line in self._lines.all),
            "cameras_online": registry.count_online,
            "viewers": len(registry.viewers),
            **registry.backplane.status,
            "cameras": cameras,
        }

    def metrics(self) -> str:
        """The whole exposition."""
        registry = self._hub.registry
        messages, size = self._reception.received
        away = sum(line.away for line in self._lines.all)
        lines: list[str] = []
        _metric(lines, "up", "gauge", "1 while the server answers.", [({"version": __version__}, 1)])
        _metric(lines, "uptime_seconds", "counter", "Since the server started.", [({}, round(time.monotonic() - self._started, 1))])
        _metric(lines, "sockets", "gauge", "WebSockets that are open.", [({}, len(self._reception.sockets))])
        _metric(lines, "away", "gauge", "Clients whose connection broke and whose place is kept.", [({}, away)])
        _metric(lines, "cameras", "gauge", "Cameras that are registered here.", [({}, registry.count_online)])
        _metric(lines, "viewers", "gauge", "Viewers that are registered here.", [({}, len(registry.viewers))])
        _metric(lines, "messages_received_total", "counter", "Messages from clients.", [({}, messages)])
        _metric(lines, "bytes_received_total", "counter", "Bytes of them.", [({}, size)])
        _metric(lines, "resumed_total", "counter", "Clients that came back to their old place.", [({}, self._lines.resumed)])
        for name, text, value in registry.backplane.gauges:
            _metric(lines, name, "gauge", text, [({}, value)])
        events = sorted(self._audit.events.items())
        _metric(lines, "events_total", "counter", "What the audit log has seen.", [({"event": event}, count) for event, count in events])
        refused = sorted(self._audit.refused.items())
        _metric(lines, "refused_total", "counter", "Refusals, by code.", [({"code": code}, count) for code, count in refused])
        return "\n".join(lines) + "\n"


_NOBODY: dict[str, object] = {"remote": None, "connected_s": None}


def _client(client: Client, since: float, now: float) -> dict[str, object]:
    rights = client.rights
    shown: dict[str, object] = {
        "remote": client.link.remote,
        "connected_s": round(now - since, 1),
        "client": client.id,
        "grant": rights.token_id or rights.role,
    }
    if rights.name:
        shown["name"] = rights.name
    if rights.expires is not None:
        shown["grant_ends_s"] = round(rights.expires - time.time())
    if client.link.away:
        shown["away"] = True
    return shown


def _metric(lines: list[str], name: str, kind: str, text: str, samples: Iterable[tuple[dict[str, str], object]]) -> None:
    known = list(samples)
    if not known:
        return
    lines += [f"# HELP edgecam_server_{name} {text}", f"# TYPE edgecam_server_{name} {kind}"]
    for labels, value in known:
        inner = ",".join(f'{key}="{_escaped(label)}"' for key, label in labels.items())
        lines.append(f"edgecam_server_{name}{{{inner}}} {value}" if inner else f"edgecam_server_{name} {value}")


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
