"""The camera in rooms: getting in, calling whoever is there, and telling them apart."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from edgecam.errors import ConfigError
from edgecam.health import HealthBoard
from edgecam.settings.signaling import RoomsSignaling
from edgecam.signaling import rooms as dialect
from edgecam.signaling import rooms_calling
from edgecam.signaling.rooms import RoomsExchange
from tests.signaling.rooms_scene import Answer, House, Side, rooms
from tests.signaling.scene import Recorder, run
from tests.signaling.test_rooms_wire import anything

LINE = "candidate:1 1 udp 2122 192.0.2.1 5000 typ host"
LOGIN: dict[str, Any] = {"login_path": "/login", "login": "camera", "password": "opensesame"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Waits that are made for people, shortened: what is tested is their order."""
    monkeypatch.setattr(rooms_calling, "ENTERING", 0.05)
    monkeypatch.setattr(rooms_calling, "CALL_AGAIN", 0.05)
    monkeypatch.setattr(rooms_calling, "NOTICED", 0.05)
    monkeypatch.setattr(rooms_calling, "NEGOTIATING", 0.1)
    monkeypatch.setattr(dialect, "ACCEPTED", 0.02)
    monkeypatch.setattr(dialect, "ROOM_RETRY", (0.01, 0.02))
    return iter([None])


async def offers(side: Side, count: int) -> list[dict[str, object]]:
    return [await side.hears("offer") for _ in range(count)]


# getting in


def test_the_camera_makes_a_room_and_comes_back_to_it_and_makes_another_when_it_is_gone() -> None:
    house = House()

    async def main() -> None:
        async with rooms(house) as camera:
            side = await house.camera()
            assert await camera.until("running") == f"front is in room r1 of {camera.url}/"
            await side.close()
            side = await house.camera()
            house.rooms.clear()
            await side.close()
            await house.camera()
        path = "/ws/r1"
        assert house.asked == [
            "POST /create-room", f"GET {path}", "POST /join-room/r1", f"GET {path}", "POST /join-room/r1",
            "POST /create-room", f"GET {path}",
        ]  # fmt: skip

    run(main)


def test_the_room_outlives_the_daemon_but_not_a_change_of_server(tmp_path: Path) -> None:
    house = House()

    async def main() -> None:
        async with house.listening() as here:
            for _ in range(2):
                async with rooms(house, at=here, state_dir=tmp_path / "state") as camera:
                    await camera.until("running")
            assert house.asked == ["POST /create-room", "GET /ws/r1", "POST /join-room/r1", "GET /ws/r1"]
        house.asked.clear()
        async with rooms(house, state_dir=tmp_path / "state") as camera:  # on another port
            await camera.until("running")
        assert house.asked == ["POST /create-room", "GET /ws/r1"]
        assert (tmp_path / "state" / "room-home-front").stat().st_mode & 0o077 == 0

    run(main)


def test_a_server_may_want_get_and_a_name_and_answer_in_its_own_way() -> None:
    house = House()

    async def post_is_not_allowed(request: web.Request) -> web.Response:
        return web.json_response({"room": {"id": 17}}, status=200 if request.method == "GET" else 405)

    house.answers = {
        "/create-room": post_is_not_allowed,
        "/ws/17": lambda request: _status(403),
        "/ws/17/front": house.socket,
    }

    async def main() -> None:
        async with rooms(house) as camera:
            await house.camera()
            assert "front is in room 17" in await camera.until("running")

    run(main)
    assert house.asked == ["POST /create-room", "GET /create-room", "GET /ws/17", "GET /ws/17/front"]


async def _status(status: int, body: object = None, **headers: str) -> web.Response:
    return web.json_response(body, status=status, headers=headers)


