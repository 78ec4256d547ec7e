"""Cameras published by WHIP to a real server (Node, werift), which receives, counts and hands back what it got."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import ifaddr
import pytest

from tests.harness.daemons import Daemon
from tests.harness.ports import free_port
from tests.harness.processes import children, run_edgecam
from tests.harness.waiting import until
from tests.peers.viewer import Viewer
from tests.signaling_servers.media.servers import MediaServer

PICTURE = {"source": "test", "width": 320, "height": 240, "fps": 30, "bitrate_kbps": 400, "keyframe_interval": 300.0}
TOKEN = "correct-horse-battery"
FOREVER = 10**15  # when a token expires, milliseconds

Publish = Callable[..., Daemon]


@pytest.fixture(scope="module")
def running() -> Iterator[MediaServer]:
    with MediaServer("whip.mjs") as server:
        yield server


@pytest.fixture
def server(running: MediaServer) -> MediaServer:
    running.reset()
    return running


@pytest.fixture
def publish(tmp_path: Path, server: MediaServer) -> Iterator[Publish]:
    """Starts a daemon that publishes `front` to the server. Keywords go into the section, `config` beside it."""
    with ExitStack() as stack:

        def start(config: dict[str, Any] | None = None, **section: Any) -> Daemon:
            media = {"type": "whip", "url": f"{server.url}/front/whip", **section}
            whole = {"camera": {"front": PICTURE}, "signaling": {"media": media}, **(config or {})}
            return stack.enter_context(Daemon(whole, tmp_path / "daemon"))

        yield start


def line(daemon: Daemon, name: str = "media") -> dict[str, Any]:
    (found,) = [line for line in daemon.status()["signaling"] if line["name"] == name]
    assert isinstance(found, dict)
    return found


def wait_line(daemon: Daemon, condition: str, code: str, within: float = 10.0) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = line(daemon)
        return found if (found["condition"], found["code"]) == (condition, code) else None

    return until(look, within=within, what=f"{condition} {code}", explain=lambda: line(daemon))


@pytest.mark.parametrize("lite", [False, True], ids=["full ICE", "ICE-lite"])
def test_a_camera_is_published_and_decoded_and_gives_keyframes(publish: Publish, server: MediaServer, lite: bool) -> None:
    server.script(lite=lite)
    daemon = publish()
    daemon.wait_ready()
    session = server.wait_session(25)
    pictures = server.decoded()
    assert len(pictures) >= 15
    assert (pictures[-1].width, pictures[-1].height) == (320, 240)
    assert "a=sendonly" in session["offer"]
    assert "a=setup:actpass" in session["offer"]

    status = daemon.status()
    (publication,) = status["publications"]
    assert (publication["via"], publication["state"], publication["media_path"]) == ("signaling.media", "connected", "fast")
    assert status["viewers"] == []
    assert status["viewers_served"] == 0
    assert (status["cameras"][0]["viewers"], status["cameras"][0]["publications"]) == (0, 1)
    assert line(daemon)["detail"] == f"front is published at {server.url}/front/whip"
    metrics = daemon.get("/metrics").text
    assert 'edgecam_camera_publications{camera="front"} 1' in metrics
    assert 'edgecam_publication_sent_bytes_total{camera="front",via="signaling.media"}' in metrics
    assert 'edgecam_camera_viewers{camera="front"} 0' in metrics
    if not lite:
        said = run_edgecam("status", "--config", daemon.file, state_dir=daemon.state_dir).stdout
        assert "front published to signaling.media: connected direct" in said
    server.do("pli")
    until(lambda: server.wait_session()["keyframes"] > session["keyframes"], within=2, what="a keyframe")
    assert daemon.status()["publications"][0]["keyframe_requests"] == 1
    daemon.assert_quiet()


def test_stopping_the_daemon_deletes_the_session(publish: Publish, server: MediaServer) -> None:
    daemon = publish(token=TOKEN)
    server.script(tokens={TOKEN: FOREVER})
    session = server.wait_session()
    daemon.terminate(within=3)
    (deleted,) = server.requests("DELETE")
    assert deleted["url"] == f"/session/{session['id']}"
    assert deleted["authorization"] == f"Bearer {TOKEN}"
    assert server.seen()["sessions"] == []


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_server_that_hangs_does_not_hold_up_the_end(publish: Publish, server: MediaServer, method: str) -> None:
    server.script(hang=method)
    daemon = publish()
    if method == "DELETE":
        server.wait_session()
    else:
        until(lambda: server.requests("POST"), within=5, what="the offer")
    assert daemon.terminate(within=5) < 3


def test_a_server_that_was_restarted_is_published_to_again(publish: Publish, server: MediaServer) -> None:
    daemon = publish()
    server.wait_session(5)
    server.kill()
    killed = time.monotonic()
    lost = wait_line(daemon, "waiting", "consent-lost", within=8)
    assert time.monotonic() - killed < 6.5, "a path that died was noticed late"
    assert "the media server stopped answering" in lost["detail"]
    wait_line(daemon, "waiting", "signaling-unreachable")
    server.start()
    server.wait_session(20, within=10)
    wait_line(daemon, "running", "")
    daemon.assert_quiet()


def test_a_session_that_the_server_ends_is_published_anew_at_once(publish: Publish, server: MediaServer) -> None:
    daemon = publish()
    first = server.wait_session()["id"]
    server.do("close")
    until(lambda: server.requests("POST")[1:], within=2, what="another offer")
    assert server.wait_session()["id"] != first
    assert daemon.camera()["restarts"] == 0


def test_a_session_that_the_server_has_forgotten_is_published_anew(publish: Publish, server: MediaServer, turn: str) -> None:
    server.script(links=[turn], fail={"method": "PATCH", "status": 404, "times": 1})
    publish()
    until(lambda: server.requests("POST")[1:], within=5, what="another offer")
    server.wait_session()


def test_the_camera_may_restart_below_the_session(publish: Publish, server: MediaServer) -> None:
    daemon = publish()
    before = server.wait_session(20)
    (capture,) = children(daemon.pid)
    os.kill(capture, signal.SIGKILL)
    daemon.wait_camera(restarts=1)
    after = server.wait_session(before["units"] + 10)
    assert after["id"] == before["id"]
    assert len(server.requests("POST")) == 1
    assert after["keyframes"] > before["keyframes"]


def test_a_wrong_token_is_told_and_not_tried_again_soon(publish: Publish, server: MediaServer) -> None:
    server.script(tokens={TOKEN: FOREVER})
    daemon = publish(token="wrong-secret-token")
    refused = wait_line(daemon, "waiting", "signaling-auth")
    assert "HTTP 401, token unknown or expired" in refused["detail"]
    assert "correct [signaling.media] token" in refused["detail"]
    with pytest.raises(AssertionError, match="not within"):
        until(lambda: server.requests("POST")[1:], within=1.5, what="another offer")
    everything = "\n".join(daemon.lines) + daemon.get("/metrics").text + daemon.get("/api/v1/status").text
    assert "wrong-secret-token" not in everything


def test_a_token_that_expires_is_read_anew_from_its_file(publish: Publish, server: MediaServer, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    server.script(tokens={TOKEN: FOREVER})
    daemon = publish(token_file=str(file))
    units = server.wait_session()["units"]
    server.script(tokens={TOKEN: 1, "next-token": FOREVER})
    assert server.wait_session(units + 5)["state"] == "connected", "what runs is not disturbed"
    server.do("close")
    refused = wait_line(daemon, "waiting", "signaling-auth")
    assert "the token is wrong or has expired" in refused["detail"]
    file.write_text("next-token")
    server.wait_session(within=5)
    assert server.requests("POST")[-1]["authorization"] == "Bearer next-token"


@pytest.fixture(scope="module")
def other() -> Iterator[MediaServer]:
    with MediaServer("whip.mjs") as server:
        yield server


def test_a_redirect_to_another_origin_does_not_get_the_token(publish: Publish, server: MediaServer, other: MediaServer) -> None:
    other.reset()
    server.script(redirect={"location": f"{other.url}/node2"})
    daemon = publish(token=TOKEN)
    other.wait_session()
    assert [r["authorization"] for r in server.requests("POST")] == [f"Bearer {TOKEN}"]
    daemon.terminate(within=3)
    assert [r["authorization"] for r in (*other.requests("POST"), *other.requests("DELETE"))] == [None, None]


@contextmanager
def coturn(directory: Path) -> Iterator[str]:
    """A TURN server on this machine, as the `Link` header of a media server names it."""
    addresses = [ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips if isinstance(ip.ip, str)]
    address = next(ip for ip in addresses if not ip.startswith("127."))
    port = free_port()
    options = ["-n", "-L", address, "-E", address, "-p", str(port), "-u", "camera:secret", "-r", "test", "-a", "--no-tls", "--no-dtls"]
    pidfile, log = directory / "coturn.pid", directory / "coturn.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["turnserver", *options, "--no-cli", "-l", "stdout", "--pidfile", str(pidfile)], stdout=output, stderr=output, cwd=directory
        )
        try:

            def listens() -> bool:
                with socket.socket() as probe:
                    return probe.connect_ex((address, port)) == 0

            until(listens, within=10, what="coturn", explain=log.read_text)
            yield f'<turn:{address}:{port}?transport=udp>; rel="ice-server"; username="camera"; credential="secret"'
        finally:
            process.terminate()
            process.wait()


@pytest.fixture(scope="module")
def turn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with coturn(tmp_path_factory.mktemp("coturn")) as link:
        yield link


def test_the_servers_turn_is_used_and_its_candidate_trickled(publish: Publish, server: MediaServer, turn: str) -> None:
    server.script(links=["<stun:127.0.0.1:9>; rel=ice-server", turn])
    publish()
    server.wait_session()

    def trickled() -> list[str]:
        return [text for text in server.wait_session()["fragments"] if " typ relay" in text]

    fragment, *_ = until(trickled, within=5, what="a relay candidate")
    assert fragment.startswith("a=group:BUNDLE 0\r\nm=video 9 UDP/TLS/RTP/SAVPF ")
    assert "a=ice-ufrag:" in fragment


def test_two_servers_and_a_viewer_share_one_encoder(publish: Publish, server: MediaServer, other: MediaServer) -> None:
    other.reset()
    more = {"type": "whip", "url": f"{other.url}/{{camera}}/whip"}
    media = {"type": "whip", "url": f"{server.url}/front/whip"}
    daemon = publish({"signaling": {"media": media, "more": more}, "viewers": {"max": 1}})
    server.wait_session()
    other.wait_session()
    assert [r["url"] for r in other.requests("POST")] == ["/front/whip"]

    async def watch() -> None:
        async with Viewer() as viewer:
            offer = await viewer.offer(h264_only=True)
            reply = await asyncio.to_thread(
                daemon.request, "POST", "/whep/front", offer, {"Content-Type": "application/sdp"}
            )
            assert reply.status == 201, "publications took the only viewer's place"
            await viewer.accept(reply.text)
            await viewer.decoded(20)
            status = daemon.status()
            assert (len(status["publications"]), len(status["viewers"])) == (2, 1)
            assert (status["cameras"][0]["viewers"], status["cameras"][0]["publications"]) == (1, 2)

    asyncio.run(watch())
    assert len(children(daemon.pid)) == 1
    running = [r for r in daemon.camera()["renditions"] if r["running"]]
    assert len(running) == 1
    daemon.assert_quiet()
