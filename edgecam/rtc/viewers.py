"""All viewers of the daemon. Sessions belong here: they outlive signaling connections and camera restarts."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

import structlog

from edgecam.errors import EdgecamError, NegotiationError, ViewerRefusedError
from edgecam.media.pipeline import Pipeline
from edgecam.peers import Candidate, PeerKey
from edgecam.rtc import aiortc_private
from edgecam.rtc.candidates import EarlyCandidates
from edgecam.rtc.relay import Relay
from edgecam.rtc.session import ViewerSession
from edgecam.settings import IceServer, IceSettings, ViewerSettings

log = structlog.get_logger(__name__)

REMEMBERED = 256  # ended sessions that are still known to have existed
STOP_TIMEOUT = 2.0  # seconds in which all sessions together say BYE and close


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
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Accept viewers while inside; leaving ends every session with BYE, in bounded time."""
        aiortc_private.hasten_consent()
        aiortc_private.mend_turn_leak()
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                yield
            finally:
                self._group = None
                await self._end_all()

    async def _end_all(self) -> None:
        for session in self._sessions.values():
            session.end("the camera is shutting down")
        if self._tasks:
            _ended, late = await asyncio.wait(self._tasks, timeout=STOP_TIMEOUT)
            for task in late:  # still negotiating, or waiting for a dead TURN server
                task.cancel()

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
        session = self._create(key, ice_servers)
        return await self._negotiate(session, partial(session.answer, offer_sdp))

    async def offer(self, key: PeerKey, ice_servers: Sequence[IceServer] = ()) -> str:
        session = self._create(key, ice_servers)
        return await self._negotiate(session, session.offer)

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

    def _create(self, key: PeerKey, ice_servers: Sequence[IceServer]) -> ViewerSession:
        if self._group is None:
            raise _shutting_down()
        replaced = self._sessions.pop(key, None)
        if replaced is not None:
            replaced.end("the viewer negotiated anew")
        pipeline = self._admit(key)
        servers = [*self._ice.servers, *(ice_servers if self._ice.use_signaling_servers else ())]
        session = ViewerSession(key, pipeline, self._ice, servers, self._connected)
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

    async def _negotiate(self, session: ViewerSession, step: Callable[[], Awaitable[str]]) -> str:
        """The session's description. It is made in the session's own task: a caller that goes away while candidates
        are gathered must not leave a half-open TURN allocation behind."""
        assert self._group is not None
        described: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        task = self._group.create_task(self._live(session, step, described), name=f"viewer {session.key.shown}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await described
        except asyncio.CancelledError:
            session.end("the viewer left before it was answered")
            raise

    async def _live(
        self, session: ViewerSession, step: Callable[[], Awaitable[str]], described: asyncio.Future[str]
    ) -> None:
        key = session.key
        bound = log.bind(camera=key.camera, via=key.via, viewer=key.shown)
        try:
            description = await step()
            self.relay.gathered(session.turn_url, description)
            if not described.done():
                described.set_result(description)
            reason = await session.run(self._settings.connect_timeout)
        except asyncio.CancelledError:
            if not described.done():
                described.set_exception(_shutting_down())
            raise
        except EdgecamError as error:
            bound.info("viewer.refused", reason=str(error), code=error.code)
            if not described.done():
                described.set_exception(error)
        except Exception:  # noqa: BLE001 - the per-viewer boundary: whatever one session breaks, the others go on
            bound.exception("viewer.failed")
            if not described.done():
                described.set_exception(NegotiationError("the viewer could not be served", remedy="see the log"))
        else:
            bound.info("viewer.left", reason=reason, seconds=round(time.monotonic() - session.created, 1))
        finally:
            self._forget(session)
            await session.close()

    def _connected(self, session: ViewerSession) -> None:
        self.served += 1
        key, path = session.key, session.path
        log.info(
            "viewer.connected",
            camera=key.camera,
            via=key.via,
            viewer=key.shown,
            path=path.kind if path else None,
            ms=round((time.monotonic() - session.created) * 1000),
        )

    def _forget(self, session: ViewerSession) -> None:
        if self._sessions.get(session.key) is session:
            del self._sessions[session.key]
            self._ended.append(session.key)


def _shutting_down() -> ViewerRefusedError:
    return ViewerRefusedError("the camera is shutting down", remedy="try again in a moment", code="shutting-down")
