"""The health board: one truthful state per component, which status, readiness, metrics and systemd all read."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog

log = structlog.get_logger(__name__)


class Condition(enum.StrEnum):
    """What a component is doing."""

    STARTING = "starting"
    RUNNING = "running"
    RESTING = "resting"  # idle on purpose: counts as ready
    WAITING = "waiting"  # a declared wait for something outside (camera absent, server gone): supervised, not ready
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class State:
    """A component's condition; `code` is stable, `detail` is for people, `since` is CLOCK_MONOTONIC seconds."""

    condition: Condition
    code: str
    detail: str
    since: float

    @property
    def ready(self) -> bool:
        return self.condition in {Condition.RUNNING, Condition.RESTING}

    @property
    def settled(self) -> bool:
        """Running, or in a declared wait: what systemd's READY asks for."""
        return self.condition in {Condition.RUNNING, Condition.RESTING, Condition.WAITING}


class Component:
    """One component's line on the board."""

    def __init__(self, name: str, changed: Callable[[Component], None]) -> None:
        self.name = name
        self.failures = 0
        self.state = State(Condition.STARTING, "", "", time.monotonic())
        self._changed = changed

    def report(self, condition: Condition, code: str = "", detail: str = "") -> None:
        """Set the state; logged once per change of condition or code, however often it is repeated."""
        before = self.state
        if (before.condition, before.code, before.detail) == (condition, code, detail):
            return
        same_kind = (before.condition, before.code) == (condition, code)
        self.state = State(condition, code, detail, before.since if same_kind else time.monotonic())
        if not same_kind:
            emit = log.warning if condition is Condition.WAITING else log.info
            emit("component.state", component=self.name, state=str(condition), code=code or None, detail=detail or None)
        self._changed(self)

    def running(self, detail: str = "") -> None:
        self.report(Condition.RUNNING, "", detail)

    def waiting(self, code: str, detail: str) -> None:
        self.failures += 1
        self.report(Condition.WAITING, code, detail)


class HealthBoard:
    """All components' states. Single-threaded: only the event loop touches it."""

    def __init__(self) -> None:
        self._components: dict[str, Component] = {}
        self._watchers: list[Callable[[], None]] = []
        self.started = time.monotonic()

    def component(self, name: str) -> Component:
        """The line of that name (`camera.front`, `signaling.home`, `web`), made on first use."""
        if name not in self._components:
            self._components[name] = Component(name, self._notify)
        return self._components[name]

    def __iter__(self) -> Iterator[Component]:
        return iter(self._components.values())

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call `watcher` after every change, on the loop; it must be quick."""
        self._watchers.append(watcher)

    def _notify(self, _component: Component) -> None:
        for watcher in self._watchers:
            watcher()

    @property
    def settled(self) -> bool:
        """Every component runs, rests, or is in a declared wait."""
        return all(component.state.settled for component in self)

    @property
    def reasons(self) -> list[str]:
        """Why the daemon is not ready: one line per component that is not; empty when ready."""
        return [
            f"{c.name}: {c.state.detail or c.state.condition}" + (f" [{c.state.code}]" if c.state.code else "")
            for c in self
            if not c.state.ready
        ]

    @property
    def summary(self) -> str:
        """One line for STATUS= and the top of the status page."""
        reasons = self.reasons
        return "; ".join(reasons) if reasons else "all components running"
