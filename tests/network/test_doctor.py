"""`edgecam doctor` on machines that something is wrong with: one cause each, and the code that it must be told by."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgecam.rtc.ice.servers import servers_of
from edgecam.rtc.ice.turn import Allocation
from edgecam.settings import IceServer
from tests.fakes.clock import wrong_clock
from tests.fakes.v4l2 import FakeV4l2, build_fake_v4l2
from tests.network.coturn import LONG_TERM, PASSWORD, SECRET, TIME_LIMITED, USER, coturn, time_limited_credentials
from tests.network.hosts import RemoteDaemon, RemoteServer
from tests.network.namespaces import PUBLIC_ADDRESS, Network, machine
from tests.network.patients import (
    CONE,
    EVERYTHING_DROPPED,
    NO_SENDING,
    RELAYING_DROPPED,
    SECOND_ADDRESS,
    SYMMETRIC,
    TEST_PICTURE,
    UDP_DROPPED,
    Home,
    Patient,
    certificate,
    home,
    ice,
)
from tests.network.sides import Side, side

STUN = f"stun:{PUBLIC_ADDRESS}:3478"
TURN = f"turn:{PUBLIC_ADDRESS}:3478?transport=udp"
TURN_TCP = f"turn:{PUBLIC_ADDRESS}:3478?transport=tcp"
TURNS = f"turns:{PUBLIC_ADDRESS}:5349?transport=tcp"
LOGIN = {"username": USER, "credential": PASSWORD}
TOKEN = "a token of the signaling server"


@pytest.fixture(scope="module")
def shared_home() -> Iterator[Home]:
    with home() as made:
        yield made


@pytest.fixture
def place(shared_home: Home) -> Home:
    """A camera at home, with a router that lets everything through and translates nothing."""
    for each in (shared_home.camera, shared_home.router, shared_home.internet):
        each.firewall("")
    return shared_home


@contextmanager
def standing_allocation(there: Side) -> Iterator[None]:
    """One of the user's allocations, for as long as that takes."""
    (server,) = servers_of([IceServer.model_validate({"urls": TURN, **LOGIN})])
    allocation = Allocation(server)
    there.run(allocation.open((PUBLIC_ADDRESS, 3478)))
    try:
        yield
    finally:
        there.run(allocation.release())


def signaling(port: int, **more: Any) -> dict[str, Any]:
    return {"signaling": {"home": {"url": f"ws://{PUBLIC_ADDRESS}:{port}/ws", "token": TOKEN, **more}}}


# nothing wrong


def test_a_healthy_camera_calls_itself_over_udp_tcp_and_tls(network: Network, tmp_path: Path) -> None:
    chain, key = certificate(tmp_path / "ca", PUBLIC_ADDRESS)
    with (
        coturn(network.public, tmp_path / "turn", f"{LONG_TERM}{TIME_LIMITED}", (chain, key)),
        RemoteServer(network.public, {"server": {"token": TOKEN}}, tmp_path / "server") as server,
    ):
        config = {**TEST_PICTURE, **signaling(server.port)}
        servers = ice([STUN, TURN, TURN_TCP, TURNS], secret=SECRET)
        patient = Patient(network.camera, tmp_path / "doctor", config, servers)
        found = patient.visit({"SSL_CERT_FILE": str(chain)})
    assert (found.verdict, found.code) == ("ok", 0), found.printed
    assert found.outcomes("turn") == ["ok"] * 3
    assert [call["subject"].split()[-1] for call in found.findings("call")] == ["udp", "tcp", "tls"]
    for call in found.findings("call"):
        assert call["facts"]["path"] == "relay"
        assert call["facts"]["fps"] > 3  # of 5
        assert 0 < call["facts"]["first_frame_ms"] < 5000
    assert found.finding("clock")["outcome"] == "ok"
    assert found.finding("nat")["facts"]["nat"] is False
    assert SECRET not in found.printed
    assert TOKEN not in found.printed


