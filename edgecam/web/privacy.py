"""A camera's privacy switch: `GET` says how it stands, `POST {"private": true}` sets it."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus

import structlog
from aiohttp import web

from edgecam.errors import ConfigError, FatalError, ViewerRefusedError
from edgecam.media.pipeline import Pipeline
from edgecam.web.context import CONTEXT, GUARD
from edgecam.web.problems import problem

log = structlog.get_logger(__name__)

MAX_BODY = 1024  # bytes
CLOSES_WITHIN = 2.5  # seconds in which a capture process has ended, or been given up
LOOK = 0.02
OPERATORS = ("api", "cli", "page")  # who may say that it was they

routes = web.RouteTableDef()


@routes.get("/api/v1/cameras/{camera}/privacy")
async def state(request: web.Request) -> web.Response:
    pipeline = _pipeline(request)
    return web.json_response(_state(pipeline)) if pipeline is not None else _unknown(request)


@routes.post("/api/v1/cameras/{camera}/privacy")
async def switch(request: web.Request) -> web.Response:
    """Answers once it is kept, and when private once the device is closed, or it is known that its driver does not let go."""
    if _pipeline(request) is None:
        return _unknown(request)
    if not request.app[GUARD].rights_of(request).is_admin:
        return problem(ViewerRefusedError("this token may not do that", remedy="use the owner's", code="forbidden"), HTTPStatus.FORBIDDEN)
    try:
        private, by = await _asked(request)
        pipeline = _pipeline(request)  # only now: a slow request may outlive a camera that is made anew
        if pipeline is None:
            return _unknown(request)
        await pipeline.privacy.set(private=private, by=by)
    except ConfigError as error:
        return problem(error, HTTPStatus.BAD_REQUEST)
    except FatalError as error:
        return problem(error, HTTPStatus.INSUFFICIENT_STORAGE)
    finally:
        log.info("privacy.asked", camera=request.match_info["camera"], remote=request.remote)
    if private:
        await _closed(pipeline)
    return web.json_response(_state(pipeline))


def _state(pipeline: Pipeline) -> dict[str, object]:
    return {"camera": pipeline.name, **pipeline.privacy.as_dict(), "device": pipeline.shutter.device}


async def _closed(pipeline: Pipeline) -> None:
    deadline = time.monotonic() + CLOSES_WITHIN
    while pipeline.shutter.device == "open" and time.monotonic() < deadline:  # noqa: ASYNC110 - the end of a process announces nothing
        await asyncio.sleep(LOOK)


async def _asked(request: web.Request) -> tuple[bool, str]:
    """Raises ConfigError."""
    remedy = 'send {"private": true} or {"private": false}'
    malformed = ConfigError("that says nothing about privacy", remedy=remedy, code="privacy-malformed")
    if (request.content_length or 0) > MAX_BODY:
        raise malformed
    try:
        body = await request.json()
    except (ValueError, RecursionError):
        raise malformed from None
    private = body.get("private") if isinstance(body, dict) else None
    if not isinstance(private, bool):
        raise malformed
    by = body.get("by", "api")
    return private, by if by in OPERATORS else "api"


def _pipeline(request: web.Request) -> Pipeline | None:
    return request.app[CONTEXT].pipelines.get(request.match_info["camera"])


def _unknown(request: web.Request) -> web.Response:
    known = ", ".join(request.app[CONTEXT].pipelines) or "none"
    error = ViewerRefusedError(
        f"there is no camera {request.match_info['camera']!r}", remedy=f"cameras here: {known}", code="camera-unknown"
    )
    return problem(error, HTTPStatus.NOT_FOUND)
