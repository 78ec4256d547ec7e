"""What happened lately, for `edgecam report`: the ring of events, and what earlier daemons died of."""

from __future__ import annotations

from aiohttp import web

from edgecam.errors import FatalError
from edgecam.web.context import CONTEXT
from edgecam.web.problems import problem

routes = web.RouteTableDef()


@routes.get("/api/v1/blackbox")
async def events(request: web.Request) -> web.Response:
    """JSON lines, oldest first."""
    box = request.app[CONTEXT].blackbox
    lines = [] if box is None else box.ring.lines()
    return web.Response(text="\n".join([*lines, ""]), content_type="application/x-ndjson")


@routes.get("/api/v1/blackbox/deaths")
async def deaths(request: web.Request) -> web.Response:
    """Their names, newest first."""
    box = request.app[CONTEXT].blackbox
    return web.json_response([] if box is None else box.deaths.names())


@routes.get("/api/v1/blackbox/deaths/{name}")
async def death(request: web.Request) -> web.StreamResponse:
    """Compressed JSON lines."""
    box, name = request.app[CONTEXT].blackbox, request.match_info["name"]
    path = None if box is None else box.deaths.path(name)
    if path is None:
        return problem(FatalError(f"there is no death {name!r}", remedy="see /api/v1/blackbox/deaths", code="death-unknown"), 404)
    return web.FileResponse(path, headers={"Content-Type": "application/gzip"})
