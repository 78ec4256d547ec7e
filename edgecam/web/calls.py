"""A camera calls a person, where the signaling knows people: `POST /api/v1/calls`, then `GET` and `DELETE` on the call."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from aiohttp import web

from edgecam.errors import ConfigError, EdgecamError, SignalingError, ViewerRefusedError
from edgecam.signaling.calls import Call, Caller
from edgecam.web.context import CONTEXT
from edgecam.web.problems import problem

MAX_ADDRESS = 200  # characters

routes = web.RouteTableDef()


@routes.post("/api/v1/calls")
async def begin(request: web.Request) -> web.Response:
    """`{to, camera, signaling, conversation}`, of which all but `to` may be missing: 202 with the call, which rings."""
    try:
        asked = await _asked(request)
        caller = _caller(request, _text(asked, "signaling"), _text(asked, "camera"))
        call = await caller.call(_text(asked, "to", required=True), _text(asked, "conversation") or None)
    except ConfigError as error:
        return problem(error, HTTPStatus.BAD_REQUEST)
    except ViewerRefusedError as error:
        return problem(error, HTTPStatus.CONFLICT)
    except SignalingError as error:
        return problem(error, HTTPStatus.SERVICE_UNAVAILABLE)
    return web.json_response(call.as_dict(), status=HTTPStatus.ACCEPTED, headers={"Location": f"/api/v1/calls/{call.id}"})


@routes.get("/api/v1/calls/{call}")
async def look(request: web.Request) -> web.Response:
    """What became of a call."""
    found = _named(request)
    return web.json_response(found[1].as_dict()) if found is not None else _unknown(request)


@routes.delete("/api/v1/calls/{call}")
async def hang_up(request: web.Request) -> web.Response:
    """End a call."""
    found = _named(request)
    if found is None:
        return _unknown(request)
    caller, call = found
    try:
        await caller.hang_up(call)
    except EdgecamError as error:
        return problem(error, HTTPStatus.SERVICE_UNAVAILABLE)
    return web.json_response(call.as_dict())


def _unknown(request: web.Request) -> web.Response:
    gone = ViewerRefusedError(
        f"there is no call {request.match_info['call'][:40]!r}", remedy="calls that ended long ago are forgotten", code="call-unknown"
    )
    return problem(gone, HTTPStatus.NOT_FOUND)


def _named(request: web.Request) -> tuple[Caller, Call] | None:
    callers = request.app[CONTEXT].callers.values()
    found = ((caller, caller.named(request.match_info["call"])) for caller in callers)
    return next(((caller, call) for caller, call in found if call is not None), None)


async def _asked(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise ConfigError("this is no JSON object", remedy='send {"to": "anna@calls.example"}', code="call-malformed")
    return body


def _text(asked: dict[str, Any], name: str, *, required: bool = False) -> str:
    value = asked.get(name, "")
    if not isinstance(value, str) or len(value) > MAX_ADDRESS or (required and not value.strip()):
        raise ConfigError(f"{name} must be text of up to {MAX_ADDRESS} characters", remedy="correct it", code="call-malformed")
    return value.strip()


def _caller(request: web.Request, signaling: str, camera: str) -> Caller:
    """The one that is meant. Raises ConfigError when it is none, or several may be meant."""
    callers = request.app[CONTEXT].callers
    meant = [caller for (line, name), caller in callers.items() if signaling in ("", line) and camera in ("", name)]
    if len(meant) == 1:
        return meant[0]
    known = ", ".join(f"{name} on {line}" for line, name in callers) or 'none; [signaling.NAME] type = "socketio-call" is for that'
    raise ConfigError(
        "several cameras can call" if meant else "no such camera can call anybody",
        remedy=f"name camera and signaling; those that can call: {known}",
        code="call-camera",
    )