def test_what_a_person_reads(network: Network, tmp_path: Path) -> None:
    with coturn(network.public, tmp_path / "turn"):
        patient = Patient(
            network.camera, tmp_path / "doctor", TEST_PICTURE, ice([STUN, TURN], username=USER, credential="mistyped")
        )
        done = patient.run()
    assert done.returncode == 1
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert re.match(r"ok +camera front +test picture, 320x240", lines[0])
    (refused,) = [line for line in lines if line.startswith("problem")]
    assert refused.endswith("[turn-401]")
    assert "401" in refused
    assert re.match(r" +→ check username and credential", lines[lines.index(refused) + 1])
    (verdict,) = [line for line in lines if line.startswith("verdict: ")]
    assert verdict.startswith("verdict: turn-401. Check username")
    assert "mistyped" not in done.stdout


def test_a_running_daemon_keeps_its_camera(network: Network, tmp_path: Path) -> None:
    camera = FakeV4l2(build_fake_v4l2(tmp_path / "build"), tmp_path / "video0")
    camera.plug()
    config = {"camera": {"front": {"source": "v4l2", "device": str(camera.device), "quality": "low"}}}
    with (
        coturn(network.public, tmp_path / "turn"),
        RemoteDaemon(network.camera, config, tmp_path / "daemon") as daemon,
    ):
        daemon.env.update(camera.env)
        daemon.restart()
        daemon.wait_ready()
        web = {"web": {"listen": f"127.0.0.1:{daemon.port}", "token": daemon.token}}
        patient = Patient(network.camera, tmp_path / "doctor", {**config, **web}, ice(TURN, **LOGIN))
        units = daemon.camera()["units"]
        found = patient.visit(camera.env)
        assert daemon.camera()["restarts"] == 0
        assert daemon.camera()["units"] > units + 30, "the camera stood still meanwhile"
    assert (found.verdict, found.document["daemon_running"]) == ("ok", True), found.printed
    assert "the running daemon has it" in found.finding("camera")["detail"]
    assert found.outcomes("call") == ["ok"]


def test_without_a_daemon_no_token_of_one_is_missed(place: Home, tmp_path: Path) -> None:
    config = {**TEST_PICTURE, "web": {"listen": ":8088"}}
    found = Patient(place.camera, tmp_path / "doctor", config).visit()
    assert (found.verdict, found.document["daemon_running"]) == ("ok", False), found.printed


def test_without_a_camera_that_is_what_is_said(place: Home, tmp_path: Path) -> None:
    assert Patient(place.camera, tmp_path / "doctor", {}).visit().verdict == "camera-unconfigured"


# the camera


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("absent", "camera-absent"),
        ("busy", "camera-busy"),
        ("denied", "camera-denied"),
        ("hang-open", "camera-stalled"),
        ("eio", "camera-io"),
    ],
)
def test_a_camera_in_trouble(place: Home, tmp_path: Path, state: str, code: str) -> None:
    camera = FakeV4l2(build_fake_v4l2(tmp_path / "build"), tmp_path / "video0")
    if state != "absent":
        camera.set(state)
    config = {
        "camera": {"front": {"source": "v4l2", "device": str(camera.device), "quality": "low", "start_timeout": 1}}
    }
    found = Patient(place.camera, tmp_path / "doctor", config).visit(camera.env)
    assert (found.verdict, found.code) == (code, 1), found.printed
    assert found.outcomes("encoder") == ["skipped"]


def test_a_camera_that_gives_fewer_pictures_than_it_promised(place: Home, tmp_path: Path) -> None:
    camera = FakeV4l2(build_fake_v4l2(tmp_path / "build"), tmp_path / "video0")
    camera.set("dark")
    config = {"camera": {"front": {"source": "v4l2", "device": str(camera.device), "quality": "low"}}}
    found = Patient(place.camera, tmp_path / "doctor", config).visit(camera.env)
    assert found.verdict == "camera-slow", found.printed
    assert 2 < found.finding("camera")["facts"]["fps"] < 15
    assert found.outcomes("encoder") == ["ok"], "it is not the encoder's fault"


