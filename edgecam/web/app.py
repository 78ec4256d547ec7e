"""The daemon's HTTP application: pages and routes behind the guard."""

from __future__ import annotations

from aiohttp import web

from edgecam.http.guard import Guard
from edgecam.http.listener import application
from edgecam.http.pages import add_static, page
from edgecam.web import blackbox, calls, controls, privacy, routes, whep
from edgecam.web.context import CONTEXT, GUARD, WebContext


def build_app(guard: Guard, context: WebContext) -> web.Application:
    """Everything that `[web] listen` serves."""
    app = application(guard)
    app[CONTEXT], app[GUARD] = context, guard
    app.router.add_get("/", page("status.html"))
    app.router.add_get("/view/{camera}", page("viewer.html"))
    app.add_routes(routes.routes)
    app.add_routes(whep.routes)
    app.add_routes(calls.routes)
    app.add_routes(privacy.routes)
    app.add_routes(controls.routes)
    app.add_routes(blackbox.routes)
    app.on_response_prepare.append(whep.describe)
    add_static(app)
    return app
