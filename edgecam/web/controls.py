"""A camera's own controls (exposure, focus, brightness …) by its driver's names: `GET` lists them, `PATCH {"brightness": 10}` sets
some while it streams. What is set here holds until the daemon ends, or the file says something else."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from aiohttp import web

from edgecam.errors import ConfigError, RetryableError, ViewerRefusedError
from edgecam.media.types import ControllableSource
from edgecam.settings import checked_controls
from edgecam.web.context import CONTEXT, GUARD
from edgecam.web.problems import problem

log = structlog.get_logger(__name__)

MAX_BODY = 16 << 10  # bytes

routes = web.RouteTableDef()


@routes.get("/api/v1/cameras/{camera}/controls")
async def controls(request: web.Request) -> web.Response:
    """As they are now: a camera changes some by itself. The list is empty where it has none."""
    return await _answer(request, {})


@routes.patch("/api/v1/cameras/{camera}/controls")
async def set_controls(request: web.Request) -> web.Response:
    """Answers with all of them as they are then; 400 when one was refused, the others being set."""
    try:
        return await _answer(request, await _asked(request))
    except ConfigError as error:
        return problem(error, HTTPStatus.BAD_REQUEST)


async def _answer(request: web.Request, values: Mapping[str, Any]) -> web.Response:
    """Raises ConfigError (control-refused)."""
    pipeline = request.app[CONTEXT].pipelines.get(request.match_info["camera"])
    if pipeline is None:
        return _unknown(request)
    if not request.app[GUARD].rights_of(request).is_admin:
        return problem(ViewerRefusedError("this token may not do that", remedy="use the owner's", code="forbidden"), HTTPStatus.FORBIDDEN)
    if values:
        log.info("controls.asked", camera=pipeline.name, controls=sorted(values), remote=request.remote)
    source = pipeline.source
    if not isinstance(source, ControllableSource):
        return web.json_response({"camera": pipeline.name, "controls": []})
    try:
        now = await source.set_controls(values)
    except RetryableError as error:
        return problem(error, HTTPStatus.SERVICE_UNAVAILABLE)
    if now.refused:
        why = "; ".join(dict.fromkeys(now.refused.values()))
        raise ConfigError(why, remedy="GET lists what there is, and its limits", code="control-refused")
    return web.json_response({"camera": pipeline.name, "controls": [control.as_dict() for control in now.controls]})


async def _asked(request: web.Request) -> dict[str, Any]:
    """Raises ConfigError."""
    why = "that sets no control"
    if (request.content_length or 0) <= MAX_BODY:
        try:
            if values := checked_controls(await request.json()):
                return values
        except (ValueError, RecursionError) as error:
            why = f"that sets no control: {error}"
    raise ConfigError(why, remedy='send for example {"brightness": 10}', code="control-malformed")


def _unknown(request: web.Request) -> web.Response:
    known = ", ".join(request.app[CONTEXT].pipelines) or "none"
    error = ViewerRefusedError(
        f"there is no camera {request.match_info['camera']!r}", remedy=f"cameras here: {known}", code="camera-unknown"
    )
    return problem(error, HTTPStatus.NOT_FOUND)