def test_an_encoder_for_which_the_picture_is_too_large(place: Home, tmp_path: Path) -> None:
    config = {"camera": {"front": {"source": "test", "width": 4096, "height": 2160, "fps": 120, "encoder": "libx264"}}}
    found = Patient(place.camera, tmp_path / "doctor", config).visit()
    assert found.verdict == "encoder-slow", found.printed
    assert found.outcomes("camera") == ["ok"], "it is not the camera's fault"
    assert found.finding("encoder")["facts"]["encode_ms"] > 1000 / 120


def test_an_encoder_that_this_machine_does_not_have(place: Home, tmp_path: Path) -> None:
    config = {"camera": {"front": {"source": "test", "encoder": "h264_v4l2m2m"}}}
    found = Patient(place.camera, tmp_path / "doctor", config).visit()
    assert found.verdict == "encoder-failed", found.printed
    assert found.outcomes("camera") == ["ok"]


# signaling


def test_signaling_that_wants_another_token(network: Network, tmp_path: Path) -> None:
    with RemoteServer(network.public, {"server": {"token": TOKEN}}, tmp_path / "server") as server:
        config = {**TEST_PICTURE, **signaling(server.port, token="another token, mistyped")}
        found = Patient(network.camera, tmp_path / "doctor", config).visit()
    assert found.verdict == "signaling-auth", found.printed
    assert found.outcomes("clock") == ["ok"], "a server that refuses tells the time all the same"
    assert "mistyped" not in found.printed


def test_signaling_where_nothing_listens(place: Home, tmp_path: Path) -> None:
    found = Patient(place.camera, tmp_path / "doctor", {**TEST_PICTURE, **signaling(9)}).visit()
    assert found.verdict == "signaling-refused", found.printed
    assert "nothing listens" in found.finding("signaling")["detail"]


def test_signaling_by_a_name_that_does_not_exist(place: Home, tmp_path: Path) -> None:
    config = {**TEST_PICTURE, "signaling": {"home": {"url": "wss://signal.invalid/ws"}}}
    started = time.monotonic()
    found = Patient(place.camera, tmp_path / "doctor", config).visit()
    assert found.verdict == "signaling-dns", found.printed
    assert time.monotonic() - started < 15


def test_signaling_over_tls_with_a_certificate_of_nobody_and_one_of_the_future(place: Home, tmp_path: Path) -> None:
    """The second is what a clock in the past looks like where nobody else tells the time."""
    verdicts = []
    for number, starts in enumerate((0, 20_000)):
        chain, key = certificate(tmp_path / f"ca{number}", PUBLIC_ADDRESS, starts_in_days=starts)
        with coturn(place.internet, tmp_path / f"turn{number}", certificate=(chain, key)):
            config = {**TEST_PICTURE, "signaling": {"home": {"url": f"wss://{PUBLIC_ADDRESS}:5349/ws"}}}
            trusted = {"SSL_CERT_FILE": str(chain)} if starts else None
            found = Patient(place.camera, tmp_path / f"doctor{number}", config).visit(trusted)
            assert found.outcomes("signaling") == ["signaling-tls"], found.printed
            verdicts.append(found.verdict)
    assert verdicts == ["signaling-tls", "clock-wrong"]


# STUN and TURN


def test_a_machine_without_a_network(tmp_path: Path) -> None:
    with machine("alone") as alone:
        config = {**TEST_PICTURE, **signaling(9)}
        found = Patient(alone, tmp_path / "doctor", config, ice([STUN, TURN], **LOGIN)).visit()
    assert found.verdict == "network-down", found.printed


def test_udp_blocked_by_a_firewall_while_tcp_gets_through(network: Network, tmp_path: Path) -> None:
    with coturn(network.public, tmp_path / "turn"):
        network.public.firewall(UDP_DROPPED)
        patient = Patient(network.camera, tmp_path / "doctor", TEST_PICTURE, ice([STUN, TURN, TURN_TCP], **LOGIN))
        found = patient.visit()
    assert found.verdict == "udp-blocked", found.printed
    assert found.outcomes("stun") == ["udp-blocked"]
    assert found.outcomes("turn") == ["udp-blocked", "ok"]
    assert found.outcomes("call") == ["ok"], "what works is tried: viewers get through over TCP"


