"""Sockets that are opened ahead behind a NAT: the answer itself has the public address, whatever the STUN server does by then."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from aiortc import RTCIceServer

from tests.network.coturn import PORT, Coturn
from tests.network.matrix import STUN, ice_settings, town
from tests.network.nats import CAMERA_LAN, Homes
from tests.network.sides import CameraSide, Side, calling, camera_side, side, until

PUBLIC = "203.0.113.2"  # the camera's router
DEAF = f"table inet deaf {{\n chain input {{\n type filter hook input priority filter;\n udp dport {PORT} drop;\n }}\n}}\n"


@pytest.fixture(scope="module")
def built() -> Iterator[tuple[Homes, Coturn]]:
    with town() as both:
        yield both


@pytest.fixture
def made(built: tuple[Homes, Coturn]) -> Homes:
    made, _server = built
    made.routers("cone", "cone")
    return made


@pytest.fixture
def camera(made: Homes) -> Iterator[CameraSide]:
    """Sets are ready."""
    with camera_side(made.camera, ice_settings([STUN])) as there:
        until(lambda: ready(there) == 2, within=10)
        yield there


@pytest.fixture
def viewer(made: Homes) -> Iterator[Side]:
    with side(made.viewer) as there:
        yield there


def ready(camera: CameraSide) -> int:
    return int(camera.stage.viewers.sockets.as_dict()["ready"])


def addresses(answer: str, kind: str) -> list[str]:
    return re.findall(rf"a=candidate:\S+ 1 udp \d+ (\S+) \d+ typ {kind}", answer)


async def called(camera: CameraSide, number: int, servers: list[RTCIceServer]) -> tuple[float, str]:
    async with calling(camera, f"viewer-{number}", servers, browserlike=True) as call:
        return call.answered_ms, call.description


def test_the_answer_has_the_public_address_within_20_ms(made: Homes, camera: CameraSide, viewer: Side) -> None:
    took = []
    for number in range(5):
        until(lambda: ready(camera) == 2, within=10)
        milliseconds, answer = viewer.run(called(camera, number, []))
        assert addresses(answer, "srflx") == [PUBLIC]
        assert addresses(answer, "host") == [f"{CAMERA_LAN}.2", "2001:db8:1::2"]
        assert "a=end-of-candidates" in answer, "there is nobody left to ask"
        took.append(milliseconds)
    print(f"answered within {took} ms")
    assert min(took) <= 20
    assert camera.stage.viewers.sockets.made >= 5


def test_it_has_it_though_the_stun_server_has_gone_and_more_viewers_are_answered_without(
    made: Homes, camera: CameraSide, viewer: Side
) -> None:
    made.public.firewall(DEAF)
    answers = [viewer.run(called(camera, number, []))[1] for number in range(3)]
    assert [addresses(answer, "srflx") for answer in answers] == [[PUBLIC], [PUBLIC], []]
    assert all(addresses(answer, "host") for answer in answers)


def test_such_a_socket_is_the_one_that_gets_through(made: Homes, camera: CameraSide, viewer: Side) -> None:
    async def watch() -> str:
        async with calling(camera, ice_servers=[RTCIceServer(STUN)]) as call:
            await call.pictures()
            (session,) = camera.stage.viewers
            assert session.path is not None
            return session.path.kind

    assert viewer.run(watch()) == "direct"


def test_when_the_address_changes_other_sockets_are_made_ready(made: Homes, camera: CameraSide, viewer: Side) -> None:
    before = camera.stage.viewers.sockets.made
    made.readdress("2", "3")
    try:
        until(lambda: camera.stage.viewers.sockets.made >= before + 2 and ready(camera) == 2, within=15)
        _, answer = viewer.run(called(camera, 0, []))
        assert addresses(answer, "host")[0] == f"{CAMERA_LAN}.3"
        assert addresses(answer, "srflx") == [PUBLIC]
    finally:
        made.readdress("3", "2")
