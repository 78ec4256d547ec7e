"""The connection to Redis or Valkey: instances speak by publish and subscribe, and are present by keys that expire.

Keys and channels, PREFIX being `[server] redis_prefix` and the version of these messages:
    PREFIX:nodes         set of the instances that may be there
    PREFIX:node:ID       an instance's Hello; expires
    PREFIX:cameras:ID    hash of its cameras; expires
    PREFIX:all           channel of all, PREFIX:to:ID of one instance
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import structlog

from edgecam.health import Component
from edgecam.server.cluster.client import (
    REPLY_TIMEOUT,
    LineError,
    as_line_errors,
    cancelled,
    connect,
    heed_cancellation,
    heeding_cancellation,
    raise_first,
    reply_to,
)
from edgecam.server.cluster.federation import Federation
from edgecam.server.cluster.messages import (
    Bye,
    Entry,
    Hello,
    Message,
    MessageError,
    decode,
    decode_entry,
    encode,
    encode_entry,
)
from edgecam.server.cluster.outbox import Command, Outbox
from edgecam.server.hub import Hub

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.client import PubSub

log = structlog.get_logger(__name__)

VERSION = 1  # of what instances say to each other
BEAT = 1.0  # seconds between two hellos
PRESENCE = 5_000  # milliseconds for which presence is kept in Redis without one
SILENCE = 3.5  # seconds without hearing anybody, oneself included
TICK = 0.5  # seconds
FAREWELL = 1.0  # seconds that leaving may take
NODES_TTL = 86_400  # seconds after which the set of a cluster that nobody runs any more goes
MARK = ""  # the field of a table that says that it is whole, and is no camera
CHUNK = 500  # cameras per HSET
MAX_NODES = 1000  # of the set, that are looked at
MAX_MALFORMED = 20  # messages that cannot be read and are logged


class RedisLine:
    """Implements `peers.Post`. `run` is for `supervise`: it raises and never retries; `watch` runs beside it.

    `url` may hold a password: it is shown to nobody.
    """

    def __init__(self, hub: Hub, url: str, prefix: str, name: str, component: Component) -> None:
        self.line = 0
        self.node = secrets.token_hex(8)
        self.federation = Federation(hub, self.node, name, self)
        self._url = url
        self._base = f"{prefix}:{VERSION}"
        self._component = component
        self._outbox = Outbox()
        self._malformed = 0
        self._beat_at = 0.0
        self._round_trip_ms = 0.0

    # peers.Post

    @property
    def up(self) -> bool:
        return self._outbox.open

    @property
    def status(self) -> dict[str, object]:
        state = self._component.state
        shown: dict[str, object] = {"state": "running" if state.ready else "degraded"}
        shown["redis"] = {"state": "connected" if state.ready else state.code or "connecting", "connections": self.line}
        if state.ready:
            return shown | {"redis_round_trip_ms": round(self._round_trip_ms, 1)}
        return shown | {"detail": state.detail, "since_s": round(time.monotonic() - state.since, 1)}

    def announce(self, message: Message) -> None:
        self._put("PUBLISH", self._key("all"), encode(message))

    def send(self, node: str, message: Message) -> None:
        def heard(count: object) -> None:
            if count == 0:
                self.federation.unheard(node)

        self._put("PUBLISH", self._key("to", node), encode(message), then=heard)

    def record(self, camera: str, entry: Entry | None) -> None:
        table = self._key("cameras", self.node)
        if entry is None:
            self._put("HDEL", table, camera)
        else:
            self._put("HSET", table, camera, encode_entry(entry))

    def look_up(self, node: str) -> None:
        def found(table: object) -> None:
            self.federation.take_table(node, list(self._entries(table)))

        # Should it be no table, then that is none of our business.
        self._put("HGETALL", self._key("cameras", node), then=found, may_fail=True)

    def _put(self, *arguments: str | bytes | int, then: Callable[[object], None] | None = None, may_fail: bool = False) -> None:
        self._outbox.put(Command(arguments, then, may_fail))

    def _key(self, *parts: str) -> str:
        return ":".join((self._base, *parts))

    # the connection

    async def watch(self) -> None:
        """Give up instances that are silent, for ever: also while there is no connection."""
        while True:
            await asyncio.sleep(TICK)
            self.federation.tick()

    async def run(self) -> None:
        """Connect, introduce this instance, exchange until the connection breaks. Raises LineError, perhaps grouped."""
        client = connect(self._url)
        try:
            with heeding_cancellation(), as_line_errors():
                async with client.pubsub() as ear:
                    await self._subscribe(ear)
                    await self._introduce(client)
                    heed_cancellation()
                    self._component.running(f"{self.federation.name} is connected to Redis")
                    await self._exchange(client, ear)
        finally:
            self._outbox.open = False
            self._outbox.clear()
            self.federation.line_down()
            with contextlib.suppress(Exception):
                async with asyncio.timeout(FAREWELL):
                    await client.aclose()

    async def _exchange(self, client: Redis, ear: PubSub) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._write(client), name="server.cluster.write")
                group.create_task(self._beat(), name="server.cluster.beat")
                # Here and not in a task: a group that fails while it waits leaves its task counted as cancelled.
                await self._listen(ear)
        finally:
            if cancelled():
                await self._say_farewell(client)

    async def _subscribe(self, ear: PubSub) -> None:
        """Returns once Redis has confirmed it."""
        channels = {self._key("all"), self._key("to", self.node)}
        await ear.subscribe(*channels)
        while channels:
            heard = await ear.get_message(timeout=REPLY_TIMEOUT)
            if heard is None:
                raise LineError("Redis does not answer", code="redis-unreachable")
            if heard["type"] == "subscribe":
                channels.discard(heard["channel"].decode())

    async def _introduce(self, client: Redis) -> None:
        """Become present, then learn who else is; nothing is missed between the two, as we are subscribed."""
        self.line += 1
        self._outbox.clear()
        self._outbox.open = True  # what changes from here on is written after the table
        table = self._key("cameras", self.node)
        entries = self.federation.entries
        async with client.pipeline(transaction=True) as pipe:
            pipe.delete(table)
            pipe.hset(table, MARK, "")
            for start in range(0, len(entries), CHUNK):
                pipe.hset(table, mapping={entry.camera: encode_entry(entry) for entry in entries[start : start + CHUNK]})
            pipe.pexpire(table, PRESENCE)
            pipe.sadd(self._key("nodes"), self.node)
            pipe.expire(self._key("nodes"), NODES_TTL)
            pipe.set(self._key("node", self.node), encode(self.federation.hello), px=PRESENCE)
            pipe.publish(self._key("all"), encode(self.federation.hello))
            raise_first(await pipe.execute(raise_on_error=False))
        self.federation.line_up(await self._others(client))

    async def _others(self, client: Redis) -> list[tuple[Hello, list[Entry]]]:
        members = await reply_to(client.smembers(self._key("nodes")))
        nodes = [node.decode(errors="replace") for node in members if node != self.node.encode()][:MAX_NODES]
        async with client.pipeline(transaction=False) as pipe:
            for node in nodes:
                pipe.get(self._key("node", node))
                pipe.hgetall(self._key("cameras", node))
            replies = await pipe.execute(raise_on_error=False)  # what is wrong with others is none of our business
        found: list[tuple[Hello, list[Entry]]] = []
        for node, presence, table in zip(nodes, replies[::2], replies[1::2], strict=True):
            hello = self._decode(presence) if isinstance(presence, bytes) else None
            if isinstance(hello, Hello) and hello.node == node:
                found.append((hello, list(self._entries(table))))
            else:
                self._put("SREM", self._key("nodes"), node)
        return found

    async def _write(self, client: Redis) -> None:
        while True:
            await self._outbox.wait()
            if self._outbox.overflowed:
                raise LineError("Redis takes messages more slowly than they come", code="redis-lost")
            batch = self._outbox.take()
            async with client.pipeline(transaction=False) as pipe:
                for command in batch:
                    pipe.execute_command(*command.arguments)
                replies = await pipe.execute(raise_on_error=False)
            heed_cancellation()
            for command, reply in zip(batch, replies, strict=True):
                if isinstance(reply, Exception) and not command.may_fail:
                    raise reply
                if command.then is not None:
                    command.then(reply)

    async def _beat(self) -> None:
        while True:
            hello = encode(self.federation.hello)
            self._put("SET", self._key("node", self.node), hello, "PX", PRESENCE)
            # A camera that registers after Redis has lost everything makes a table too, but one without the mark.
            self._put("HEXISTS", self._key("cameras", self.node), MARK, then=_must_exist)
            self._put("PEXPIRE", self._key("cameras", self.node), PRESENCE)
            self._beat_at = time.monotonic()
            self._put("PUBLISH", self._key("all"), hello)
            await asyncio.sleep(BEAT)

    async def _listen(self, ear: PubSub) -> None:
        while True:
            heard = await ear.get_message(ignore_subscribe_messages=False, timeout=SILENCE)
            heed_cancellation()
            if heard is None:
                raise LineError(f"nothing was heard from Redis for {SILENCE:g} s", code="redis-lost")
            if heard["type"] != "message":
                continue
            message = self._decode(heard["data"])
            if message is None:
                continue
            if message.node == self.node and isinstance(message, Hello):
                self._round_trip_ms = (time.monotonic() - self._beat_at) * 1000
            self.federation.receive(message)

    async def _say_farewell(self, client: Redis) -> None:
        """The server stops: say what has not been said, and that this instance goes."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(FAREWELL), client.pipeline(transaction=False) as pipe:
                while batch := self._outbox.take():
                    for command in batch:
                        pipe.execute_command(*command.arguments)
                pipe.srem(self._key("nodes"), self.node)
                pipe.delete(self._key("node", self.node), self._key("cameras", self.node))
                pipe.publish(self._key("all"), encode(Bye(self.node)))
                await pipe.execute()

    # what is read

    def _decode(self, data: bytes) -> Message | None:
        try:
            return decode(data)
        except MessageError as error:
            self._complain(error)
            return None

    def _entries(self, table: object) -> Iterator[Entry]:
        for name, data in table.items() if isinstance(table, dict) else ():
            if name:
                try:
                    yield decode_entry(data)
                except MessageError as error:
                    self._complain(error)

    def _complain(self, error: MessageError) -> None:
        self._malformed += 1
        if self._malformed <= MAX_MALFORMED:
            log.warning("cluster.malformed", reason=str(error)[:200])


def _must_exist(reply: object) -> None:
    if reply in (0, False):
        raise LineError("Redis has forgotten this instance", code="redis-lost")
