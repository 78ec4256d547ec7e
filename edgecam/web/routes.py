"""Health, status, metrics, snapshots and what the viewer page asks for."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from edgecam.errors import RetryableError, ViewerRefusedError
from edgecam.media.pipeline import Pipeline
from edgecam.media.snapshot import jpeg
from edgecam.media.types import AccessUnit
from edgecam.signaling.fields import ice_servers_to
from edgecam.web import metrics
from edgecam.web.context import CONTEXT
from edgecam.web.status import status_document
from edgecam.web.whep import problem

SNAPSHOT_AGE_NS = 500_000_000  # a keyframe younger than this is "now"
SNAPSHOT_WAIT = 2.0  # seconds to wait for a new keyframe

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


@routes.get("/metrics")
async def prometheus(request: web.Request) -> web.Response:
    text = metrics.render(await status_document(request.app[CONTEXT]))
    return web.Response(body=text.encode(), headers={"Content-Type": metrics.CONTENT_TYPE})


@routes.get("/api/v1/viewer")
async def viewer(request: web.Request) -> web.Response:
    """How the viewer page connects on this host, and through which ICE servers."""
    context = request.app[CONTEXT]
    cameras = [{"id": p.name, "title": p.title, "online": p.component.state.ready} for p in context.pipelines.values()]
    reached = {"transport": "whep", "cameras": cameras, "relayOnly": context.ice.policy == "relay"}
    return web.json_response({**reached, **ice_servers_to(context.ice.servers)})


@routes.get("/api/v1/cameras/{camera}/snapshot.jpg")
async def snapshot(request: web.Request) -> web.Response:
    name = request.match_info["camera"]
    pipeline = request.app[CONTEXT].pipelines.get(name)
    if pipeline is None:
        known = ", ".join(request.app[CONTEXT].pipelines) or "none"
        unknown = ViewerRefusedError(f"there is no camera {name!r}", remedy=f"cameras here: {known}", code="camera-unknown")
        return problem(unknown, 404)
    keyframe = await _fresh_keyframe(pipeline)
    if keyframe is None:
        state = pipeline.component.state
        gone = RetryableError(
            f"camera {name!r} gives no picture now: {state.detail or state.condition}",
            remedy="see the status page",
            code=state.code or "camera-stalled",
        )
        return problem(gone, 503)
    picture = await asyncio.to_thread(jpeg, keyframe)
    return web.Response(body=picture, content_type="image/jpeg")


async def _fresh_keyframe(pipeline: Pipeline) -> AccessUnit | None:
    """A keyframe made now, or None when the camera gives none in time; old pictures are never passed off as new."""
    asked = time.monotonic_ns()
    newest = pipeline.last_keyframe
    if newest is not None and asked - newest.captured_ns <= SNAPSHOT_AGE_NS:
        return newest
    subscription = pipeline.subscribe(asked)
    try:
        async with asyncio.timeout(SNAPSHOT_WAIT):
            return await subscription.get()
    except TimeoutError:
        return None
    finally:
        pipeline.unsubscribe(asked, subscription)
