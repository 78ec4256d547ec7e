"""What ends and what goes on: the signaling server killed, the daemon told to stop."""

from __future__ import annotations

from tests.browser.conftest import StartDaemon, StartServer
from tests.browser.scenes import FPS, picture
from tests.harness.browser import Browser
from tests.harness.daemons import Daemon
from tests.harness.processes import alive
from tests.harness.waiting import until

# What Chromium itself prints when a host is away; nothing of ours.
HOST_AWAY = ["WebSocket connection to .* failed", "net::ERR_CONNECTION_REFUSED", "net::ERR_CONNECTION_RESET"]
# Hanging up the call with the first daemon at the second.
CALL_OF_ANOTHER_LIFE = "404 .*/whep/front/"
STOP_WITHIN = 5.0  # seconds


def signaling(daemon: Daemon) -> dict[str, object]:
    (line,) = daemon.status()["signaling"]
    assert isinstance(line, dict)
    return line


def test_video_flows_while_the_signaling_server_is_killed_and_a_newcomer_joins_after_it_is_back(
    start_daemon: StartDaemon, start_server: StartServer, browser: Browser
) -> None:
    server = start_server()
    daemon = start_daemon({"camera": {"front": picture()}, "signaling": {"home": {"url": server.socket_url}}})
    server.wait_camera("front")
    page = f"{server.url}/view/front"
    with browser.visit(page, tolerates=HOST_AWAY) as watching, browser.visit(page, tolerates=HOST_AWAY) as passive:
        passive.page.goto(f"{page}?mode=receive")
        for visit in (watching, passive):
            visit.wait_playing()
            visit.mark_connection()
        identities = {viewer["id"] for viewer in daemon.wait_viewers(2)}

        server.kill()
        until(lambda: signaling(daemon)["condition"] == "waiting", within=10, what="the outage in the status")
        assert signaling(daemon)["code"] in {"signaling-lost", "signaling-unreachable"}
        assert daemon.get("/readyz").status == 503
        # Longer than ICE consent lives: nothing but the two ends themselves keeps this going.
        for _ in range(10):
            watching.wait_frames(FPS)
            passive.wait_frames(1)

        server.restart()
        server.wait_camera("front", within=40)
        daemon.wait_ready()
        with browser.visit(page) as newcomer:
            newcomer.wait_playing()
            newcomer.assert_moving()
            assert identities < {viewer["id"] for viewer in daemon.wait_viewers(3)}
        for visit in (watching, passive):
            visit.wait_for("window.edgecam.events.some(({type}) => type === 'signaling-closed')")
            visit.wait_frames(FPS)
            visit.assert_same_connection()
            assert visit.state == "playing"
    server.assert_quiet()
    daemon.assert_quiet()


def test_sigterm_says_goodbye_to_every_viewer_and_leaves_nothing_behind(
    start_daemon: StartDaemon, start_server: StartServer, browser: Browser
) -> None:
    server = start_server()
    daemon = start_daemon({"camera": {"front": picture()}, "signaling": {"home": {"url": server.socket_url}}})
    server.wait_camera("front")
    pages = (f"{daemon.url}/view/front", f"{server.url}/view/front")
    with (
        browser.visit(pages[0], tolerates=HOST_AWAY) as near,
        browser.visit(pages[1], tolerates=HOST_AWAY) as far,
    ):
        near.wait_playing()
        far.wait_playing()
        daemon.wait_viewers(2)
        (child,) = daemon.capture_processes

        took = daemon.terminate(within=STOP_WITHIN)
        assert not alive(child)
        for visit in (near, far):
            # Well before the page could miss frames (2 s) or consent (5 s and more): it was told.
            visit.wait_for("['reconnecting', 'waiting'].includes(window.edgecam.state)", within=1.5)
            said = visit.page.evaluate("window.edgecam.events.map(({message, reason}) => message ?? reason)")
            assert "The camera hung up" in said
    assert took < STOP_WITHIN
    assert daemon.logged("daemon.stopped")
    daemon.assert_quiet()
    server.assert_quiet()


def test_a_daemon_that_was_restarted_has_its_viewers_back(
    start_daemon: StartDaemon, start_server: StartServer, browser: Browser
) -> None:
    server = start_server()
    daemon = start_daemon({"camera": {"front": picture()}, "signaling": {"home": {"url": server.socket_url}}})
    server.wait_camera("front")
    pages = (f"{daemon.url}/view/front", f"{server.url}/view/front")
    with (
        browser.visit(pages[0], tolerates=[*HOST_AWAY, CALL_OF_ANOTHER_LIFE]) as near,
        browser.visit(pages[1], tolerates=HOST_AWAY) as far,
    ):
        for visit in (near, far):
            visit.wait_playing()
            visit.mark_connection()
        daemon.kill()
        daemon.restart()
        for visit in (near, far):
            visit.wait_for("window.edgecam.pc && window.edgecam.pc !== window.markedConnection", within=20)
            visit.wait_playing()
        daemon.wait_viewers(2)
