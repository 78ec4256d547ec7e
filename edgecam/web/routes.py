"""Health, status, metrics, snapshots and what the viewer page asks for."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from edgecam.errors import ConfigError, RetryableError, ViewerRefusedError
from edgecam.media.pipeline import Pipeline
from edgecam.media.snapshot import jpeg
from edgecam.media.types import AccessUnit
from edgecam.rtc.admission import private
from edgecam.signaling.fields import ice_servers_to
from edgecam.web import metrics
from edgecam.web.context import CONTEXT
from edgecam.web.problems import problem
from edgecam.web.status import status_document

SNAPSHOT_AGE_NS = 500_000_000  # a keyframe younger than this is "now"
SNAPSHOT_WAIT = 2.0  # seconds to wait for a new keyframe, beside the time that opening the camera takes

routes = web.RouteTableDef()


@routes.get("/healthz")
async def healthz(_request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


@routes.get("/readyz")
async def readyz(request: web.Request) -> web.Response:
    reasons = request.app[CONTEXT].board.reasons
    return web.Response(status=503 if reasons else 200, text="\n".join(reasons or ["ready"]) + "\n")


@routes.get("/api/v1/status")
async def status(request: web.Request) -> web.Response:
    return web.json_response(await status_document(request.app[CONTEXT]))


@routes.get("/api/v1/configuration/preview")
async def preview(request: web.Request) -> web.Response:
    """What `systemctl reload` would change now: the file, environment and credentials as the daemon sees them."""
    ask = request.app[CONTEXT].preview
    if ask is None:
        absent = ConfigError("this daemon was started without a file", remedy="edgecam run has one", code="config-none")
        return problem(absent, 404)
    return web.json_response(ask().as_dict())


@routes.get("/metrics")
async def prometheus(request: web.Request) -> web.Response:
    text = metrics.render(await status_document(request.app[CONTEXT]))
    return web.Response(body=text.encode(), headers={"Content-Type": metrics.CONTENT_TYPE})


@routes.get("/api/v1/viewer")
async def viewer(request: web.Request) -> web.Response:
    """How the viewer page connects on this host, and through which ICE servers."""
    context = request.app[CONTEXT]
    cameras = [
        {"id": p.name, "title": p.title, "online": p.component.state.ready and not p.privacy.private}
        for p in context.pipelines.values()
    ]
    reached = {"transport": "whep", "cameras": cameras, "relayOnly": context.viewers.ice.policy == "relay"}
    return web.json_response({**reached, **ice_servers_to(context.ice_servers.current())})


@routes.get("/api/v1/cameras/{camera}/snapshot.jpg")
async def snapshot(request: web.Request) -> web.Response:
    name = request.match_info["camera"]
    pipeline = request.app[CONTEXT].pipelines.get(name)
    if pipeline is None:
        known = ", ".join(request.app[CONTEXT].pipelines) or "none"
        unknown = ViewerRefusedError(f"there is no camera {name!r}", remedy=f"cameras here: {known}", code="camera-unknown")
        return problem(unknown, 404)
    jpeg_now = await picture(pipeline)
    if pipeline.privacy.private:
        return problem(private(pipeline), 503)
    if jpeg_now is None:
        state = pipeline.component.state
        gone = RetryableError(
            f"camera {name!r} gives no picture now: {state.detail or state.condition}",
            remedy="see the status page",
            code=state.code or "camera-stalled",
        )
        return problem(gone, 503)
    return web.Response(body=jpeg_now, content_type="image/jpeg")


async def picture(pipeline: Pipeline) -> bytes | None:
    """A JPEG of what the camera sees now, None when it gives no picture in time or is private. Opens one that captures on demand."""
    keyframe = None if pipeline.privacy.private else await _fresh_keyframe(pipeline)
    made = await asyncio.to_thread(jpeg, keyframe) if keyframe is not None else None
    return None if pipeline.privacy.private else made  # it may be so since a moment ago


async def _fresh_keyframe(pipeline: Pipeline) -> AccessUnit | None:
    """A keyframe made now, or None when the camera gives none in time; old pictures are never passed off as new."""
    asked = time.monotonic_ns()
    newest = pipeline.last_keyframe
    if newest is not None and asked - newest.captured_ns <= SNAPSHOT_AGE_NS:
        return newest
    arrived: asyncio.Future[AccessUnit] = asyncio.get_running_loop().create_future()
    patience = SNAPSHOT_WAIT + (0 if pipeline.shutter.device == "open" else pipeline.settings.start_timeout)
    feed = pipeline.attach(lambda unit: None if arrived.done() else arrived.set_result(unit))
    feed.start()
    try:
        async with asyncio.timeout(patience):
            return await arrived
    except TimeoutError:
        return None
    finally:
        feed.close()