def test_paths_are_filled_in_and_names_are_escaped() -> None:
    house = House()
    house.answers = {"/api/yard front/ws": house.socket}

    async def main() -> None:
        paths: dict[str, Any] = {
            "join_path": "/api/rooms/{room}/join?by={user}", "socket_path": "/api/{room}/ws?key={token}", "method": "get"
        }  # fmt: skip
        house.answers["/api/rooms/yard front/join"] = lambda request: _status(200)
        async with rooms(house, room="yard {camera}", user="the {camera}", token="a&b", **paths):
            await house.camera()

    run(main)
    assert house.asked == ["GET /api/rooms/yard%20front/join?by=the%20front", "GET /api/yard%20front/ws?key=a%26b"]
    assert {headers["Authorization"] for headers in house.headers} == {"Bearer a&b"}


def test_a_room_that_others_are_to_make_is_waited_for() -> None:
    house = House()

    async def main() -> None:
        async with rooms(house, room="r2", create_path="") as camera:
            assert "has no room r2; waiting for it" in await camera.until("waiting", "signaling-refused")
            house.rooms.add("r2")
            await house.camera()
            await camera.until("running")

    run(main)


def test_a_room_whose_server_says_error_with_status_200_is_gone() -> None:
    house = House()
    house.answers = {"/join-room/r9": lambda request: _status(200, {"error": "Room not found"})}

    async def main() -> None:
        async with rooms(house, room="r9") as camera:
            await house.camera()
            assert "front is in room r1" in await camera.until("running")

    run(main)


# tokens


def logins(house: House, *, ways: tuple[str, ...] = ("username",), expires: float | None = None) -> list[dict[str, str]]:
    """Have the house want a token: `ways` are the fields that its login knows; the bodies of the logins that came."""
    came: list[dict[str, str]] = []

    async def login(request: web.Request) -> web.Response:
        form = request.content_type == "application/x-www-form-urlencoded"
        body = {key: str(value) for key, value in (await request.post()).items()} if form else await request.json()
        came.append(body)
        if not any(way in body for way in ways) or form != ("form" in ways):
            return web.json_response({"detail": [{"msg": "field required"}]}, status=422)
        if body["password"] != "opensesame":
            return web.json_response({"detail": "Incorrect"}, status=401)
        more = {} if expires is None else {"expires_in": expires}
        return web.json_response({"access_token": f"token{len(came)}", **more})

    house.answers["/login"] = login
    return came


@pytest.mark.parametrize(
    ("name", "ways", "attempts"), [("cam", ("username",), 1), ("cam@x", ("email",), 1), ("cam", ("username", "form"), 3)]
)
def test_the_login_is_written_as_the_server_wants_it(name: str, ways: tuple[str, ...], attempts: int) -> None:
    house = House()
    came = logins(house, ways=ways)

    async def main() -> None:
        async with rooms(house, **LOGIN | {"login": name}) as camera:
            await house.camera()
            await camera.until("running")

    run(main)
    assert len(came) == attempts
    assert house.headers[-1]["Authorization"] == f"Bearer token{attempts}"


def test_a_token_that_has_expired_is_renewed_when_the_server_says_so_or_before() -> None:
    house = House()
    came = logins(house)

    async def main() -> None:
        async with rooms(house, **LOGIN) as camera:
            side = await house.camera()
            await camera.until("running")
            await side.close(1008)
            side = await house.camera()
            assert len(came) == 2
            house.answers["/join-room/r1"] = _refusing_once(house)
            await side.close()
            await house.camera()
            assert len(came) == 3

    run(main)


def _refusing_once(house: House) -> Answer:
    async def refuse(request: web.Request) -> web.Response:
        del house.answers["/join-room/r1"]
        return web.json_response({"detail": "expired"}, status=401)

    return refuse


def test_a_wrong_password_is_named_and_not_tried_again_soon() -> None:
    house = House()
    came = logins(house)

    async def main() -> None:
        async with rooms(house, **LOGIN | {"password": "guess"}) as camera:
            detail = await camera.until("waiting", "signaling-auth")
            assert "HTTP 401 at the login of 'camera': wrong user name or password" in detail
            assert "check [signaling.home] login and password" in detail
            assert "guess" not in detail
            await asyncio.sleep(0.2)  # many times what the backoff would wait

    run(main)
    assert len(came) == 1


