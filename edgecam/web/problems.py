"""Errors as people and programs can read them: RFC 9457 problem details."""

from __future__ import annotations

import json
from http import HTTPStatus

from aiohttp import web

from edgecam.errors import EdgecamError

RETRY_AFTER = 5  # seconds; what is full or starting has news by then


def problem(error: EdgecamError, status: int, **headers: str) -> web.Response:
    """`application/problem+json` with `title` (what is wrong), `status`, `code` (stable) and `remedy` (what to do)."""
    if status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
        headers.setdefault("Retry-After", str(RETRY_AFTER))
    body = {"title": error.message, "status": status, "code": error.code, "remedy": error.remedy}
    return web.Response(status=status, text=json.dumps(body), content_type="application/problem+json", headers=headers)
