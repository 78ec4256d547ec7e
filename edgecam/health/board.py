"""The board: one truthful state per component, which status, readiness, metrics and systemd all read."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog

from edgecam.health.ladder import Ladder
from edgecam.health.pulse import Pulse

log = structlog.get_logger(__name__)


class Condition(enum.StrEnum):
    """What a component is doing."""

    STARTING = "starting"
    RUNNING = "running"
    DEGRADED = "degraded"  # works, but not as it should (hot, a worse encoder, disk nearly full): counts as ready
    RESTING = "resting"  # idle on purpose: counts as ready
    WAITING = "waiting"  # a declared wait for something outside (camera absent, server gone): supervised, not ready
    STOPPED = "stopped"


READY = frozenset({Condition.RUNNING, Condition.DEGRADED, Condition.RESTING})
WORTH_A_WARNING = frozenset({Condition.DEGRADED, Condition.WAITING, Condition.STOPPED})


@dataclass(frozen=True, slots=True)
class State:
    """A component's condition; `code` is stable, `detail` is for people, `since` is CLOCK_MONOTONIC seconds."""

    condition: Condition
    code: str
    detail: str
    since: float

    @property
    def ready(self) -> bool:
        """Nothing that keeps pictures from moving."""
        return self.condition in READY

    @property
    def settled(self) -> bool:
        """Running, or in a declared wait: what systemd's READY asks for."""
        return self.condition in READY or self.condition is Condition.WAITING


class Component:
    """One component's line on the board. `pulse` is kept by whoever supervises it; a camera has a `ladder`."""

    def __init__(self, name: str, changed: Callable[[Component], None]) -> None:
        self.name = name
        self.essential = True  # without it no pictures; what only tells others how the cameras are is not
        self.failures = 0
        self.state = State(Condition.STARTING, "", "", time.monotonic())
        self.pulse = Pulse()
        self.ladder: Ladder | None = None
        self._changed = changed

    def report(self, condition: Condition, code: str = "", detail: str = "") -> None:
        """Set the state; logged once per change of condition or code, however often it is repeated."""
        before = self.state
        if (before.condition, before.code, before.detail) == (condition, code, detail):
            return
        same_kind = (before.condition, before.code) == (condition, code)
        self.state = State(condition, code, detail, before.since if same_kind else time.monotonic())
        if not same_kind:
            emit = log.warning if condition in WORTH_A_WARNING else log.info
            emit("component.state", component=self.name, state=str(condition), code=code or None, detail=detail or None)
        self._changed(self)

    def running(self, detail: str = "") -> None:
        self.report(Condition.RUNNING, "", detail)

    def degraded(self, code: str, detail: str) -> None:
        """It works, but not as it should; `code` stands in docs/troubleshooting.md."""
        self.report(Condition.DEGRADED, code, detail)

    def resting(self, code: str, detail: str) -> None:
        """Idle on purpose."""
        self.report(Condition.RESTING, code, detail)

    def waiting(self, code: str, detail: str) -> None:
        """It broke, and is tried again; counted, also when it breaks in the same way once more."""
        self.failures += 1
        self.report(Condition.WAITING if self.essential else Condition.DEGRADED, code, detail)

    @property
    def line(self) -> str:
        """The state in words, for people: `camera.front: /dev/video0 does not exist [camera-absent]`."""
        code = f" [{self.state.code}]" if self.state.code else ""
        return f"{self.name}: {self.state.detail or self.state.condition}{code}"


class HealthBoard:
    """All components' states. Single-threaded: only the event loop touches it."""

    def __init__(self) -> None:
        self._components: dict[str, Component] = {}
        self._watchers: list[Callable[[], None]] = []
        self.started = time.monotonic()

    def component(self, name: str) -> Component:
        """The line of that name (`camera.front`, `signaling.home`, `web`), made on first use."""
        if name not in self._components:
            self._components[name] = Component(name, self._report)
        return self._components[name]

    def aside(self, name: str) -> Component:
        """The line of what no picture needs: nobody waits until it runs, and when it breaks it counts as degraded."""
        component = self.component(name)
        component.essential = False
        if component.state.condition is Condition.STARTING:
            component.state = State(Condition.RESTING, "", "has not begun yet", time.monotonic())
        return component

    def remove(self, name: str) -> None:
        """Take that line off the board, when what it stands for is no longer configured; nothing when it is not there.
        What its component reports afterwards is seen by nobody."""
        if self._components.pop(name, None) is not None:
            self._notify()

    def __iter__(self) -> Iterator[Component]:
        return iter(self._components.values())

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call `watcher` after every change, on the loop; it must be quick."""
        self._watchers.append(watcher)

    def unwatch(self, watcher: Callable[[], None]) -> None:
        """No longer call it."""
        self._watchers.remove(watcher)

    def _report(self, component: Component) -> None:
        if self._components.get(component.name) is component:
            self._notify()

    def _notify(self) -> None:
        for watcher in tuple(self._watchers):
            watcher()

    @property
    def settled(self) -> bool:
        """Every component runs, rests, or is in a declared wait."""
        return all(component.state.settled for component in self)

    @property
    def reasons(self) -> list[str]:
        """Why the daemon is not ready: one line per component that is not; empty when ready."""
        return [component.line for component in self if not component.state.ready]

    @property
    def warnings(self) -> list[str]:
        """What works, but not as it should: one line per component; these make nothing unready."""
        return [component.line for component in self if component.state.condition is Condition.DEGRADED]

    @property
    def summary(self) -> str:
        """One line for STATUS= and the top of the status page."""
        return "; ".join([*(self.reasons or ["all components running"]), *self.warnings])
