"""Named tasks that come and go inside one block: what a TaskGroup is for tasks that are all there from the start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

Run = Callable[[], Coroutine[object, object, None]]


class Jobs:
    """Tasks by name. They run while `running()` is entered; a task that raises cancels that block, as in a TaskGroup.

    What is started before begins when the block does.
    """

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._runs: dict[str, Run] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Leaving the block cancels what still runs, and waits for its end."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for name, run in self._runs.items():
                self._tasks[name] = group.create_task(run(), name=name)
            try:
                yield
            finally:
                self._group = None
                for task in self._tasks.values():
                    task.cancel()

    def start(self, name: str, run: Run) -> None:
        """Have `run` running under that name, which must be free."""
        if name in self._runs:
            raise ValueError(f"there is a task {name!r} already")
        self._runs[name] = run
        if self._group is not None:
            self._tasks[name] = self._group.create_task(run(), name=name)

    async def stop(self, *names: str) -> None:
        """Cancel those tasks at once and wait until all of them have ended; unknown names are ignored."""
        for name in names:
            self._runs.pop(name, None)
        stopped = [task for name in names if (task := self._tasks.pop(name, None)) is not None]
        for task in stopped:
            task.cancel()
        if stopped:
            await asyncio.wait(stopped)

    def __contains__(self, name: str) -> bool:
        return name in self._runs