def test_a_server_that_opens_the_socket_and_closes_it_at_once_has_refused() -> None:
    house = House()

    async def main() -> None:
        async with rooms(house) as camera:
            await (await house.camera()).close(4003)
            assert "closes the connection at once (code 4003)" in await camera.until("waiting", "signaling-refused")

    run(main)


# calling


def test_an_offer_is_said_again_in_either_form_until_it_is_answered() -> None:
    house = House()

    async def main() -> None:
        async with rooms(house) as camera:
            side = await house.camera()
            said = await offers(side, 3)
            text = "offer of front"
            assert [offer["sdp"] for offer in said] == [text, {"type": "offer", "sdp": text}, text]
            await side.say(type="answer", sdp={"type": "answer", "sdp": "theirs"})
            await camera.sessions.recorded("accept_answer", "viewer", "theirs")
            await side.say(type="answer", sdp={"type": "answer", "sdp": "theirs"})
            await side.say(type="offer", sdp={"type": "offer", "sdp": "hello"})
            assert (await side.hears("answer"))["sdp"] == {"type": "answer", "sdp": "answer of front to hello"}
            kinds = [call[0] for call in camera.sessions.calls]
            assert kinds == ["offer", "accept_answer", "answer"]

    run(main)


def test_an_offer_that_nobody_answers_is_made_anew_when_it_is_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms_calling, "STALE", 0.2)
    house = House()

    async def main() -> None:
        async with rooms(house) as camera:
            side = await house.camera()
            while camera.sessions.calls.count(("offer", "viewer")) < 2:
                await side.hears("offer")

    run(main)


def test_candidates_that_come_before_the_offer_or_the_answer_follow_it_and_the_end_of_them_is_no_matter() -> None:
    house = House()

    async def main() -> None:
        async with rooms(house) as camera:
            side = await house.camera()
            await side.hears("offer")
            for candidate in ({"candidate": LINE, "sdpMid": "0"}, None, ""):
                await side.say(type="ice-candidate", candidate=candidate)
            await side.say(type="offer", sdp="hello")
            await side.hears("answer")
            await camera.sessions.recorded("candidate", "viewer", "end")
            calls = camera.sessions.calls
            assert calls[:3] == [("offer", "viewer"), ("answer", "viewer", "hello"), ("candidate", "viewer", LINE)]

    run(main)


def test_what_the_relay_sends_back_to_the_camera_is_not_taken_for_a_viewers() -> None:
    house = House()

    async def main() -> None:
        async with rooms(house) as camera:
            side = await house.camera()
            offer = await side.hears("offer")
            await side.say(**offer)
            await side.say(type="message", **{"from": "c7", "data": offer})  # by which it learns who it is itself
            await side.say(type="user-joined", user_id="c7")
            await side.say(type="offer", sdp="theirs")
            await side.hears("answer")
            assert [call for call in camera.sessions.calls if call[0] == "answer"] == [("answer", "viewer", "theirs")]
            assert not any(call[1] == "c7" for call in camera.sessions.calls)

    run(main)


def test_viewers_that_the_server_names_are_called_one_by_one_and_those_who_leave_are_forgotten() -> None:
    house = House()

    async def main() -> None:
        async with rooms(house) as camera:
            side = await house.camera()
            await side.say(type="user-joined", user_id="anna")
            await side.say(type="participants", users=["anna", "bert"])
            called = {(await side.hears("offer")).get("to") for _ in range(8)}
            assert {"anna", "bert"} <= called
            await side.say(type="message", **{"from": "bert", "data": {"type": "answer", "sdp": "of bert"}})
            await camera.sessions.recorded("accept_answer", "bert", "of bert")
            await side.say(type="offer", sdp="of anna", **{"from": "anna"})
            answer = await side.hears("answer")
            assert (answer["to"], answer["sdp"]) == ("anna", "answer of front to of anna")
            await side.say(type="user-left", user_id="bert")
            await camera.sessions.recorded("signaling_lost", "bert")
            await side.say(type="bye", **{"from": "anna"})
            await camera.sessions.recorded("close", "anna", "the viewer hung up")

    run(main)


