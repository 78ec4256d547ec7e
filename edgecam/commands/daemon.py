"""`edgecam run` and `edgecam server`: long-running commands that end on SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path

import structlog

from edgecam import logs
from edgecam.app import Opened, run_daemon
from edgecam.config import LoadedConfig, load
from edgecam.errors import ConfigError
from edgecam.http.tokens import TokenInfo
from edgecam.notify import ServiceNotifier

log = structlog.get_logger(__name__)

# Everything inside is bounded in time; should a bug hold the process all the same, it ends before systemd kills it.
LAST_RESORT = 8.0  # seconds


def run(config: Path | None, overrides: Mapping[str, object]) -> int:
    """`edgecam run`."""
    loaded = load(config, overrides)
    settings = loaded.settings
    logs.configure(settings.log)
    if not settings.camera:
        raise ConfigError(f"{loaded.path} names no camera", remedy='add one, e.g. [camera.front] with source = "test"')
    log.info("daemon.starting", config=str(loaded.path), cameras=list(settings.camera))
    return until_signalled(run_daemon(settings, on_open=announce))


def server(config: Path | None, overrides: Mapping[str, object]) -> int:
    """`edgecam server`: without --config the defaults do when there is no default file."""
    from edgecam.config import DEFAULT_FILE
    from edgecam.server.app import print_links, serve

    loaded: LoadedConfig = load(config, overrides, default_file=DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    logs.configure(loaded.settings.log)
    with ServiceNotifier() as notifier:

        def listening(links: Sequence[str], token: TokenInfo) -> None:
            print_links(links, token)
            notifier.ready()

        return until_signalled(serve(loaded.settings, announce=listening))


def announce(opened: Opened) -> None:
    """Tell a person where the status page is; a token is printed only to a terminal, never into a log."""
    for link in opened.links:
        if opened.token.token is None or sys.stdout.isatty():
            print(f"status page: {link}", flush=True)
    if opened.token.generated and not sys.stdout.isatty():
        log.info("web.token", kept_in=str(opened.token.path))


def until_signalled(work: Coroutine[object, object, None]) -> int:
    """Run `work` until it ends or SIGTERM or SIGINT comes; a second signal, or a clean-up that hangs, ends at once."""

    faulthandler.enable()  # a crash, or the watchdog's SIGABRT, leaves the stacks in the journal

    async def supervised() -> int:
        task = asyncio.current_task()
        assert task is not None
        stopping = False

        def stop(number: signal.Signals) -> None:
            nonlocal stopping
            if stopping:
                os._exit(128 + number)
            stopping = True
            log.info("daemon.stopping", signal=number.name)
            timer = threading.Timer(LAST_RESORT, os._exit, (1,))
            timer.daemon = True
            timer.start()
            task.cancel()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop, number)
        try:
            await work
        except asyncio.CancelledError:
            if not stopping:
                raise
        log.info("daemon.stopped")
        return 0

    return asyncio.run(supervised())
