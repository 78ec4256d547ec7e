"""WHEP (draft-ietf-wish-whep): one POST with an offer, one 201 with the answer; any WHEP player can watch.

Errors are one-line JSON: `{"error", "code", "remedy"}`.
"""

from __future__ import annotations

import re
import secrets

import structlog
from aiohttp import web

from edgecam.errors import EdgecamError, NegotiationError, ViewerRefusedError
from edgecam.peers import Candidate, PeerKey
from edgecam.web.context import CONTEXT

log = structlog.get_logger(__name__)

VIA = "whep"
MAX_SDP = 128 * 1024  # bytes
_STATUS = {"camera-unknown": 404, "viewers-full": 503, "shutting-down": 503, "turn-unusable": 503, "sdp-no-h264": 406}

routes = web.RouteTableDef()


def problem(error: EdgecamError, status: int) -> web.Response:
    """An error as people and scripts can read it."""
    headers = {"Retry-After": "5"} if status == 503 else None
    body = {"error": error.message, "code": error.code, "remedy": error.remedy}
    return web.json_response(body, status=status, headers=headers)


def _key(request: web.Request) -> PeerKey:
    return PeerKey(VIA, request.match_info["camera"], request.match_info["session"])


@routes.post("/whep/{camera}")
async def join(request: web.Request) -> web.Response:
    if request.content_type != "application/sdp":
        wrong = NegotiationError("a WHEP offer has Content-Type application/sdp", remedy="set that header")
        return problem(wrong, 415)
    body = await request.read()
    if len(body) > MAX_SDP:
        return problem(NegotiationError("the offer is larger than 128 KiB", remedy="send an SDP offer"), 413)
    key = PeerKey(VIA, request.match_info["camera"], secrets.token_urlsafe(12))
    try:
        answer = await request.app[CONTEXT].viewers.answer(key, body.decode("utf-8", "replace"))
    except (NegotiationError, ViewerRefusedError) as error:
        if error.code == "viewers-full":  # what goes wrong later, the session logs itself
            log.info("viewer.refused", camera=key.camera, via=VIA, remote=request.remote, code=error.code, reason=str(error))
        return problem(error, _STATUS.get(error.code, 400))
    location = f"/whep/{key.camera}/{key.peer}"
    return web.Response(
        status=201,
        body=answer.encode(),
        content_type="application/sdp",
        headers={"Location": location, "ETag": f'"{key.peer}"', "Accept-Patch": "application/trickle-ice-sdpfrag"},
    )


@routes.patch("/whep/{camera}/{session}")
async def trickle(request: web.Request) -> web.Response:
    """Candidates that the viewer found after its offer (RFC 8840 fragment)."""
    if request.content_type != "application/trickle-ice-sdpfrag":
        wrong = NegotiationError("trickle needs Content-Type application/trickle-ice-sdpfrag", remedy="set that header")
        return problem(wrong, 415)
    viewers = request.app[CONTEXT].viewers
    key = _key(request)
    if not viewers.knows(key):
        return problem(ViewerRefusedError("there is no such session", remedy="POST a new offer", code="session-unknown"), 404)
    mid: str | None = None
    for line in (await request.read()).decode("utf-8", "replace").splitlines():
        if match := re.match(r"a=mid:(\S+)", line):
            mid = match[1]
        elif line.startswith("a=candidate:"):
            viewers.add_candidate(key, Candidate(line, mid))
    return web.Response(status=204)


@routes.delete("/whep/{camera}/{session}")
async def leave(request: web.Request) -> web.Response:
    """Idempotent (RFC 9110 section 9.2.2): a player closes its connection as well, and either may arrive first."""
    viewers = request.app[CONTEXT].viewers
    key = _key(request)
    if not viewers.knows(key) and not viewers.knew(key):
        return problem(ViewerRefusedError("there is no such session", remedy="POST a new offer", code="session-unknown"), 404)
    await viewers.close(key, "the viewer left")
    return web.Response(status=200)
