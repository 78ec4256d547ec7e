"""WHEP players of other people, on their own stacks: GStreamer's webrtcbin decodes, werift takes the stream apart. Chromium is in
tests/browser/test_whep.py."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.harness.daemons import Daemon
from tests.harness.processes import children
from tests.harness.waiting import until
from tests.whep_players.players import PLAYERS, Player

FPS = 30


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    picture = {"source": "test", "width": 640, "height": 480, "fps": FPS, "bitrate_kbps": 800}
    with Daemon({"camera": {"front": picture}}, tmp_path_factory.mktemp("players")) as running:
        running.wait_ready()
        yield running
        running.assert_quiet()


@pytest.mark.parametrize("name", PLAYERS)
def test_a_player_plays_survives_a_camera_restart_and_leaves_by_delete(daemon: Daemon, name: str) -> None:
    with Player(name, f"{daemon.url}/whep/front") as player:
        answered = player.wait("answered")
        assert (answered["status"], answered["location"][:12]) == (201, "/whep/front/")
        assert player.wait("trickled")["status"] == 204
        player.wait_frames(2 * FPS + 15)  # more than two seconds
        (viewer,) = daemon.wait_viewers(1)
        assert (viewer["via"], viewer["path"]) == ("whep", "direct")

        starts = daemon.camera("front")["restarts"]
        (capture,) = children(daemon.pid)
        os.kill(capture, signal.SIGKILL)
        until(lambda: daemon.camera("front")["restarts"] > starts, within=15, what="the camera's restart")
        player.wait_frames(2 * FPS)
        assert [viewer["id"] for viewer in daemon.wait_viewers(1)] == [viewer["id"]], "not the same session"
        assert player.heard("broken") is None
        if name == "werift":
            last = player.heard("frames")
            assert last is not None
            assert last["broken"] == 0
            assert last["keyframes"] >= 2
            assert set(last["nals"]) <= {"1", "5", "6", "7", "8"}

        assert player.leave() == 200
        until(lambda: not daemon.status()["viewers"], within=3, what="the session's end")
        player.wait_silence(1.0)
        if name == "gstreamer":  # werift 0.22 has no word for BYE, nor for the end of DTLS
            player.wait("ended")
