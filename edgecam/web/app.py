"""The daemon's HTTP application: pages and routes behind the guard."""

from __future__ import annotations

from aiohttp import web

from edgecam.http.guard import Guard
from edgecam.http.listener import application
from edgecam.http.pages import add_static, page
from edgecam.settings import WebSettings
from edgecam.web import routes, whep
from edgecam.web.context import CONTEXT, WebContext


def build_app(settings: WebSettings, token: str | None, context: WebContext) -> web.Application:
    """Everything that `[web] listen` serves."""
    app = application(Guard(settings, token))
    app[CONTEXT] = context
    app.router.add_get("/", page("status.html"))
    app.router.add_get("/view/{camera}", page("viewer.html"))
    app.add_routes(routes.routes)
    app.add_routes(whep.routes)
    add_static(app)
    return app
