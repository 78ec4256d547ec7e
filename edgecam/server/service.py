"""The server as a systemd service: READY, STATUS, the watchdog's food, and SIGHUP, on which its files are read again."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import structlog

from edgecam.notify import ServiceNotifier

log = structlog.get_logger(__name__)

STATUS_EVERY = 10.0  # seconds


async def report(notifier: ServiceNotifier, status: Callable[[], str]) -> None:
    """Feed the watchdog and keep STATUS= current; for `background`. Whether the loop turns is all that it tells."""
    while True:
        notifier.status(status())
        notifier.watchdog()
        await asyncio.sleep(min(STATUS_EVERY, notifier.watchdog_interval or STATUS_EVERY))


class Reloading:
    """What a SIGHUP does: `apply` is called on the loop, then the `refresh` functions, which read files, run in threads, one after
    the other; then `done` is set."""

    def __init__(
        self,
        notifier: ServiceNotifier,
        refresh: Sequence[Callable[[], object]],
        done: asyncio.Event,
        apply: Callable[[], None] = lambda: None,
    ) -> None:
        self._notifier = notifier
        self._apply = apply
        self._refresh = refresh
        self._done = done
        self._asked = asyncio.Event()

    async def run(self) -> None:
        """Reload when asked to; for `background`."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            self._apply()
            for refresh in self._refresh:
                await asyncio.to_thread(refresh)
            self._done.set()
            log.info("server.reloaded")
            if not self._asked.is_set():  # systemd waits for the answer to the last one
                self._notifier.ready()

    @asynccontextmanager
    async def on_hangup(self) -> AsyncIterator[None]:
        """SIGHUP asks for it while inside."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._ask)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)

    def _ask(self) -> None:
        self._notifier.reloading()
        self._asked.set()
