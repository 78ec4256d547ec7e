"""Three servers as real processes behind a real load balancer: killed, frozen, stopped, and without their Redis."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.browser.scenes import FPS, picture
from tests.harness.balancer import Balancer
from tests.harness.browser import Browser, Visit, running_browser
from tests.harness.daemons import Daemon, Server
from tests.harness.redis import Redis
from tests.harness.waiting import until

WITHIN = 10.0  # seconds in which everybody is to be back
AWAY = (r"WebSocket connection to .* failed", r"net::ERR_", r"the server responded with a status of 50[234]")


@dataclass(frozen=True, slots=True)
class Cluster:
    redis: Redis
    balancer: Balancer
    servers: dict[str, Server]

    def holder(self, camera: str = "front", among: str = "abc") -> str | None:
        """The name of the instance at which the camera is, when all of `among` say the same."""
        found = set()
        for name in among:
            entries = [entry for entry in self.servers[name].get("/api/v1/cameras").json if entry["id"] == camera]
            found |= {entry.get("instance", name) if entry["online"] else None for entry in entries} or {None}
        (only,) = found if len(found) == 1 else (None,)
        return only

    def wait_holder(self, among: str, camera: str = "front", within: float = WITHIN) -> str:
        """Until they agree about where it is."""
        what = f"{camera} at an instance that all of {among} agree about"
        return until(lambda: self.holder(camera, among), within=within, what=what)

    def state(self, name: str) -> dict[str, Any]:
        found = self.servers[name].get("/status").json["cluster"]
        assert isinstance(found, dict)
        return found

    def is_degraded(self, name: str) -> bool:
        return bool(self.state(name)["state"] == "degraded")

    def wait_whole(self, among: str = "abc", within: float = WITHIN) -> None:
        """Until each of them is connected to Redis and knows exactly the others."""
        for name in among:
            until(partial(self._knows, name, among), within=within, what=f"{name} knows {among}", explain=partial(self.state, name))

    def _knows(self, name: str, among: str) -> bool:
        state = self.state(name)
        return state["state"] == "running" and {entry["name"] for entry in state["instances"]} == set(among)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as chromium:
        yield chromium


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        redis = stack.enter_context(Redis(tmp_path / "redis", password="sesame-redis"))
        servers = {name: Server({"server": {"redis": redis.url, "instance": name}}, tmp_path / name) for name in "abc"}
        for server in servers.values():
            stack.enter_context(server)
        balancer = stack.enter_context(Balancer(tmp_path / "haproxy", {name: s.port for name, s in servers.items()}))
        found = Cluster(redis, balancer, servers)
        found.wait_whole()
        yield found
        for server in servers.values():
            assert not any("sesame-redis" in line for line in server.lines + server.printed)


@pytest.fixture
def daemon(cluster: Cluster, tmp_path: Path) -> Iterator[Daemon]:
    """A camera that is connected to instance a."""
    cluster.balancer.only("a")
    config = {"camera": {"front": picture()}, "signaling": {"home": {"url": cluster.balancer.socket_url}}}
    with Daemon(config, tmp_path / "daemon") as running:
        running.wait_ready()
        assert cluster.wait_holder("abc") == "a"
        yield running


def calls(visit: Visit) -> int:
    """How many calls the page has begun: each is a new peer connection with a new offer."""
    return int(visit.page.evaluate("window.edgecam.events.filter(({type}) => type === 'call').length"))


def timed(what: str, started: float) -> None:
    print(f"{what}: {time.monotonic() - started:.2f} s")


def test_an_instance_is_killed_and_its_camera_and_viewers_are_back_on_the_others_while_pictures_go_on(
    cluster: Cluster, daemon: Daemon, browser: Browser
) -> None:
    balancer, page = cluster.balancer, f"{cluster.balancer.url}/view/front"
    with browser.visit(page, tolerates=AWAY) as beside:  # at the camera's instance, with which it dies
        beside.wait_playing()
        balancer.only("b")
        with browser.visit(page, tolerates=AWAY) as remote:
            remote.wait_playing()
            remote.assert_moving()
            balancer.only("a", "b", "c")
            viewers = {viewer["id"] for viewer in daemon.wait_viewers(2)}
            for visit in (beside, remote):
                visit.mark_connection()

            started = time.monotonic()
            cluster.servers["a"].kill()
            holder = until(lambda: cluster.holder("front", "bc") in {"b", "c"}, within=WITHIN, what="the camera elsewhere")
            assert holder
            timed("killed, the camera is at another instance", started)
            with browser.visit(page) as newcomer:
                newcomer.wait_playing(within=WITHIN)
                took = time.monotonic() - started
                timed("killed, a newcomer plays", started)
                assert took < WITHIN
                newcomer.assert_moving()
                beside.wait_for("window.edgecam.events.some(({type}) => type === 'signaling-closed')")
                until(
                    lambda: sum(cluster.servers[name].get("/status").json["viewers"] for name in "bc") == 3,
                    within=WITHIN, what="all viewers at the other instances",
                )  # fmt: skip
                timed("killed, all viewers are at the others", started)
            for visit in (beside, remote):
                visit.wait_frames(FPS)
                visit.assert_same_connection()
                assert (visit.state, calls(visit)) == ("playing", 1)
            assert viewers <= {viewer["id"] for viewer in daemon.status()["viewers"]}
            cluster.wait_whole("bc")
            timed("killed, the others have given it up", started)
    daemon.assert_quiet()
    for name in "bc":
        cluster.servers[name].assert_quiet()


def test_redis_is_killed_and_local_pairs_go_on_and_all_is_well_by_itself_once_it_is_back(
    cluster: Cluster, daemon: Daemon, browser: Browser
) -> None:
    beside, elsewhere = f"{cluster.servers['a'].url}/view/front", f"{cluster.servers['b'].url}/view/front"
    with browser.visit(elsewhere) as remote:
        remote.wait_playing()
        remote.mark_connection()

        started = time.monotonic()
        cluster.redis.kill()
        for name in "abc":
            until(partial(cluster.is_degraded, name), within=WITHIN, what="degraded")
        timed("Redis killed, all say degraded", started)
        assert cluster.state("a")["redis"]["state"] in {"redis-lost", "redis-unreachable"}
        with browser.visit(beside) as local:
            local.wait_playing(within=WITHIN)
            local.assert_moving()
        assert daemon.get("/readyz").status == 200
        remote.wait_frames(FPS)
        remote.assert_same_connection()

        cluster.redis.start()
        started = time.monotonic()
        cluster.wait_whole()
        assert cluster.wait_holder("abc") == "a"
        timed("Redis back, all know each other", started)
        with browser.visit(elsewhere) as newcomer:
            newcomer.wait_playing(within=WITHIN)
            timed("Redis back, a newcomer elsewhere plays", started)
        remote.wait_frames(FPS)
        remote.assert_same_connection()
        assert (remote.state, calls(remote)) == ("playing", 1)
    for server in cluster.servers.values():
        server.assert_quiet()


def test_a_frozen_instance_is_left_and_gives_way_when_it_thaws(cluster: Cluster, daemon: Daemon) -> None:
    cluster.balancer.only("a", "b", "c")
    started = time.monotonic()
    cluster.servers["a"].signal(signal.SIGSTOP)
    try:
        holder = until(
            lambda: found if (found := cluster.holder("front", "bc")) in {"b", "c"} else None, within=WITHIN, what="the camera elsewhere"
        )
        timed("frozen, the camera is at another instance", started)
        cluster.wait_whole("bc")
    finally:
        cluster.servers["a"].signal(signal.SIGCONT)
    cluster.wait_whole()
    assert cluster.wait_holder("abc") == holder
    assert daemon.get("/readyz").status == 200


def test_an_instance_that_is_stopped_closes_with_going_away_and_its_camera_goes_elsewhere(
    cluster: Cluster, daemon: Daemon
) -> None:
    cluster.balancer.only("a", "b", "c")
    started = time.monotonic()
    assert cluster.servers["a"].terminate(within=5.0) < 3.0
    assert until(lambda: cluster.holder("front", "bc") in {"b", "c"}, within=WITHIN, what="the camera elsewhere")
    timed("stopped, the camera is at another instance", started)
    cluster.wait_whole("bc", within=3.0)
    assert daemon.wait_logged("component.state", component="signaling.home", state="waiting")["detail"].count("code 1001")