def test_who_answers_a_call_to_anybody_keeps_that_session_and_a_second_one_is_called_by_name() -> None:
    house = House()

    async def main() -> None:
        async with rooms(house) as camera:
            side = await house.camera()
            await side.hears("offer")
            await side.say(**{"from": "anna", "data": {"type": "answer", "sdp": "of anna"}})
            await camera.sessions.recorded("accept_answer", "viewer", "of anna")
            await side.say(**{"from": "anna", "data": {"type": "ice-candidate", "candidate": {"candidate": LINE}}})
            await camera.sessions.recorded("candidate", "viewer", LINE)
            await side.say(**{"from": "bert", "data": {"type": "answer", "sdp": "of bert"}})
            while (await side.hears("offer")).get("to") != "bert":
                pass
            assert ("accept_answer", "bert", "of bert") not in camera.sessions.calls

    run(main)


def test_nobody_is_called_while_somebody_watches_and_the_session_outlives_the_connection() -> None:
    house = House()

    async def main() -> None:
        sessions = Recorder()
        async with rooms(house, sessions=sessions) as camera:
            side = await house.camera()
            await side.say(type="offer", sdp="hello")
            await side.hears("answer")
            sessions.living.add("viewer")
            before = list(sessions.calls)
            await side.close()
            side = await house.camera()
            await camera.until("running")
            await asyncio.sleep(0.3)  # six times what the camera waits between two calls
            assert sessions.calls == before
            await side.say(type="user-joined")  # it comes back, as the camera has
            await asyncio.sleep(0.2)
            assert sessions.calls == before

    run(main)


def test_malformed_messages_and_errors_of_the_server_harm_nothing() -> None:
    house = House()

    async def main() -> None:
        async with rooms(house) as camera:
            side = await house.camera()
            for body in ({"type": "offer"}, {"type": "offer", "sdp": 5}, {"type": "error", "message": "no\nway"}, {"data": 7}):
                await side.say(**body)
            await side._ws.send_str("Client #3 has joined the chat")
            await side._ws.send_bytes(b"\xff")
            await side._ws.send_bytes(json.dumps({"type": "offer", "sdp": "in bytes"}).encode())
            await camera.sessions.recorded("answer", "viewer", "in bytes")
            await camera.until("running")

    run(main)


def test_nothing_that_is_said_in_a_room_harms_the_camera() -> None:
    house = House()
    chance = random.Random(7)

    async def main() -> None:
        async with rooms(house) as camera:
            side = await house.camera()
            for number in range(3000):
                await side._ws.send_str(json.dumps(anything(chance, 3)))
                who = f"u{chance.randrange(200)}"
                kind = chance.choice(("offer", "answer", "ice-candidate", "user-joined", "user-left", "bye"))
                await side.say(type=kind, sdp=f"sdp {number % 50}", user_id=who, candidate=None, **{"from": who})
            await side.say(type="offer", sdp="the last", **{"from": "z"})
            await camera.sessions.recorded("answer", "z", "the last")
            await camera.until("running")

    run(main)


def test_two_cameras_are_not_put_into_one_room() -> None:
    section = RoomsSignaling.model_validate({"type": "rooms", "url": "http://127.0.0.1", "room": "hall"})
    with pytest.raises(ConfigError, match=r"hall-\{camera\}"):
        RoomsExchange("home", section, {"front": "", "yard": ""}, Recorder(), HealthBoard())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"join_path": "/join/{rom}"}, r"\{room\}, \{camera\}, \{user\} may stand there"),
        ({"create_path": "/make/{room"}, "braces that cannot be filled in"),
        ({"socket_path": "ws/{room}"}, "no path on a server"),
        ({"join_path": "/join/{token}"}, "braces that cannot be filled in"),
        ({"login_path": "/login", "login": "camera"}, "login_path needs login and password"),
        ({"create_path": ""}, "name one in room"),
    ],
)
def test_settings_that_cannot_work_say_why(wrong: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        RoomsSignaling.model_validate({"type": "rooms", "url": "http://127.0.0.1", **wrong})
