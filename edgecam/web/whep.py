"""WHEP (draft-ietf-wish-whep): one POST with an offer, one 201 with the answer; any WHEP player can watch.

What it shares with WHIP is as RFC 9725 has it: the session resource with PATCH (trickle, ICE restart) and DELETE, `If-Match`
against an ETag that stands for the present ICE credentials, `Link: rel="ice-server"`. docs/whep.md is for users.
"""

from __future__ import annotations

import asyncio
import secrets
import time

import structlog
from aiohttp import hdrs, web
from multidict import CIMultiDict

from edgecam.errors import NegotiationError, ViewerRefusedError
from edgecam.peers import PeerKey
from edgecam.rtc import sdpfrag
from edgecam.rtc.session import ViewerSession
from edgecam.web.context import CONTEXT
from edgecam.web.links import ice_server_links
from edgecam.web.problems import problem

log = structlog.get_logger(__name__)

VIA = "whep"
SDP = "application/sdp"
FRAGMENT = sdpfrag.CONTENT_TYPE
MAX_SDP = 128 * 1024  # bytes
MAX_FRAGMENT = 16 * 1024  # bytes
BODY_WITHIN = 10.0  # seconds that a body may take to arrive
# A player that cannot ask for candidates later gets what STUN and TURN give in this time, seconds. Whoever reaches the
# camera directly waits in vain, but for so long only, and only where servers are configured that do not answer.
PATIENCE = 1.0
HOLD = 10.0  # seconds that a question for more candidates may wait
_STATUS = {"camera-unknown": 404, "sdp-no-h264": 406}

routes = web.RouteTableDef()


# the endpoint


@routes.post("/whep/{camera}")
async def join(request: web.Request) -> web.Response:
    """A viewer's offer: 201 with the answer, the session's address and its ETag."""
    body = await _body(request, SDP, MAX_SDP)
    if isinstance(body, web.Response):
        return body
    key = PeerKey(VIA, request.match_info["camera"], secrets.token_urlsafe(12))
    patience = 0.0 if FRAGMENT in request.headers.get(hdrs.ACCEPT, "") else PATIENCE
    viewers = request.app[CONTEXT].viewers
    try:
        answer = await viewers.answer(key, body, patience=patience)
    except (NegotiationError, ViewerRefusedError) as error:
        if error.code == "viewers-full":  # what goes wrong later, the session logs itself
            log.info("viewer.refused", camera=key.camera, via=VIA, remote=request.remote, code=error.code, reason=str(error))
        return problem(error, _STATUS.get(error.code, 503 if isinstance(error, ViewerRefusedError) else 400))
    headers = _with_links(request, Location=f"/whep/{key.camera}/{key.peer}")
    headers["Accept-Patch"] = FRAGMENT
    session = viewers.session(key)
    if session is not None:
        headers[hdrs.ETAG] = _etag(session)
    return web.Response(status=201, body=answer.encode(), content_type=SDP, headers=headers)


@routes.options("/whep/{camera}")
async def options(request: web.Request) -> web.Response:
    """What may be posted, and the ICE servers for players that must know them before they make an offer."""
    return web.Response(status=200, headers=_with_links(request, Allow="OPTIONS, POST"))


@routes.route("*", "/whep/{camera}")
async def not_on_endpoint(_request: web.Request) -> web.Response:
    return _not_allowed("OPTIONS, POST")


# the session


@routes.patch("/whep/{camera}/{session}")
async def trickle(request: web.Request) -> web.Response:
    """Candidates that the viewer found after its offer, or an ICE restart when the fragment has new credentials."""
    body = await _body(request, FRAGMENT, MAX_FRAGMENT)
    if isinstance(body, web.Response):
        return body
    session = _session(request)
    if session is None:
        return _no_session()
    refusal = _precondition(request, session)
    if refusal is not None:
        return refusal
    try:
        fragment = sdpfrag.parse(body)
    except NegotiationError as error:
        return problem(error, 400)
    given = fragment.username, fragment.password
    again = request.headers[hdrs.IF_MATCH].strip() == "*" and session.ice_restarts > 0  # its answer was lost
    restarts = given != session.remote_credentials and any(given)
    if restarts and not session.may_restart_ice(time.monotonic()):
        often = ViewerRefusedError("ICE is restarted too often", remedy="wait some seconds", code="ice-restarts-too-often")
        return problem(often, 429)
    if restarts:
        await session.restart_ice(*given)
    for candidate in fragment.candidates:
        session.add_candidate(candidate)
    return await _restarted(session) if restarts or (again and any(given)) else web.Response(status=204)


async def _restarted(session: ViewerSession) -> web.Response:
    """Our side of an ICE restart."""
    local = session.candidates
    await local.settle(PATIENCE)
    text = sdpfrag.render(local.credentials, local.since(0), complete=local.complete)
    return web.Response(status=200, text=text, content_type=FRAGMENT, headers={hdrs.ETAG: _etag(session)})


@routes.delete("/whep/{camera}/{session}")
async def leave(request: web.Request) -> web.Response:
    """Idempotent (RFC 9110 section 9.2.2): a player closes its connection as well, and either may arrive first."""
    viewers, key = request.app[CONTEXT].viewers, _key(request)
    if not viewers.knows(key) and not viewers.knew(key):
        return _no_session()
    await viewers.close(key, "the viewer left")
    return web.Response(status=200)


