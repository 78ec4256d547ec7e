"""All viewers of the daemon. Sessions belong here: they outlive signaling connections and camera restarts."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog

from edgecam.errors import EdgecamError, ViewerRefusedError
from edgecam.media.pipeline import Pipeline
from edgecam.peers import Candidate, PeerKey
from edgecam.rtc import aiortc_private
from edgecam.rtc.candidates import EarlyCandidates
from edgecam.rtc.relay import Relay
from edgecam.rtc.session import ViewerSession
from edgecam.settings import IceServer, IceSettings, ViewerSettings

log = structlog.get_logger(__name__)

REMEMBERED = 256  # ended sessions that are still known to have existed

class Viewers:
    """Implements `peers.Sessions` for every way a viewer may come. Open with `async with viewers.serving()`."""

    def __init__(self, pipelines: Mapping[str, Pipeline], ice: IceSettings, settings: ViewerSettings) -> None:
        self.refused = 0
        self.served = 0
        self._pipelines = pipelines
        self._ice = ice
        self._settings = settings
        self._sessions: dict[PeerKey, ViewerSession] = {}
        self._ended: deque[PeerKey] = deque(maxlen=REMEMBERED)
        self._early = EarlyCandidates()
        self.relay = Relay(ice.policy)
        self._group: asyncio.TaskGroup | None = None

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Accept viewers while inside; leaving ends every session with BYE, in bounded time."""
        aiortc_private.hasten_consent()
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                yield
            finally:
                self._group = None
                for session in self._sessions.values():
                    session.end("the camera is shutting down")

    def __iter__(self) -> Iterator[ViewerSession]:
        return iter(list(self._sessions.values()))

    def __len__(self) -> int:
        return len(self._sessions)

    def knows(self, key: PeerKey) -> bool:
        """Whether that viewer has a session, connected or not."""
        return key in self._sessions

    def knew(self, key: PeerKey) -> bool:
        """Whether that viewer had a session that ended not long ago."""
        return key in self._ended

    # peers.Sessions

    async def answer(self, key: PeerKey, offer_sdp: str, ice_servers: Sequence[IceServer] = ()) -> str:
        session = await self._create(key, ice_servers)
        return await self._negotiate(session, session.answer(offer_sdp))

    async def offer(self, key: PeerKey, ice_servers: Sequence[IceServer] = ()) -> str:
        session = await self._create(key, ice_servers)
        return await self._negotiate(session, session.offer())

    async def accept_answer(self, key: PeerKey, answer_sdp: str) -> None:
        session = self._sessions.get(key)
        if session is not None:
            await session.accept_answer(answer_sdp)

    def add_candidate(self, key: PeerKey, candidate: Candidate | None) -> None:
        session = self._sessions.get(key)
        if session is not None:
            session.add_candidate(candidate)
        else:
            self._early.add(key, candidate)

    def alive(self, key: PeerKey) -> bool:
        session = self._sessions.get(key)
        return session is not None and session.alive

    def signaling_lost(self, key: PeerKey) -> None:
        """Nothing to do for a connected viewer: ICE consent ends its session within 10 s if it is really gone."""
        session = self._sessions.get(key)
        if session is not None and session.connected_at is None:
            session.end("the viewer left before it was connected")

    async def close(self, key: PeerKey, reason: str) -> None:
        session = self._sessions.get(key)
        if session is not None:
            session.end(reason)

    # inside

    async def _create(self, key: PeerKey, ice_servers: Sequence[IceServer]) -> ViewerSession:
        if self._group is None:
            raise ViewerRefusedError("the camera is shutting down", remedy="try again in a moment", code="shutting-down")
        replaced = self._sessions.pop(key, None)
        if replaced is not None:
            replaced.end("the viewer negotiated anew")
        pipeline = self._admit(key)
        servers = [*self._ice.servers, *(ice_servers if self._ice.use_signaling_servers else ())]
        session = ViewerSession(key, pipeline, self._ice, servers)
        self._sessions[key] = session
        for candidate in self._early.take(key):
            session.add_candidate(candidate)
        return session

    def _admit(self, key: PeerKey) -> Pipeline:
        pipeline = self._pipelines.get(key.camera)
        if pipeline is None:
            known = ", ".join(self._pipelines) or "none"
            raise ViewerRefusedError(
                f"there is no camera {key.camera!r}", remedy=f"cameras here: {known}", code="camera-unknown"
            )
        watching = sum(session.key.camera == key.camera for session in self._sessions.values())
        full = None
        if watching >= pipeline.settings.max_viewers:
            full = f"camera {key.camera!r} is full: {watching} of {pipeline.settings.max_viewers} viewers"
            remedy = f"wait for one to leave, or raise [camera.{key.camera}] max_viewers"
        elif len(self._sessions) >= self._settings.max:
            full = f"this camera host is full: {len(self._sessions)} of {self._settings.max} viewers"
            remedy = "wait for one to leave, or raise [viewers] max"
        if full is not None:
            self.refused += 1
            raise ViewerRefusedError(full, remedy=remedy, code="viewers-full")
        return pipeline

    async def _negotiate(self, session: ViewerSession, negotiation: Coroutine[object, object, str]) -> str:
        """Run a new session's first step and, when it succeeds, the session; a failed one leaves nothing behind."""
        try:
            description = await negotiation
            self.relay.gathered(session.turn_url, description)
        except BaseException as error:
            if isinstance(error, EdgecamError):
                key = session.key
                log.info("viewer.refused", camera=key.camera, via=key.via, viewer=key.peer, reason=str(error), code=error.code)
            self._forget(session)
            if self._group is not None:
                session.end("negotiation failed")
                self._group.create_task(self._live(session), name=f"viewer {session.key.peer} (failed)")
            raise
        if self._group is None:
            session.end("the camera is shutting down")
            await session.run(0)
            raise ViewerRefusedError("the camera is shutting down", remedy="try again in a moment", code="shutting-down")
        self.served += 1
        self._group.create_task(self._live(session), name=f"viewer {session.key.peer}")
        return description

    async def _live(self, session: ViewerSession) -> None:
        key = session.key
        bound = log.bind(camera=key.camera, via=key.via, viewer=key.peer)
        try:
            reason = await session.run(self._settings.connect_timeout)
        except Exception:  # noqa: BLE001
            # The per-viewer boundary: whatever one session breaks, the others go on.
            bound.exception("viewer.failed")
        else:
            bound.info("viewer.left", reason=reason, seconds=round(time.monotonic() - session.created, 1))
        finally:
            self._forget(session)

    def _forget(self, session: ViewerSession) -> None:
        if self._sessions.get(session.key) is session:
            del self._sessions[session.key]
            self._ended.append(session.key)
