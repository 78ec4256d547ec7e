"""What waits to be written to Redis: bounded in number and bytes, and empty while there is no connection."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

MAX_COMMANDS = 20_000
MAX_BYTES = 32 * 1024 * 1024
BATCH_COMMANDS = 256
BATCH_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Command:
    """One Redis command. `then` is called with the reply to it. `may_fail`: an error is a reply like any other."""

    arguments: tuple[str | bytes | int, ...]
    then: Callable[[object], None] | None = None
    may_fail: bool = False

    @property
    def size(self) -> int:
        return sum(len(argument) if isinstance(argument, str | bytes) else 8 for argument in self.arguments)


class Outbox:
    """Commands in the order in which they are to be written."""

    def __init__(self) -> None:
        self.open = False
        self.overflowed = False
        self._commands: deque[Command] = deque()
        self._bytes = 0
        self._arrived = asyncio.Event()

    def clear(self) -> None:
        self._commands.clear()
        self._bytes = 0
        self.overflowed = False

    def put(self, command: Command) -> None:
        """Add a command; dropped while closed. One too many and all are dropped: the connection has to begin anew."""
        if not self.open or self.overflowed:
            return
        self._commands.append(command)
        self._bytes += command.size
        if len(self._commands) > MAX_COMMANDS or self._bytes > MAX_BYTES:
            self.clear()
            self.overflowed = True
        self._arrived.set()

    def take(self) -> list[Command]:
        """The next commands that fit into one batch."""
        batch: list[Command] = []
        size = 0
        while self._commands and len(batch) < BATCH_COMMANDS and size < BATCH_BYTES:
            command = self._commands.popleft()
            size += command.size
            batch.append(command)
        self._bytes -= size
        return batch

    async def wait(self) -> None:
        """Until there is something to take."""
        while not self._commands and not self.overflowed:
            self._arrived.clear()
            await self._arrived.wait()
