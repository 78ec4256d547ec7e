"""`edgecam status` and `edgecam snapshot`: ask the running daemon over its own HTTP."""

from __future__ import annotations

import http.client
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

from edgecam.errors import EdgecamError, FatalError
from edgecam.http.listener import urls_of
from edgecam.http.tokens import TokenInfo, running_daemons_token
from edgecam.settings import Settings

TIMEOUT = 10.0  # seconds; a daemon that does not answer by then hangs


def status(settings: Settings, *, as_json: bool) -> int:
    """Print the running daemon's status; 0 when ready, 1 when not."""
    document = status_document(settings)
    print(json.dumps(document, indent=2) if as_json else _readable(document))
    return 0 if document["ready"] else 1


def status_document(settings: Settings) -> dict[str, Any]:
    """The running daemon's /api/v1/status. Raises FatalError; daemon-unreachable when none answers."""
    document = json.loads(ask(settings, "/api/v1/status"))
    assert isinstance(document, dict)
    return document


def link(settings: Settings) -> int:
    """Print the links to the status page, with the token where one is needed; nothing is written or asked."""
    print("\n".join(urls_of(settings.web.address, running_daemons_token(settings).token)))
    return 0


def snapshot(settings: Settings, camera: str, output: Path) -> int:
    """Write a JPEG of what the camera sees now; `-` is standard output."""
    picture = ask(settings, f"/api/v1/cameras/{quote(camera, safe='')}/snapshot.jpg")
    if str(output) == "-":
        sys.stdout.buffer.write(picture)
        return 0
    try:
        output.write_bytes(picture)
    except OSError as error:
        raise FatalError(f"cannot write {output}: {error.strerror}", remedy="choose another file with -o") from error
    print(f"{output}: {len(picture) // 1024} KiB", file=sys.stderr)
    return 0


def daemon_answers(settings: Settings) -> bool:
    """Whether a daemon listens where the configuration says; needs no token."""
    try:
        with urllib.request.urlopen(_base(settings) + "/healthz", timeout=TIMEOUT) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _base(settings: Settings) -> str:
    listen = settings.web.address
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen.host, listen.host)
    return f"http://[{host}]:{listen.port}" if ":" in host else f"http://{host}:{listen.port}"


def ask(settings: Settings, path: str, *, method: str = "GET", body: bytes | None = None) -> bytes:
    """The running daemon's reply; `body` is JSON. Raises FatalError with what the daemon says, or daemon-unreachable."""
    base = _base(settings)
    headers = {} if body is None else {"Content-Type": "application/json"}
    request = urllib.request.Request(base + path, body, headers, method=method)
    token = running_daemons_token(settings)
    if token.token:
        request.add_header("Authorization", f"Bearer {token.token}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            return bytes(response.read())
    except urllib.error.HTTPError as error:
        raise _refused(error, path, token) from None
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        reason = getattr(error, "reason", error)
        raise FatalError(
            f"no edgecam daemon answers at {base} ({reason})",
            remedy="start it with `edgecam run`, or name its configuration with --config",
            code="daemon-unreachable",
        ) from None


def _refused(error: urllib.error.HTTPError, path: str, token: TokenInfo) -> EdgecamError:
    with error:
        body = error.read().decode("utf-8", "replace").strip()
    if error.code == 401:
        shown = f"the token in {token.path}" if token.path else "the configured token" if token.token else "no token"
        return FatalError(
            f"the daemon does not accept {shown}",
            remedy="name its configuration with --config, or pass --set web.token=TOKEN",
            code="token-needed",
        )
    try:
        said = json.loads(body)
        return FatalError(said["title"], remedy=said["remedy"], code=said["code"])
    except (ValueError, KeyError, TypeError):
        return FatalError(f"the daemon answered {error.code} to {path}: {body[:200]}")


def _readable(document: dict[str, Any]) -> str:
    verdict = "ready" if document["ready"] else "NOT READY"
    lines = [f"{document['name']}: {verdict} (edgecam {document['version']}, up {_duration(document['uptime_s'])})"]
    lines += [f"  ! {reason}" for reason in document["reasons"]]
    lines += [f"  ~ {warning}" for warning in document.get("warnings", [])]
    lines += _configuration(document.get("configuration"))
    for camera in document["cameras"]:
        cost = f", {camera['encode_ms']:.1f} ms per frame" if camera["encode_ms"] is not None else ""
        state = f"{camera['condition']} ({camera['code']})" if camera["code"] else camera["condition"]
        lines.append(
            f"  camera {camera['name']}: {state}, {camera['width']}x{camera['height']}"
            f" at {camera['measured_fps']:.1f} fps, {camera['bitrate_bps'] / 1000:.0f} kbit/s"
            f" ({camera['encoder'] or 'no encoder yet'}{cost}), {camera['viewers']}/{camera['max_viewers']} viewers"
        )
        if camera.get("next_escalation"):
            lines.append(f"    next: {camera['next_escalation']}")
    for viewer in document["viewers"]:
        round_trip = f", round trip {viewer['rtt_ms']} ms" if viewer["rtt_ms"] is not None else ""
        latency = f", glass to glass {viewer['latency_p50_ms']} ms" if viewer["latency_p50_ms"] is not None else ""
        lines.append(f"  viewer {viewer['id']} of {viewer['camera']}: {viewer['state']} {viewer['path'] or ''}{round_trip}{latency}")
    for publication in document["publications"]:
        lines.append(f"  {publication['camera']} published to {publication['via']}: {publication['state']} {publication['path'] or ''}")
    for line in document["signaling"]:
        lines.append(f"  signaling {line['name']}: {line['condition']} {line['url']}")
    return "\n".join(lines)


def _configuration(running: dict[str, Any] | None) -> list[str]:
    """Which configuration runs, and what the file says that does not hold."""
    if running is None:
        return []
    lines = [f"  configuration {running['file']} ({running['sha256'][:12]}): {running['verdict']}, since {running['since']}"]
    lines += [f"    ! {line}" for line in running["problem"].splitlines()]
    lines += [f"    ! needs restart: {', '.join(running['needs_restart'])}"] if running["needs_restart"] else []
    return lines


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
