"""All viewers of the daemon. Sessions belong here: they outlive signaling connections and camera restarts."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import structlog

from edgecam.errors import EdgecamError, NegotiationError, ViewerRefusedError
from edgecam.media.pipeline import Pipeline
from edgecam.media.wallclock import WallClock
from edgecam.peers import Candidate, Ended, IceServers, PeerKey, PeerLink
from edgecam.rtc import aiortc_private, extensions
from edgecam.rtc.admission import Admission, private
from edgecam.rtc.candidates import EarlyCandidates
from edgecam.rtc.extensions import PlayoutDelay
from edgecam.rtc.failures import Failures
from edgecam.rtc.ice.gathering import Gathering
from edgecam.rtc.ice.ready import ReadySockets
from edgecam.rtc.ice.servers import Server, ServerHealth, servers_of
from edgecam.rtc.ice.standby import StandbyRelay
from edgecam.rtc.knownservers import KnownServers
from edgecam.rtc.memory import MemoryReturn
from edgecam.rtc.relay import relay_summary, require_relay
from edgecam.rtc.sending import profiles
from edgecam.rtc.sending.fanout import FanOut
from edgecam.rtc.sending.selftest import Capabilities, self_test
from edgecam.rtc.session import ViewerSession
from edgecam.rtc.surroundings import Surroundings
from edgecam.settings import IceServer, IceSettings, ViewerSettings

log = structlog.get_logger(__name__)

REMEMBERED = 256  # ended sessions that are still known to have existed
COMPLETE_WITHIN = 5.0  # seconds that a description may wait for all candidates where none can follow it
STOP_TIMEOUT = 2.0  # seconds in which all sessions together say BYE and close


class Viewers:
    """Implements `peers.Publications` for every way a viewer may come, and for media servers. Open with `async with viewers.serving()`.

    `pipelines` may change meanwhile: `add_camera` and `remove_camera` are to be told. `ice_servers` gives the configured servers
    with fresh credentials; without it they are taken as they stand in `ice`.
    """

    def __init__(
        self,
        pipelines: Mapping[str, Pipeline],
        ice: IceSettings,
        settings: ViewerSettings,
        ice_servers: IceServers | None = None,
    ) -> None:
        self.admission = Admission(pipelines, settings)
        self.served = 0
        self._pipelines = pipelines
        self.ice = ice
        self.servers = KnownServers(ice, ice_servers)
        self._clock = WallClock.read()
        self._capabilities: Capabilities | None = None  # known while serving
        self.fanouts: dict[str, FanOut] = {}
        self._sessions: dict[PeerKey, ViewerSession] = {}
        self._listening: dict[str, Callable[[], None]] = {}  # what ends listening to a camera's privacy
        for pipeline in pipelines.values():
            self.add_camera(pipeline)
        self._gone: deque[PeerKey] = deque(maxlen=REMEMBERED)
        self._early = EarlyCandidates()
        self.failures = Failures()
        self.address_listeners: list[Callable[[Collection[str]], None]] = []  # of addresses that are gone
        self.health = ServerHealth()
        self._surroundings = self._surrounded()
        self._surrounding: asyncio.Task[None] | None = None
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[asyncio.Task[None], str] = {}  # sessions, by camera
        self._memory = MemoryReturn()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Accept viewers while inside; leaving ends every session with BYE, in bounded time."""
        extensions.register()
        self._capabilities = capabilities = self_test()
        for fanout in self.fanouts.values():
            fanout.capabilities = capabilities
        async with asyncio.TaskGroup() as group:
            self._group = group
            if capabilities.usable:
                group.create_task(self._prefer_cheap_encryption(), name="srtp profiles")
            self._surround(group)
            try:
                yield
            finally:
                self._group = None
                while self._listening:
                    self._listening.popitem()[1]()
                await self._end_all()
                self._memory.cancel()
                if self._surrounding is not None:
                    self._surrounding.cancel()

    # what a new configuration changes

    def add_camera(self, pipeline: Pipeline) -> None:
        """Viewers may come to this camera from now on."""
        fanout = FanOut(self._clock, playout=PlayoutDelay.configured(pipeline.settings.playout_delay_ms))
        if self._capabilities is not None:
            fanout.capabilities = self._capabilities
        self.fanouts[pipeline.name] = fanout
        self._listening[pipeline.name] = pipeline.privacy.listen(partial(self._privacy_changed, pipeline))

    def _privacy_changed(self, pipeline: Pipeline) -> None:
        """Nobody goes on watching, and nothing that was sent is sent again."""
        if not pipeline.privacy.private:
            return
        for session in self:
            if session.key.camera == pipeline.name:
                session.turn_away(private(pipeline))
        self.fanouts[pipeline.name].erase()

    async def remove_camera(self, name: str, reason: str) -> None:
        """End the sessions of a camera that is no longer among the pipelines, with BYE, in bounded time."""
        for session in self:
            if session.key.camera == name:
                session.end(reason)
        await self._until_over([task for task, camera in self._tasks.items() if camera == name])
        self._listening.pop(name, lambda: None)()
        del self.fanouts[name]

    def set_playout(self, name: str, playout_delay_ms: int) -> None:
        """Of viewers who come from now on."""
        self.fanouts[name].playout = PlayoutDelay.configured(playout_delay_ms)

    async def apply(self, ice: IceSettings, settings: ViewerSettings) -> None:
        """Other settings: for viewers who come from now on, those who are here keep what they have. The servers of `ice` are
        to be those that `ice_servers` gives by now."""
        before, self.ice, self.admission.settings = self.ice, ice, settings
        self.servers.ice = ice
        if before.model_copy(update={"servers": ice.servers}) == ice:
            if before != ice:
                self._surroundings.renew()
            return
        self._surroundings = self._surrounded()
        if self._group is not None and self._surrounding is not None:
            self._surrounding.cancel()
            await asyncio.wait([self._surrounding])
            self._surround(self._group)

    def _surrounded(self) -> Surroundings:
        return Surroundings(self.ice, self._known_servers, self.health, self._addresses_gone)

    def _surround(self, group: asyncio.TaskGroup) -> None:
        self._surrounding = group.create_task(self._surroundings.run(), name="ice surroundings")

    def _known_servers(self) -> Sequence[Server]:
        return servers_of(self.servers.current())

    def _addresses_gone(self, addresses: Collection[str]) -> None:
        lost = set(addresses)
        for session in self:
            session.addresses_gone(lost)
        for listener in self.address_listeners:
            listener(lost)

    @property
    def standby(self) -> StandbyRelay:
        return self._surroundings.standby

    @property
    def sockets(self) -> ReadySockets:
        return self._surroundings.sockets

    @staticmethod
    async def _prefer_cheap_encryption() -> None:
        try:
            names = await asyncio.to_thread(profiles.by_cost)
            aiortc_private.prefer_srtp_profiles(names)
        except Exception as error:  # noqa: BLE001 - aiortc's own order works as well, at a little more cost
            log.warning("srtp.profiles", reason=repr(error))
        else:
            log.info("srtp.profiles", cheapest_first=names)

    async def _end_all(self) -> None:
        for session in self._sessions.values():
            session.end("the camera is shutting down")
        await self._until_over(list(self._tasks))

    @staticmethod
    async def _until_over(tasks: Collection[asyncio.Task[None]]) -> None:
        if tasks:
            _done, late = await asyncio.wait(tasks, timeout=STOP_TIMEOUT)
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
        return key in self._gone

    def ice_status(self) -> dict[str, Any]:
        """What is known of servers, the standing relay, and the sessions that failed last, for the status document."""
        ready = {"standby": self.standby.as_dict(), "sockets": self.sockets.as_dict()}
        return {"servers": self.health.as_list(), **ready, "failures": self.failures.as_list()}

    def relay_status(self) -> dict[str, Any]:
        return relay_summary(self.ice.policy, self.health.as_list())

    # peers.Sessions

    async def answer(
        self,
        key: PeerKey,
        offer_sdp: str,
        ice_servers: Sequence[IceServer] = (),
        link: PeerLink | None = None,
        patience: float | None = None,
    ) -> str:
        session = self._create(key, ice_servers, link)
        return await self._negotiate(session, partial(session.answer, offer_sdp, _patience(link, patience)))

    async def offer(
        self,
        key: PeerKey,
        ice_servers: Sequence[IceServer] = (),
        link: PeerLink | None = None,
        patience: float | None = None,
        answer_within: float | None = None,
    ) -> str:
        session = self._create(key, ice_servers, link, answer_within=answer_within)
        return await self._negotiate(session, partial(session.offer, _patience(link, patience)))

    async def accept_answer(self, key: PeerKey, answer_sdp: str) -> None:
        session = self._sessions.get(key)
        if session is not None:
            if session.waits_for_answer:
                self._room(key)
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

    def ice_servers_known(self, via: str, camera: str, servers: Sequence[IceServer]) -> None:
        self.servers.hand_out(via, camera, servers)
        self._surroundings.look()

    def signaling_lost(self, key: PeerKey) -> None:
        """Nothing to do for a connected viewer: ICE consent ends its session within 10 s if it is really gone."""
        session = self._sessions.get(key)
        if session is not None and session.connected_at is None:
            session.end("the viewer left before it was connected")

    def is_private(self, camera: str) -> bool:
        return camera in self._pipelines and self._pipelines[camera].privacy.private

    async def until_public(self, camera: str) -> None:
        if self.is_private(camera):
            await self._pipelines[camera].privacy.until_public()

    async def close(self, key: PeerKey, reason: str) -> None:
        session = self._sessions.get(key)
        if session is not None:
            session.end(reason)

    # peers.Publications

    async def publish(
        self, key: PeerKey, ice_servers: Sequence[IceServer] = (), link: PeerLink | None = None, patience: float | None = None
    ) -> str:
        session = self._create(key, ice_servers, link, publishes=True)
        return await self._negotiate(session, partial(session.offer, _patience(link, patience)))

    def add_ice_servers(self, key: PeerKey, servers: Sequence[IceServer]) -> None:
        session = self._sessions.get(key)
        if session is not None and self.ice.use_signaling_servers:
            session.add_ice_servers(servers_of(servers))

    async def connected(self, key: PeerKey) -> bool:
        session = self._sessions.get(key)
        return session is not None and await session.connected()

    async def ended(self, key: PeerKey) -> Ended:
        session = self._sessions.get(key)
        return await session.ended() if session is not None else Ended("there is no such session")

    # inside

    def session(self, key: PeerKey) -> ViewerSession | None:
        """That viewer's session, for signaling that has to be asked for the camera's candidates, and may restart ICE."""
        return self._sessions.get(key)

    def _create(
        self,
        key: PeerKey,
        ice_servers: Sequence[IceServer],
        link: PeerLink | None,
        *,
        publishes: bool = False,
        answer_within: float | None = None,
    ) -> ViewerSession:
        if self._group is None:
            raise _shutting_down()
        if key not in self._sessions:
            self.admission.require_open()
        replaced = self._sessions.pop(key, None)
        if replaced is not None:
            replaced.end("the viewer negotiated anew")
        admitted_later = publishes or answer_within is not None  # if at all: when somebody answers
        pipeline = self.admission.camera(key.camera) if admitted_later else self._room(key)
        gathering = Gathering(self._surroundings.context, servers_of(self.servers.for_viewer(ice_servers)))
        session = ViewerSession(key, pipeline, self.fanouts[key.camera], gathering, link, self._connected, publishes=publishes)
        session.answer_within = answer_within
        self._sessions[key] = session
        for candidate in self._early.take(key):
            session.add_candidate(candidate)
        return session

    def _room(self, key: PeerKey) -> Pipeline:
        watched = [each.key.camera for each in self if not each.publishes and not each.waits_for_answer]
        return self.admission.room(key.camera, watched)

    async def _negotiate(self, session: ViewerSession, step: Callable[[], Awaitable[str]]) -> str:
        """The session's description. It is made in the session's own task: a caller that goes away while candidates
        are gathered must not leave a half-open TURN allocation behind."""
        assert self._group is not None
        described: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        task = self._group.create_task(self._live(session, step, described), name=f"viewer {session.key.shown}")
        self._tasks[task] = session.key.camera
        task.add_done_callback(self._tasks.pop)
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
        what = "publication" if session.publishes else "viewer"
        try:
            description = await step()
            if self.ice.policy == "relay":
                require_relay(session.gathering.servers, self.health, description)
            if not described.done():
                described.set_result(description)
            reason = await session.run(self.admission.settings.connect_timeout)
        except asyncio.CancelledError:
            if not described.done():
                described.set_exception(_shutting_down())
            raise
        except EdgecamError as error:
            bound.info(f"{what}.refused", reason=str(error), code=error.code)
            if not described.done():
                described.set_exception(error)
        except Exception:  # noqa: BLE001 - the per-viewer boundary: whatever one session breaks, the others go on
            bound.exception(f"{what}.failed")
            if not described.done():
                described.set_exception(NegotiationError(f"the {what} could not be served", remedy="see the log"))
        else:
            seconds = round(time.monotonic() - session.created, 1)
            diagnosis = session.diagnosis()
            if session.waits_for_answer:
                bound.debug(f"{what}.unanswered", seconds=seconds)
            elif diagnosis is None:
                bound.info(f"{what}.left", reason=reason, seconds=seconds)
            else:
                self.failures.add(key, diagnosis)
                said = {**diagnosis.facts, "detail": diagnosis.sentence, "remedy": diagnosis.remedy}
                bound.info(f"{what}.left", reason=reason, seconds=seconds, code=diagnosis.code, **said)
        finally:
            self._forget(session)
            await session.close()
            self._memory.soon()

    def _connected(self, session: ViewerSession) -> None:
        self.served += not session.publishes
        key, path = session.key, session.path
        log.info(
            "publication.connected" if session.publishes else "viewer.connected",
            camera=key.camera,
            via=key.via,
            viewer=key.shown,
            path=path.kind if path else None,
            ms=round((time.monotonic() - session.created) * 1000),
        )

    def _forget(self, session: ViewerSession) -> None:
        if self._sessions.get(session.key) is session:
            del self._sessions[session.key]
            self._gone.append(session.key)


def _patience(link: PeerLink | None, asked: float | None) -> float:
    if asked is not None:
        return asked
    return COMPLETE_WITHIN if link is None else 0.0


def _shutting_down() -> ViewerRefusedError:
    return ViewerRefusedError("the camera is shutting down", remedy="try again in a moment", code="shutting-down")