@routes.options("/whep/{camera}/{session}")
async def session_options(_request: web.Request) -> web.Response:
    return web.Response(status=200, headers={hdrs.ALLOW: "DELETE, OPTIONS, PATCH"})


@routes.route("*", "/whep/{camera}/{session}")
async def not_on_session(_request: web.Request) -> web.Response:
    return _not_allowed("DELETE, OPTIONS, PATCH")


# what our own page asks beside the standard, which has no way for a server to trickle and reserves GET and HEAD


@routes.get("/whep/{camera}/{session}/candidates", allow_head=False)
async def candidates(request: web.Request) -> web.Response:
    """The camera's candidates beyond the first `?from=N`, as an RFC 8840 fragment, as soon as there are any; 204 when there are
    none for a while. Other players wait in `join`."""
    session = _session(request)
    if session is None:
        return web.Response(status=205) if request.app[CONTEXT].viewers.knew(_key(request)) else _no_session()
    local = session.candidates
    seen = request.query.get("from", "0")
    found = await local.more(int(seen) if seen.isdecimal() and len(seen) < 4 else 0, HOLD)
    if not found and not local.complete:
        return web.Response(status=204)
    return web.Response(text=sdpfrag.render(local.credentials, found, complete=local.complete), content_type=FRAGMENT)


@routes.head("/whep/{camera}/{session}/candidates")
async def exists(request: web.Request) -> web.Response:
    """Whether the session lives (204) or has ended (205: start afresh; browsers would log an error status as a fault of the page).
    A page whose pictures stopped asks before it waits for ICE to notice."""
    viewers, key = request.app[CONTEXT].viewers, _key(request)
    if viewers.knows(key):
        return web.Response(status=204)
    return web.Response(status=205 if viewers.knew(key) else 404)


async def describe(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Signal on_response_prepare: every answer to OPTIONS says what may be sent (RFC 9725 section 4.2), also to a CORS preflight."""
    if request.method == hdrs.METH_OPTIONS and request.path.startswith("/whep/"):
        on_session = request.path.count("/") > 2
        response.headers.setdefault("Accept-Patch" if on_session else "Accept-Post", FRAGMENT if on_session else SDP)


# inside


def _key(request: web.Request) -> PeerKey:
    return PeerKey(VIA, request.match_info["camera"], request.match_info["session"])


def _session(request: web.Request) -> ViewerSession | None:
    return request.app[CONTEXT].viewers.session(_key(request))


def _no_session() -> web.Response:
    return problem(ViewerRefusedError("there is no such session", remedy="POST a new offer", code="session-unknown"), 404)


def _not_allowed(allow: str) -> web.Response:
    wrong = ViewerRefusedError("this address does not take that method", remedy=f"use one of {allow}", code="method-not-allowed")
    return problem(wrong, 405, Allow=allow)


def _etag(session: ViewerSession) -> str:
    """Stands for the ICE session: an ICE restart changes it."""
    return f'"{session.candidates.credentials[0]}"'


def _precondition(request: web.Request, session: ViewerSession) -> web.Response | None:
    """RFC 9725 section 4.3: what is sent for an ICE session that has been restarted meanwhile must not reach the new one."""
    given = request.headers.get(hdrs.IF_MATCH)
    if given is None:
        needed = ViewerRefusedError("PATCH needs If-Match", remedy="send the ETag of the last answer", code="etag-needed")
        return problem(needed, 428)
    if given.strip() != "*" and _etag(session) not in [tag.strip() for tag in given.split(",")]:
        other = ViewerRefusedError("that ETag is not the session's", remedy="send the ETag of the last answer", code="etag-old")
        return problem(other, 412)
    return None


def _with_links(request: web.Request, **headers: str) -> CIMultiDict[str]:
    """Headers with the ICE servers, a Link each. Whoever gets here has shown the token, where one is needed."""
    listed = CIMultiDict(headers)
    for link in ice_server_links(request.app[CONTEXT].ice_servers.current()):
        listed.add(hdrs.LINK, link)
    return listed


async def _body(request: web.Request, kind: str, limit: int) -> str | web.Response:
    """The body as text, or the refusal: of another type (415), too large (413), too slow (408)."""
    if request.content_type != kind:
        wrong = NegotiationError(f"the body must have Content-Type {kind}", remedy="set that header", code="content-type")
        accepts = "Accept-Patch" if request.method == hdrs.METH_PATCH else "Accept-Post"
        return problem(wrong, 415, **{accepts: kind})
    large = problem(NegotiationError(f"the body is larger than {limit // 1024} KiB", remedy=f"send {kind}", code="too-large"), 413)
    if (request.content_length or 0) > limit:
        return large
    try:
        async with asyncio.timeout(BODY_WITHIN):
            body = await request.read()
    except TimeoutError:
        return problem(NegotiationError("the body did not come in time", remedy="send it at once", code="body-slow"), 408)
    return large if len(body) > limit else body.decode("utf-8", "replace")