def test_udp_blocked_on_this_very_machine(place: Home, tmp_path: Path) -> None:
    place.camera.firewall(NO_SENDING)
    found = Patient(place.camera, tmp_path / "doctor", TEST_PICTURE, ice(STUN)).visit()
    assert found.verdict == "udp-blocked", found.printed
    assert "not permitted" in found.finding("stun")["detail"]


def test_a_stun_server_that_is_silent(place: Home, tmp_path: Path) -> None:
    found = Patient(place.camera, tmp_path / "doctor", TEST_PICTURE, ice(STUN)).visit()
    assert found.verdict == "stun-silent", found.printed
    assert "refused" in found.finding("stun")["detail"], "what ICMP says is passed on"


def test_a_turn_server_that_is_not_there(place: Home, tmp_path: Path) -> None:
    place.internet.firewall(EVERYTHING_DROPPED)
    patient = Patient(place.camera, tmp_path / "doctor", TEST_PICTURE, ice([TURN, TURN_TCP, TURNS], **LOGIN))
    found = patient.visit()
    assert found.verdict == "turn-unreachable", found.printed
    assert found.outcomes("turn") == ["turn-unreachable"] * 3
    assert found.outcomes("call") == ["skipped"]


def test_credentials_that_are_over_and_a_secret_that_is_wrong(network: Network, tmp_path: Path) -> None:
    with coturn(network.public, tmp_path / "turn", TIME_LIMITED):
        _, password = time_limited_credentials("anybody")
        over = ice(TURN, username=f"{int(time.time()) - 7200}:anybody", credential=password)
        found = Patient(network.camera, tmp_path / "over", TEST_PICTURE, over).visit()
        assert found.verdict == "credential-expired", found.printed
        assert "2 hours ago" in found.finding("turn")["detail"]
        wrong = ice(TURN, secret="another secret, mistyped")
        found = Patient(network.camera, tmp_path / "wrong", TEST_PICTURE, wrong).visit()
        assert found.verdict == "turn-401", found.printed
        assert "mistyped" not in found.printed


def test_credentials_minted_by_a_clock_that_is_three_days_slow(network: Network, tmp_path: Path) -> None:
    with (
        coturn(network.public, tmp_path / "turn", TIME_LIMITED),
        RemoteServer(network.public, {"server": {"token": TOKEN}}, tmp_path / "server") as server,
    ):
        patient = Patient(
            network.camera, tmp_path / "doctor", {**TEST_PICTURE, **signaling(server.port)}, ice(TURN, secret=SECRET)
        )
        found = patient.visit(wrong_clock(-3 * 86_400, tmp_path / "build"))
    assert found.verdict == "clock-wrong", found.printed
    assert "3 days slow" in found.finding("clock")["detail"]
    assert found.outcomes("turn") == ["clock-wrong"]


def test_a_turn_server_where_this_user_has_all_it_may_have(network: Network, tmp_path: Path) -> None:
    with (
        coturn(network.public, tmp_path / "turn", f"{LONG_TERM}user-quota=1\n"),
        side(network.camera) as there,
        standing_allocation(there),
    ):
        found = Patient(network.camera, tmp_path / "doctor", TEST_PICTURE, ice([TURN, TURN_TCP], **LOGIN)).visit()
    assert found.outcomes("turn") == ["turn-quota"] * 2, found.printed
    assert (found.verdict, found.outcomes("call")) == ("turn-quota", ["skipped"])


def test_a_turn_server_that_refuses_in_the_middle_of_the_call(network: Network, tmp_path: Path) -> None:
    """One allocation for a user: the doctor gets and returns it, the call needs two at once."""
    with coturn(network.public, tmp_path / "turn", f"{LONG_TERM}user-quota=1\n"):
        found = Patient(network.camera, tmp_path / "doctor", TEST_PICTURE, ice(TURN, **LOGIN)).visit()
    assert found.outcomes("turn") == ["ok"], found.printed
    assert (found.verdict, found.outcomes("call")) == ("turn-quota", ["turn-quota"]), found.printed
    assert "486" in found.finding("call")["remedy"]


