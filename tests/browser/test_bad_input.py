"""Nonsense thrown at a running daemon: each piece gets a clear answer, and a connected viewer notices nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.browser.scenes import FPS, picture, v4l2
from tests.harness.browser import Browser, Visit
from tests.harness.daemons import Daemon, toml
from tests.harness.ports import free_port
from tests.harness.processes import run_edgecam
from tests.harness.waiting import until

SDP = {"Content-Type": "application/sdp"}
# An offer that a browser without an H.264 decoder would make, cut down to what is looked at.
WITHOUT_H264 = """\
v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=ice-ufrag:abcd
a=ice-pwd:abcdefghijklmnopqrstuvwx
a=fingerprint:sha-256 {fingerprint}
a=setup:actpass
a=mid:0
a=recvonly
a=rtcp-mux
a=rtpmap:96 VP8/90000
""".format(fingerprint=":".join(["AB"] * 32)).replace("\n", "\r\n")


@dataclass(frozen=True, slots=True)
class Scene:
    daemon: Daemon
    visit: Visit


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Scene]:
    """A daemon of which a part does not work, and a viewer who must never notice."""
    directory = tmp_path_factory.mktemp("bad-input")
    config = {
        "camera": {"front": picture(), "ghost": v4l2(directory / "no-such-device")},
        "signaling": {"home": {"url": f"ws://127.0.0.1:{free_port()}/ws", "cameras": ["front"]}},
    }
    with Daemon(config, directory) as daemon, browser.visit(f"{daemon.url}/view/front") as visit:
        visit.wait_playing()
        yield Scene(daemon, visit)
        daemon.assert_quiet()


@pytest.fixture(autouse=True)
def _the_viewer_notices_nothing(scene: Scene) -> Iterator[None]:
    scene.visit.mark_connection()
    (before,) = [viewer for viewer in scene.daemon.status()["viewers"] if viewer["state"] == "connected"]
    yield
    scene.visit.wait_frames(FPS // 2)
    scene.visit.assert_same_connection()
    until(lambda: len(scene.daemon.status()["viewers"]) == 1, within=5, what="nothing left of refused viewers")
    assert scene.daemon.wait_viewers(1)[0]["id"] == before["id"]


def component(daemon: Daemon, name: str) -> dict[str, str]:
    (found,) = [entry for entry in daemon.status()["components"] if entry["name"] == name]
    assert isinstance(found, dict)
    return found


def test_a_missing_device_is_named_with_what_to_do_and_the_other_camera_serves(scene: Scene) -> None:
    ghost = component(scene.daemon, "camera.ghost")
    assert (ghost["condition"], ghost["code"]) == ("waiting", "camera-absent")
    assert "no-such-device does not exist" in ghost["detail"]
    assert "plug the camera in" in ghost["detail"]
    assert "\n" not in ghost["detail"]
    assert scene.daemon.camera("front")["condition"] == "running"
    ready = scene.daemon.get("/readyz")
    assert ready.status == 503
    assert "camera-absent" in ready.text
    picture = scene.daemon.get("/api/v1/cameras/ghost/snapshot.jpg")
    assert (picture.status, picture.json["code"]) == (503, "camera-absent")


def test_an_unreachable_signaling_server_is_named_and_whep_still_serves(scene: Scene, browser: Browser) -> None:
    line = component(scene.daemon, "signaling.home")
    assert (line["condition"], line["code"]) == ("waiting", "signaling-unreachable")
    assert "\n" not in line["detail"]
    with browser.visit(f"{scene.daemon.url}/view/front") as another:
        another.wait_playing()
    warned = scene.daemon.logged("component.state", component="signaling.home", state="waiting")
    assert len(warned) == 1, "a repeating condition warns once"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"v=0\r\n",
        b"\xff\xfe\x00garbage\x00" * 50,
        b"v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video x y z\r\n",
        b"v=0\r\n" + b"a=candidate:1 1 udp 1 300.1.1.1 99999 typ host\r\n" * 200,
        WITHOUT_H264.replace("VP8/90000", "H264/90000").replace("a=fingerprint", "a=nonsense").encode(),
        WITHOUT_H264.replace("96 VP8/90000\r\n", "96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\n")
        .replace("a=fingerprint", "a=nonsense")
        .encode(),
    ],
    ids=["empty", "text", "bare", "binary", "broken-m-line", "no-media", "no-mode", "no-fingerprint"],
)
def test_a_malformed_offer_gets_one_clear_error(scene: Scene, body: bytes) -> None:
    reply = scene.daemon.request("POST", "/whep/front", body, SDP)
    assert reply.status in {400, 406}, reply
    assert reply.headers["content-type"].startswith("application/problem+json")
    assert reply.json["title"]
    assert reply.json["code"].startswith("sdp-")
    assert "\n" not in reply.json["title"]
    assert "Traceback" not in reply.text


def test_an_offer_without_h264_gets_406_and_says_so(scene: Scene) -> None:
    reply = scene.daemon.request("POST", "/whep/front", WITHOUT_H264, SDP)
    assert reply.status == 406
    assert reply.json["code"] == "sdp-no-h264"
    assert "H.264" in reply.json["title"]
    assert "browser" in reply.json["remedy"]


def test_an_offer_under_another_content_type_is_refused(scene: Scene) -> None:
    for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
        reply = scene.daemon.request("POST", "/whep/front", WITHOUT_H264, {"Content-Type": kind})
        assert reply.status == 415
        assert "application/sdp" in reply.json["title"]


def test_an_offer_of_unreasonable_size_is_refused(scene: Scene) -> None:
    for size in (200_000, 400_000):
        try:
            assert scene.daemon.request("POST", "/whep/front", b"v=0\r\n" * (size // 5), SDP).status == 413
        except (BrokenPipeError, ConnectionResetError):
            assert size > 256 * 1024, "only a body beyond what any route reads may be cut off"


def test_a_camera_that_does_not_exist_gets_404_with_those_that_do(scene: Scene) -> None:
    reply = scene.daemon.request("POST", "/whep/attic", WITHOUT_H264, SDP)
    assert (reply.status, reply.json["code"]) == (404, "camera-unknown")
    assert "front" in reply.json["remedy"]
    assert scene.daemon.get("/api/v1/cameras/attic/snapshot.jpg").status == 404


def test_trickling_and_leaving_a_session_that_does_not_exist_gets_404(scene: Scene) -> None:
    fragment = {"Content-Type": "application/trickle-ice-sdpfrag"}
    body = "a=mid:0\r\na=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n"
    assert scene.daemon.request("PATCH", "/whep/front/nobody", body, fragment).status == 404
    assert scene.daemon.request("DELETE", "/whep/front/nobody").status == 404


def test_a_second_daemon_on_the_same_port_says_which_program_to_stop(scene: Scene, tmp_path: Path) -> None:
    file = tmp_path / "second.toml"
    file.write_text(toml({"web": {"listen": f"127.0.0.1:{scene.daemon.port}"}, "camera": {"front": picture()}}))
    ended = run_edgecam("run", "--config", file, state_dir=tmp_path)
    assert ended.returncode == 1
    (line,) = complaints(ended.stderr)
    assert f"127.0.0.1:{scene.daemon.port}" in line
    assert "in use" in line
    assert "[web] listen" in line
    assert "Traceback" not in ended.stderr


def test_a_wrong_configuration_ends_with_78_and_the_nearest_key(scene: Scene, tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text('[camera.front]\nsource = "test"\nqualty = "low"\n')
    for command in (("run", "--config", file), ("check-config", file)):
        ended = run_edgecam(*command, state_dir=tmp_path)
        assert ended.returncode == 78
        (line,) = complaints(ended.stderr)
        assert str(file) in line
        assert "qualty" in line
        assert "quality" in line
        assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("[camera.front\n", "wrong.toml:1:"),
        ('[camera.front]\nsource = "file"\n', "path"),
        ('[web]\nlisten = "everywhere"\n[camera.front]\nsource = "test"\n', "127.0.0.1:8088"),
        ('[camera.front]\nsource = "test"\nfps = "fast"\n', "fps"),
        ("", "camera"),
    ],
)
def test_each_wrong_configuration_is_one_line_that_says_what_would_be_right(
    scene: Scene, tmp_path: Path, text: str, mentions: str
) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    ended = run_edgecam("run", "--config", file, state_dir=tmp_path)
    assert ended.returncode == 78, ended
    (line,) = complaints(ended.stderr)
    assert mentions in line


def test_a_configuration_that_does_not_exist_is_said_to_be_missing(scene: Scene, tmp_path: Path) -> None:
    ended = run_edgecam("run", "--config", tmp_path / "absent.toml", state_dir=tmp_path)
    assert ended.returncode == 78
    (line,) = complaints(ended.stderr)
    assert "absent.toml" in line


def complaints(stderr: str) -> list[str]:
    """What a person reads: everything but the log."""
    lines = stderr.splitlines()
    assert all(line.startswith("edgecam: ") or json.loads(line) for line in lines), stderr
    return [line for line in lines if line.startswith("edgecam: ")]
