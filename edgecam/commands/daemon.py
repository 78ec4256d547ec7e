"""`edgecam run` and `edgecam server`: long-running commands that end on SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import socket
import sys
import threading
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from edgecam import logs
from edgecam.blackbox.box import recording, runtime_dir
from edgecam.config import load
from edgecam.errors import ConfigError, EdgecamError
from edgecam.http.activation import passed_sockets, real_address
from edgecam.http.tokens import state_dir_of

if TYPE_CHECKING:
    from edgecam.app.configuration import Beginning, Configuration
    from edgecam.app.daemon import Opened
    from edgecam.blackbox.box import BlackBox
    from edgecam.settings import Settings

log = structlog.get_logger(__name__)

# Everything inside is bounded in time; should a bug hold the process all the same, it ends before systemd kills it.
LAST_RESORT = 8.0  # seconds


def run(config: Path | None, overrides: Mapping[str, object]) -> int:
    """`edgecam run`."""
    # The server runs where the media stack is not even installed.
    from edgecam.app.configuration import Configuration

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something that can be reloaded
    sockets = passed_sockets("web")
    configuration = Configuration(config, {**overrides, **_listen("web", sockets)})
    beginning = configuration.begin()
    settings = beginning.loaded.settings
    logs.configure(settings.log)
    with recording(settings.blackbox, state_dir_of(settings), runtime_dir(), logs.record_to) as blackbox:
        code = until_signalled(_stream(configuration, beginning, blackbox, sockets))
    configuration.last_good.ended()
    return code


async def _stream(
    configuration: Configuration, beginning: Beginning, blackbox: BlackBox, sockets: Sequence[socket.socket]
) -> None:
    """The daemon; with the last good configuration where the one that was to run cannot even be opened."""
    from edgecam.app.daemon import run_daemon

    opened = False

    def on_open(daemon: Opened) -> None:
        nonlocal opened
        opened = True
        announce(daemon)

    async def stream(beginning: Beginning) -> None:
        settings, problem = beginning.loaded.settings, beginning.problem
        if problem:
            log.error("config.fallback", file=str(configuration.file), reason=problem)
        log.info("daemon.starting", config=str(beginning.loaded.path), cameras=list(settings.camera))
        await run_daemon(
            settings, on_open=on_open, blackbox=blackbox, sockets=sockets, reload=(configuration, beginning)
        )

    try:
        await stream(beginning)
    except EdgecamError as error:
        attended = isinstance(error, ConfigError) and not configuration.last_good.unasked
        instead = None if opened or attended or beginning.problem else configuration.instead_of(error)
        if instead is None:
            raise
        await stream(instead)


def server(config: Path | None, overrides: Mapping[str, object]) -> int:
    """`edgecam server`: without --config the defaults do when there is no default file."""
    from edgecam.config import DEFAULT_FILE
    from edgecam.server.app import serve

    sockets = passed_sockets("server")
    overrides = {**overrides, **_listen("server", sockets)}

    def reread() -> Settings:
        return load(config, overrides, default_file=DEFAULT_FILE if DEFAULT_FILE.exists() else None).settings

    settings = reread()
    logs.configure(settings.log)
    faulthandler.enable()  # a crash leaves the stacks in the journal
    return until_signalled(serve(settings, sockets=sockets, reread=reread))


def _listen(section: str, sockets: Sequence[socket.socket]) -> dict[str, object]:
    """The key that says where a listener listens, for sockets that were passed: whatever asks for it sees the real address."""
    return {f"{section}.listen": str(real_address(sockets))} if sockets else {}


def announce(opened: Opened) -> None:
    """Tell a person where the status page is; a token is printed only to a terminal, never into a log."""
    for link in opened.links:
        if opened.token.token is None or sys.stdout.isatty():
            print(f"status page: {link}", flush=True)
    if opened.token.generated and not sys.stdout.isatty():
        log.info("web.token", kept_in=str(opened.token.path))


def until_signalled(work: Coroutine[object, object, None]) -> int:
    """Run `work` until it ends or SIGTERM or SIGINT comes; a second signal, or a clean-up that hangs, ends at once."""

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
