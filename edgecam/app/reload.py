"""SIGHUP: read the configuration again, apply what has changed, and go back if that makes health worse; docs/reload.md."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from edgecam.app.configuration import Beginning, Configuration
from edgecam.app.lastgood import digest_of
from edgecam.app.parts import Parts
from edgecam.app.plan import Plan, back, plan
from edgecam.app.trial import Trial
from edgecam.config import LoadedConfig
from edgecam.config.running import Preview, RunningConfig, Verdict
from edgecam.errors import ConfigError
from edgecam.http.tokens import TokenInfo, listener_token, state_dir_of
from edgecam.notify import ServiceNotifier
from edgecam.settings import Settings

log = structlog.get_logger(__name__)

LINE = "configuration"  # on the health board, while there is something to say
LOOK = 0.5  # seconds between two looks at health while a change is on trial


@dataclass(frozen=True, slots=True)
class _Good:
    """What can be gone back to."""

    settings: Settings
    digest: str


class Reloads:
    """Reloads one after the other while `run` runs: signals that come meanwhile are one more reload, of what the file says then."""

    def __init__(
        self, parts: Parts, configuration: Configuration, beginning: Beginning, notifier: ServiceNotifier
    ) -> None:
        self._parts = parts
        self._board = parts.context.board
        self._configuration = configuration
        self._notifier = notifier
        self._asked = asyncio.Event()
        self._terminal = _has_terminal()
        loaded, problem = beginning.loaded, beginning.problem
        self._settings = loaded.settings
        self._loaded = loaded
        self._trial: Trial | None = None
        self._good: _Good | None = None
        digest = digest_of(loaded.text)
        verdict = Verdict.ROLLED_BACK if problem else self._verdict_of_start(digest)
        self._running = RunningConfig(str(configuration.file), digest, time.time(), verdict, problem)

    def _verdict_of_start(self, digest: str) -> Verdict:
        """A file that is not the last good one is on trial, compared with what was ready with that. The first one that ever ran
        is compared with nothing, and is what a reload goes back to all the same."""
        known = self._configuration.last_good.known
        if known is not None and known.digest == digest:
            return Verdict.GOOD
        before = self._configuration.load_last_good()
        self._good, ready = _Good(self._settings, digest), tuple[str, ...]()
        if before is not None and known is not None:
            self._good, ready = _Good(before.settings, known.digest), known.ready
        touches = plan(self._good.settings, self._settings).touches
        self._trial = Trial(ready, touches, time.monotonic(), self._settings.reload.trial)
        return Verdict.ON_TRIAL

    async def run(self) -> None:
        """Until cancelled."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._hung_up)
        if self._running.verdict is not Verdict.ON_TRIAL:
            self._good = _Good(self._settings, self._running.digest)
        self._configuration.last_good.begun()
        self._parts.context.preview = self.preview
        self._show()
        try:
            while True:
                await self._news()
                if self._asked.is_set():
                    self._asked.clear()
                    await self._reload()
                elif self._trial is not None:
                    await self._judge(self._trial)
        finally:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # one that comes while everything is being closed
            if self._running.verdict is Verdict.GOOD and not self._running.needs_restart:
                self._keep()

    # asking

    def _hung_up(self) -> None:
        if self._terminal and not _has_terminal():
            os.kill(os.getpid(), signal.SIGTERM)  # the terminal in which somebody ran us is closed
            return
        self._notifier.reloading()
        self._asked.set()

    async def _news(self) -> None:
        """Until somebody asks, or it is time for another look at a change on trial."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK if self._trial is not None else None):
                await self._asked.wait()

    # reloading

    def preview(self) -> Preview:
        """What `_reload` would do now."""
        file = str(self._configuration.file)
        try:
            planned = self._planned(self._configuration.load())
        except ConfigError as error:
            return Preview(file, str(error), ())
        return Preview(file, "", tuple(map(str, planned.changes)))

    def _planned(self, loaded: LoadedConfig) -> Plan:
        """Raises ConfigError for what the parts cannot do."""
        planned = plan(self._settings, loaded.settings)
        self._parts.check(planned)
        return planned

    async def _reload(self) -> None:
        try:
            loaded = self._configuration.load()
            planned = self._planned(loaded)
            token = self._token(planned.after)
        except ConfigError as error:
            log.warning("config.refused", file=str(self._configuration.file), reason=str(error))
            self._running = replace(self._running, problem=str(error), refused=self._running.refused + 1)
        else:
            await self._take(planned, token, loaded)
        self._show()
        if not self._asked.is_set():
            self._notifier.ready()

    async def _take(self, planned: Plan, token: TokenInfo, loaded: LoadedConfig) -> None:
        log.info("config.reloaded", changes=[str(change) for change in planned.changes])
        ready = self._trial.ready if self._trial is not None and self._trial.ready else self._ready()
        await self._parts.apply(planned, token)
        self._settings, self._loaded = planned.after, loaded
        self._running = RunningConfig(
            self._running.file,
            digest_of(loaded.text),
            time.time(),
            Verdict.ON_TRIAL,
            needs_restart=planned.needs_restart,
            reloads=self._running.reloads + 1,
            refused=self._running.refused,
            rollbacks=self._running.rollbacks,
        )
        since_good = plan(self._good.settings, planned.after) if self._good is not None else planned
        self._trial = Trial(ready, since_good.touches, time.monotonic(), planned.after.reload.trial)

    def _token(self, settings: Settings) -> TokenInfo:
        return listener_token(settings.web, state_dir_of(settings), "web")

    # judging

    def _ready(self) -> frozenset[str]:
        return frozenset(component.name for component in self._board if component.state.ready and component.name != LINE)

    async def _judge(self, trial: Trial) -> None:
        now = time.monotonic()
        worse = trial.worse({component.name: component.state.ready for component in self._board}, now)
        if worse and self._good is not None and self._settings.reload.trial:
            await self._roll_back(self._good, worse)
        elif trial.over(now):
            self._trial = None
            self._good = _Good(self._settings, self._running.digest)
            self._running = replace(self._running, verdict=Verdict.GOOD)
            if not self._running.needs_restart:
                self._keep()
            log.info("config.good", sha256=self._running.digest[:12])
            self._show()

    def _keep(self) -> None:
        self._configuration.last_good.keep(self._loaded.text, self._ready(), self._running.since)

    async def _roll_back(self, good: _Good, worse: list[str]) -> None:
        """To what was good before the change; the file stays as it is."""
        lines = [component.line for component in self._board if component.name in worse]
        refused, self._trial = self._running.digest, None
        planned = plan(self._settings, back(good.settings, self._settings))
        log.error("config.rolled_back", worse=lines, changes=[str(change) for change in planned.changes])
        await self._parts.apply(planned, self._token(planned.after))
        self._settings = planned.after
        self._configuration.last_good.refuse(refused)
        self._running = replace(
            self._running,
            digest=good.digest,
            since=time.time(),
            verdict=Verdict.ROLLED_BACK,
            problem="; ".join(lines),
            needs_restart=planned.needs_restart,
            rollbacks=self._running.rollbacks + 1,
        )
        self._show()

    # saying

    def _show(self) -> None:
        """In status, and as a line on the board that makes nothing unready."""
        running = self._parts.context.configuration = self._running
        if running.verdict is Verdict.ROLLED_BACK and running.rollbacks:
            detail = f"the change of {running.file} was rolled back, it made health worse: {running.problem}"
            self._board.component(LINE).degraded("config-rolled-back", detail)
        elif running.verdict is Verdict.ROLLED_BACK:
            detail = f"runs with the last configuration that was good, because of: {running.problem}"
            self._board.component(LINE).degraded("config-rolled-back", detail)
        elif running.problem:
            self._board.component(LINE).degraded("config-invalid", f"not reloaded: {running.problem}")
        elif running.needs_restart:
            self._board.component(LINE).degraded("config-restart", f"needs restart: {', '.join(running.needs_restart)}")
        else:
            self._board.remove(LINE)


def _has_terminal() -> bool:
    """Whether this process belongs to a terminal that is still there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
