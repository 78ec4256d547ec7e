"""One viewer's ICE agent (RFC 8445, full, trickling). It stands where aiortc puts its aioice.Connection, whose public methods
it has; see `aiortc_private.replace_ice`."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import aioice
import structlog

from edgecam.rtc.ice import checking
from edgecam.rtc.ice.candidate import Candidate, foundation
from edgecam.rtc.ice.consent import keep_consent
from edgecam.rtc.ice.diagnosis import Evidence
from edgecam.rtc.ice.endpoints import Endpoint
from edgecam.rtc.ice.gathering import Gathering
from edgecam.rtc.ice.localside import NOTHING_YET, LocalSide
from edgecam.rtc.ice.mdns import is_mdns, resolve
from edgecam.rtc.ice.pairs import Checklist, Pair
from edgecam.rtc.ice.restart import Former, own_credentials
from edgecam.rtc.ice.schedule import keep_checking
from edgecam.rtc.ice.stun import Address, Message

log = structlog.get_logger(__name__)

MAX_EARLY, MAX_REMOTE, MAX_UNREAD = 32, 64, 512
LONGEST_DATAGRAM = 1500  # bytes; pylibsrtp takes nothing longer, and any stranger may send it


class Agent:
    """Gathers, checks, keeps consent, and says when the path is gone. `on_candidate` hears of each local candidate that comes
    after gathering began, and of their end (None); `on_lost` of the end of a path, and of the hope for one, by its code."""

    def __init__(
        self,
        gathering: Gathering,
        name: str,
        on_candidate: Callable[[Candidate | None], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self.local_username, self.local_password = own_credentials()
        self.remote_username: str | None = None
        self.remote_password: str | None = None
        self.described_remote: tuple[str, str] | None = None  # user name fragment and password, which replace those
        self.remote_is_lite = False
        self.former: Former | None = None  # while an ICE restart looks for a path
        self.tie_breaker = secrets.token_bytes(8)
        self.evidence = Evidence()
        self.checklist = Checklist()
        self.name = name
        self._on_lost = on_lost
        self.lost: str | None = None  # the code of why a path that was there is gone
        self.heard = 0.0  # when the viewer's last authenticated RTCP came, by the loop's clock
        self.local = LocalSide(self, gathering, on_candidate)
        self._remote: list[Candidate] = []
        self._named: set[Address] = set()
        self.remote_ended = False
        self._early: deque[tuple[Endpoint, Message, Address]] = deque(maxlen=MAX_EARLY)
        self._nominated: dict[int, Pair] = {}
        self._news = asyncio.Event()
        self._connected = asyncio.Event()
        self._closed = asyncio.Event()
        self.began: float | None = None
        self._inbox: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_UNREAD)
        self._tasks: set[asyncio.Task[Any]] = set()

    # what aiortc sees of it

    @property
    def ice_controlling(self) -> bool:
        return self.checklist.controlling

    @ice_controlling.setter
    def ice_controlling(self, value: bool) -> None:
        self.checklist.controlling = value
        self.checklist.sort()

    @property
    def local_candidates(self) -> list[Candidate]:
        return self.local.candidates[:] or [NOTHING_YET]

    @property
    def remote_candidates(self) -> list[Candidate]:
        return self._remote[:]

    async def gather_candidates(self) -> None:
        await self.local.gather()

    async def add_remote_candidate(self, candidate: Any) -> None:
        """A candidate of the viewer's, None for the end of them. Returns at once, also for mDNS names."""
        if candidate is None:
            self.remote_ended = True
            self._news.set()
        elif len(self._remote) < MAX_REMOTE and not self._closed.is_set():
            if is_mdns(candidate.host):
                self.spawn(self._resolve(candidate), "mdns")
            else:
                self._add_remote(candidate)

    async def connect(self) -> None:
        """Check until there is a path. Raises ConnectionError when there is none."""
        if self.described_remote is not None:
            self.remote_username, self.remote_password = self.described_remote
        if self.remote_username is None or self.remote_password is None:
            raise ConnectionError("the viewer's ICE credentials are not known")
        self.began = time.monotonic()
        for remote in self._remote:
            self._pair_with_all(remote)
        if not self.local.relays.is_set():
            self.spawn(self.local.open_relays_soon(), "relays open")
        while self._early:
            checking.take_request(self, *self._early.popleft())
        self.spawn(keep_checking(self), "checks")
        ended = asyncio.ensure_future(self._closed.wait())
        connected = asyncio.ensure_future(self._connected.wait())
        try:
            await asyncio.wait({ended, connected}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            connected.cancel()
        if self._closed.is_set() or not self._nominated:
            raise ConnectionError("no path to the viewer")

    async def get_event(self) -> aioice.ConnectionClosed:
        """When it is closed; there are no other events."""
        await self._closed.wait()
        return aioice.ConnectionClosed()

    async def send(self, data: bytes) -> None:
        pair = self._nominated.get(1)
        if pair is not None:
            pair.protocol.send(data, pair.remote_addr)
        elif self._closed.is_set() or not self._connected.is_set():
            raise ConnectionError("not connected")
        # else: between two paths, where packets are lost

    async def recv(self) -> bytes:
        data = await self._inbox.get()
        if data is None:
            self._inbox.put_nowait(None)
            raise ConnectionError("the connection is closed")
        return data

    async def close(self) -> None:
        """End everything, in bounded time."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._nominated.clear()
        while self._inbox.full():
            self._inbox.get_nowait()
        self._inbox.put_nowait(None)
        for pair in self.checklist.pairs:
            if pair.task is not None:
                pair.task.cancel()
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self.local.close()

    # endpoints' receiver

    def data_received(self, data: bytes, _component: int) -> None:
        """Found on the instance for each datagram, where the fast path takes RTCP out."""
        if len(data) > LONGEST_DATAGRAM:
            return
        if self._inbox.full():
            self._inbox.get_nowait()  # nobody reads: what is oldest is worth least
        self._inbox.put_nowait(data)

    def checked(self, endpoint: Endpoint, request: Message, source: Address) -> None:
        if self.began is None:
            # Answered already now, acted upon once the viewer's password is known (RFC 8445 section 7.3).
            if checking.answer(self, endpoint, request, source):
                self._early.append((endpoint, request, source))
        elif checking.answer(self, endpoint, request, source):
            checking.take_request(self, endpoint, request, source)

    def endpoint_lost(self, endpoint: Endpoint) -> None:
        """A relay has ended the allocation."""
        self._lost_endpoint(endpoint, "relay-lost")

    def _lost_endpoint(self, endpoint: Endpoint, code: str) -> None:
        current = self._nominated.get(1)
        if endpoint in self.local.endpoints:
            self.local.endpoints.remove(endpoint)
        self.checklist.drop(endpoint)
        if current is not None and current.protocol is endpoint:
            self.path_gone(code)

    def addresses_gone(self, addresses: set[str]) -> None:
        """The machine has lost these addresses: whatever goes over them is dead."""
        for endpoint in [e for e in self.local.endpoints if e.base in addresses]:
            endpoint.transport.close()
            self._lost_endpoint(endpoint, "address-lost")

    # for the modules that do one part each

    def spawn(self, work: Coroutine[Any, Any, Any], what: str) -> asyncio.Task[Any]:
        """A task that ends with the agent at the latest."""
        task = asyncio.create_task(work, name=f"ice {what} {self.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def discovered(self, endpoint: Endpoint, source: Address, peer_priority: int) -> Pair:
        """The pair over which the viewer's check came; its address may be new to us (peer-reflexive, section 7.3.1.3)."""
        pair = self.checklist.find(endpoint, source)
        if pair is None:
            known = next((c for c in self._remote if c.address == source), None)
            if known is None:
                known = Candidate(foundation("prflx", source[0]), 1, "udp", peer_priority, *source, "prflx")
                if len(self._remote) < MAX_REMOTE:
                    self._remote.append(known)
            pair = Pair(endpoint, known)
            self.checklist.add(pair)
        return pair

    def select(self, pair: Pair) -> None:
        """Send over this pair from now on."""
        first, restarted = not self._nominated, self.former is not None
        self._nominated[1] = pair
        self.former = None
        if first:
            self.evidence.connected = True
            self._connected.set()
            self.spawn(keep_consent(self), "consent")
        if first or restarted:
            self.spawn(self.local.give_back_relays(), "relays")

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    @property
    def selected(self) -> Pair | None:
        return self._nominated.get(1)

    async def connected_within(self, seconds: float) -> None:
        """Until there is a path, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._connected.wait()

    def wake(self) -> None:
        """There is something to check."""
        self._news.set()

    def forget_remote(self) -> None:
        """What the viewer has named so far, and the checks of it, belong to the time before a restart."""
        self.checklist.clear()
        self._remote.clear()
        self._named.clear()
        self._early.clear()
        self.remote_ended = False

    def path_gone(self, code: str) -> None:
        """The selected path is dead: fail, unless a restart may still find another one."""
        if self.former is None:
            return self.fail(code)
        self.former = None
        self._nominated.clear()
        self._news.set()
        return None

    async def news(self, within: float | None) -> None:
        """Until there is something to check, or the time is over."""
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._news.wait()

    @property
    def checked_for(self) -> float:
        """Seconds since checks began."""
        return time.monotonic() - self.began if self.began is not None else 0.0

    def fail(self, code: str) -> None:
        """The path is gone, or there will be none: close, and say why to whoever asks."""
        if self._closed.is_set():
            return
        self.lost = code
        self._on_lost(code)
        task = asyncio.get_running_loop().create_task(self.close(), name=f"ice close {self.name}")
        _closing.add(task)
        task.add_done_callback(_closing.discard)

    # inside

    def adopt(self, endpoint: Endpoint) -> None:
        """Check over this endpoint too."""
        endpoint.receiver = self
        self.local.endpoints.append(endpoint)
        for remote in self._remote:
            self._pair(endpoint, remote)
        self._news.set()

    def _pair(self, endpoint: Endpoint, remote: Candidate) -> None:
        self.checklist.pair_up(endpoint, remote, named=remote.address in self._named)
        if self.local.relays.is_set() and not self._nominated and self.checklist.find(endpoint, remote.address) is not None:
            endpoint.expect(remote.address)

    async def _resolve(self, candidate: Any) -> None:
        self.evidence.named += 1
        address = await resolve(candidate.host)
        if address is not None:
            self.evidence.resolved += 1
            self._named.add((address, candidate.port))
            self._add_remote(candidate, address)

    def _add_remote(self, given: Any, address: str | None = None) -> None:
        remote = Candidate(given.foundation, 1, "udp", given.priority, address or given.host, given.port, given.type)
        if remote.version == 0 or remote.address in {known.address for known in self._remote}:
            return
        self._remote.append(remote.at(remote.host))
        self._pair_with_all(self._remote[-1])
        self.local.remote_named()

    def _pair_with_all(self, remote: Candidate) -> None:
        for endpoint in self.local.endpoints:
            self._pair(endpoint, remote)
        self._news.set()


_closing: set[asyncio.Task[None]] = set()  # agents that close themselves
