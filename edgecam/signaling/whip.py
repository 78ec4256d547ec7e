"""The camera as a WHIP client (RFC 9725): published once to a media server, and published anew for as long as the daemon runs."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

import aiohttp
import structlog

from edgecam.errors import ConfigError, EdgecamError, NegotiationError, SignalingError, ViewerRefusedError
from edgecam.health import Component, HealthBoard
from edgecam.peers import Candidate, PeerKey, Publications
from edgecam.settings import IceServer
from edgecam.settings.signaling import WhipSignaling
from edgecam.signaling.percamera import BACKOFF, PerCamera, public
from edgecam.signaling.whip_headers import Fragments
from edgecam.signaling.whip_http import Published, RefusedError, WhipServer, require_addresses
from edgecam.supervisor import Backoff

log = structlog.get_logger(__name__)

PATIENCE = 1.0  # seconds that an offer waits for STUN and TURN, for servers that take no candidates later
BATCH = 0.05  # seconds in which candidates are gathered for one PATCH
MAX_WAITING = 64  # candidates
TOKEN_LOOK = 1.0  # seconds between two looks whether token_file has changed, while the old token is refused
_NO_VIDEO = re.compile(r"^m=video 0 |^a=inactive\s*$", re.MULTILINE)


class _Candidates:
    """Implements `peers.PeerLink`: candidates wait here for their PATCH. What is beyond MAX_WAITING is dropped."""

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._complete = False
        self._arrived = asyncio.Event()

    def local_candidate(self, candidate: Candidate | None) -> None:
        if candidate is None:
            self._complete = True
        elif len(self._waiting) < MAX_WAITING:
            self._waiting.append(candidate.candidate)
        self._arrived.set()

    def path_lost(self) -> None:
        """The session ends then, which is told by `Publications.ended`."""

    def turned_away(self, error: EdgecamError) -> None:
        """As above."""

    async def next(self) -> tuple[list[str], bool]:
        """The candidates that have come, and whether those were all for now."""
        await self._arrived.wait()
        await asyncio.sleep(BATCH)
        self._arrived.clear()
        found, self._waiting = self._waiting, []
        complete, self._complete = self._complete, False
        return found, complete


class WhipCamera:
    """One camera at one endpoint. Implements `percamera.CameraConnection`."""

    def __init__(self, name: str, settings: WhipSignaling, camera: str, sessions: Publications, component: Component) -> None:
        self._section = name
        self._settings = settings
        self._camera = camera
        self._sessions = sessions
        self._component = component
        self._url = settings.url.replace("{camera}", camera)
        require_addresses(name, settings, self._url)
        self._key = PeerKey(f"signaling.{name}", camera, "server")
        self._ice_servers: tuple[IceServer, ...] = ()  # as the server named them last
        self._patience = PATIENCE

    def addresses_gone(self, addresses: Collection[str]) -> None:
        """Nothing to do: there is no connection but the session's, whose ICE agent is told too."""

    async def run(self) -> None:
        """Publish, and stay published until the session is over. Raises SignalingError, as late as the server asks."""
        await public(self._sessions, self._camera, self._component)
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as http:
                await self._publish(WhipServer(http, self._section, self._settings, self._url))
        except RefusedError as error:
            self._component.waiting(error.code, str(error))
            await self._rest(error.wait * random.uniform(1.0, 1.2))
            raise

    async def _rest(self, seconds: float) -> None:
        """For so long, or until there is another token."""
        until, written = time.monotonic() + seconds, self._token_written()
        while (left := until - time.monotonic()) > 0 and self._token_written() == written:  # noqa: ASYNC110 - files announce nothing
            await asyncio.sleep(min(left, TOKEN_LOOK))

    def _token_written(self) -> float | None:
        try:
            return Path(self._settings.token_file).stat().st_mtime if self._settings.token_file else None
        except OSError:
            return None

    async def _publish(self, server: WhipServer) -> None:
        candidates = _Candidates()
        offer = await self._offer(candidates)
        over = asyncio.ensure_future(self._sessions.ended(self._key))
        published = None
        try:
            published = await server.post(offer)
            await self._accept(server, published)
            async with asyncio.TaskGroup() as group:
                trickling = group.create_task(self._trickle(server, published, candidates, offer), name=f"{self._key.via} trickle")
                connected = await self._sessions.connected(self._key)
                if connected:
                    self._component.running(f"{self._camera} is published at {server.where}")
                ended = await over
                trickling.cancel()
            lost = f"{self._camera} is not published at {server.where} any more" if connected else f"no pictures reach {server.where}"
            remedy, code = "it is published anew by itself", ended.code or "signaling-lost"
            raise SignalingError(f"{lost}: {ended.reason}", remedy=remedy, code=code)
        finally:
            over.cancel()
            await self._sessions.close(self._key, "the camera is not published any more")
            if published is not None:
                await server.delete(published)

    async def _offer(self, candidates: _Candidates) -> str:
        try:
            return await self._sessions.publish(self._key, self._ice_servers, candidates, self._patience)
        except (NegotiationError, ViewerRefusedError) as error:
            raise SignalingError(f"{self._camera} cannot be published: {error.message}", remedy=error.remedy, code=error.code) from error

    async def _accept(self, server: WhipServer, published: Published) -> None:
        self._ice_servers = published.ice_servers
        self._patience = 0.0 if published.trickles else PATIENCE
        if _NO_VIDEO.search(published.answer):
            raise RefusedError(f"{server.where} takes no video, or not this camera's H.264", remedy="allow H.264 there")
        try:
            self._sessions.add_ice_servers(self._key, published.ice_servers)
            await self._sessions.accept_answer(self._key, published.answer)
        except NegotiationError as error:
            reason = f"the answer of {server.where} cannot be used: {error.message}"
            raise RefusedError(reason, remedy=error.remedy) from error

    async def _trickle(self, server: WhipServer, published: Published, candidates: _Candidates, offer: str) -> None:
        """Tell the server what candidates come after the offer, as long as it wants to know."""
        fragments = Fragments.of(offer)
        more: bool | None = published.trickles
        while more:
            found, complete = await candidates.next()
            with suppress(SignalingError):  # the session may well connect without them
                more = await server.patch(published, fragments.holding(found, complete=complete))
        if more is None:
            await self._sessions.close(self._key, "the media server does not know the session any more")


def whip(
    name: str,
    settings: WhipSignaling,
    cameras: Mapping[str, str],
    sessions: Publications,
    board: HealthBoard,
    backoff: Backoff = BACKOFF,
) -> PerCamera:
    """The section at work. Raises ConfigError where its address is none, or one for several cameras."""
    if len(cameras) > 1 and "{camera}" not in settings.url:
        raise ConfigError(
            f"[signaling.{name}] publishes {len(cameras)} cameras at one address",
            remedy="write {camera} in its url where the camera's name belongs, or name one camera in cameras",
        )
    return PerCamera(name, cameras, board, backoff, lambda camera, line: WhipCamera(name, settings, camera, sessions, line))