def test_a_turn_server_that_relays_no_udp(network: Network, tmp_path: Path) -> None:
    with coturn(network.public, tmp_path / "turn", f"{LONG_TERM}no-udp-relay\n"):
        found = Patient(network.camera, tmp_path / "doctor", TEST_PICTURE, ice([TURN, TURN_TCP], **LOGIN)).visit()
    assert found.outcomes("turn") == ["turn-forbidden"] * 2, found.printed
    assert found.verdict == "turn-forbidden"
    assert found.findings("turn")[0]["facts"]["number"] == 442


def test_turn_over_tls_with_a_certificate_of_nobody(network: Network, tmp_path: Path) -> None:
    with coturn(network.public, tmp_path / "turn", certificate=certificate(tmp_path / "ca", PUBLIC_ADDRESS)):
        found = Patient(network.camera, tmp_path / "doctor", TEST_PICTURE, ice(TURNS, **LOGIN)).visit()
    assert found.verdict == "turn-tls", found.printed


@pytest.mark.parametrize("cause", ["firewall", "denied peer"])
def test_a_relay_that_gives_addresses_and_relays_nothing(network: Network, tmp_path: Path, cause: str) -> None:
    mechanism = LONG_TERM if cause == "firewall" else f"{LONG_TERM}denied-peer-ip={PUBLIC_ADDRESS}\n"
    with coturn(network.public, tmp_path / "turn", mechanism):
        if cause == "firewall":
            network.public.firewall(RELAYING_DROPPED)
        found = Patient(network.camera, tmp_path / "doctor", TEST_PICTURE, ice(TURN, **LOGIN)).visit()
    assert found.outcomes("turn") == ["ok"]
    assert found.verdict == "relay-no-media", found.printed


# NATs


@pytest.mark.parametrize("kind", ["cone", "symmetric", "symmetric with TURN"])
def test_the_kind_of_nat_and_whether_it_matters(place: Home, tmp_path: Path, kind: str) -> None:
    place.router.firewall(CONE if kind == "cone" else SYMMETRIC)
    both = f"{LONG_TERM}listening-ip={SECOND_ADDRESS}\n"
    with coturn(place.internet, tmp_path / "turn", both):
        servers = ice([STUN, f"stun:{SECOND_ADDRESS}:3478"])
        if kind == "symmetric with TURN":
            servers += ice(TURN, **LOGIN)
        found = Patient(place.camera, tmp_path / "doctor", TEST_PICTURE, servers).visit()
    expected = "nat-symmetric" if kind == "symmetric" else "ok"
    assert found.verdict == expected, found.printed
    facts = found.finding("nat")["facts"]
    assert (facts["nat"], facts["symmetric"]) == (True, kind != "cone")


def test_a_second_address_of_one_server_tells_the_kind_of_nat_too(place: Home, tmp_path: Path) -> None:
    """RFC 5780."""
    place.router.firewall(SYMMETRIC)
    with coturn(place.internet, tmp_path / "turn", f"{LONG_TERM}listening-ip={SECOND_ADDRESS}\nrfc5780\n"):
        found = Patient(place.camera, tmp_path / "doctor", TEST_PICTURE, ice(STUN)).visit()
    assert found.verdict == "nat-symmetric", found.printed


# credentials from a service


def test_a_service_for_credentials_that_does_not_answer(place: Home, tmp_path: Path) -> None:
    servers = ice([TURN], credentials_url=f"http://{PUBLIC_ADDRESS}:9/credentials?key=a-secret-key")
    found = Patient(place.camera, tmp_path / "doctor", TEST_PICTURE, servers).visit()
    assert found.verdict == "credentials-unreachable", found.printed
    assert "a-secret-key" not in found.printed
