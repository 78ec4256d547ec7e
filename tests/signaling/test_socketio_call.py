"""The camera among people: what it says to whom, against a Socket.IO server that does what the test says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from edgecam.errors import ConfigError, SignalingError, ViewerRefusedError
from edgecam.health import HealthBoard
from edgecam.peers import Candidate
from edgecam.settings.signaling import SocketioCallSignaling
from edgecam.signaling import socketio_call
from edgecam.signaling.calls import CallState
from edgecam.signaling.socketio_call import CallExchange
from edgecam.supervisor import Backoff
from tests.signaling.scene import run
from tests.signaling.socketio_scene import ANNA, CAMERA, Endings, Post, Town, calling, post

OFFER = "v=0\r\na=ice-ufrag:aaaa\r\n"
LATER = "v=0\r\na=ice-ufrag:bbbb\r\n"
LINE = "candidate:1 1 udp 1 192.0.2.7 50000 typ host"


def offer(sdp: str = OFFER, **more: Any) -> dict[str, Any]:
    return {"from": ANNA, "sdp": {"type": "offer", "sdp": sdp}, "conversation_id": "c1", **more}


def ice(ufrag: str | None = "aaaa", line: str = LINE) -> dict[str, Any]:
    candidate = {"candidate": line, "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": ufrag}
    return {"from": ANNA, "candidate": candidate, "conversation_id": "c1"}


async def joined(server: Post, town: Town) -> None:
    await server.until("user_joined")
    await town.until("running")


def test_it_logs_in_and_joins_and_again_over_every_connection_with_the_same_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socketio_call, "FRESH", 0.0)

    async def main() -> None:
        async with post() as server, calling(server) as town:
            assert await server.until("user_joined") == {"email": CAMERA, "token": "token-1"}
            await town.until("running")
            await server.drop()
            assert await server.until("user_joined") == {"email": CAMERA, "token": "token-1"}
            assert server.attempts == [{"email": CAMERA, "password": "secret"}]

    run(main)


def test_a_connection_that_ends_at_once_after_joining_makes_it_log_in_anew() -> None:
    async def main() -> None:
        async with post() as server, calling(server):
            await server.until("user_joined")
            await server.drop()
            assert await server.until("user_joined") == {"email": CAMERA, "token": "token-2"}

    run(main)


@pytest.mark.parametrize("said", ["Token has expired", "jwt malformed", "401 Unauthorized", "invalid token"])
def test_an_error_about_the_token_makes_it_log_in_anew_on_the_same_socket(said: str) -> None:
    async def main() -> None:
        async with post() as server, calling(server) as town:
            await joined(server, town)
            await server.emit("error", {"message": said})
            assert await server.until("user_joined") == {"email": CAMERA, "token": "token-2"}
            assert len(server.sids) == 1
            await server.emit("error", {"message": said})  # not even the new one: perhaps the connection is at fault
            await town.until("waiting", "signaling-auth")
            assert await server.until("user_joined") == {"email": CAMERA, "token": "token-3"}
            assert len(server.sids) == 2

    run(main)


def test_a_wrong_password_is_said_clearly_and_tried_again_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socketio_call, "PASSWORD_RETRY", (0.5, 0.5))

    async def main() -> None:
        async with post() as server:
            server.logins = [401]
            loop = asyncio.get_running_loop()
            started = loop.time()
            async with calling(server) as town:
                detail = await town.until("waiting", "signaling-auth")
                assert f"does not accept the password of {CAMERA}; correct email and password in [signaling.town]" in detail
                assert "secret" not in detail
                await joined(server, town)
                assert loop.time() - started >= 0.5
                assert len(server.attempts) == 2

    run(main)


@pytest.mark.parametrize(("status", "code"), [(404, "signaling-refused"), (503, "signaling-unreachable"), (302, "signaling-refused")])
def test_a_login_that_does_not_work_is_named_and_tried_again(status: int, code: str) -> None:
    async def main() -> None:
        async with post() as server:
            server.logins = [status]
            async with calling(server) as town:
                assert f"HTTP {status}" in await town.until("waiting", code)
                await joined(server, town)

    run(main)


def test_a_server_without_logins_is_joined_without_a_token() -> None:
    async def main() -> None:
        async with post() as server, calling(server, login_path=""):
            assert await server.until("user_joined") == {"email": CAMERA}
            assert server.attempts == []

    run(main)


@pytest.mark.parametrize("sdp", [{"type": "offer", "sdp": OFFER}, OFFER])
@pytest.mark.parametrize("conversation", ["c1", 42, {"id": 7}])
def test_an_offer_is_answered_to_whom_it_came_from_in_the_same_conversation(sdp: object, conversation: object) -> None:
    async def main() -> None:
        async with post() as server, calling(server) as town:
            await joined(server, town)
            await server.emit("call.offer", {"from": "Anna@Calls.example", "sdp": sdp, "conversation_id": conversation}, "further")
            answer = await server.until("call.answer")
            assert answer["to"] == "Anna@Calls.example"
            assert answer["conversation_id"] == conversation
            assert answer["sdp"] == {"type": "answer", "sdp": f"answer of front to {OFFER}"}

    run(main)


def test_the_conversation_of_an_invitation_is_used_where_the_offer_has_none() -> None:
    async def main() -> None:
        async with post() as server, calling(server) as town:
            await joined(server, town)
            await server.emit("call.invite", {"from": ANNA, "conversation_id": "c9", "meta": {}})
            await server.emit("call.offer", offer(conversation_id=None))
            assert (await server.until("call.answer"))["conversation_id"] == "c9"

    run(main)


def test_what_comes_three_times_is_done_once_and_what_is_sent_again_later_is_answered_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with post() as server, calling(server) as town:
            await joined(server, town)
            for _ in range(3):
                await server.emit("call.offer", offer())
            for _ in range(3):
                await server.emit("call.ice", ice())
            first = await server.until("call.answer")
            await server.nothing_more()
            monkeypatch.setattr("edgecam.signaling.repeats.WITHIN", 0.0)
            await server.emit("call.offer", offer())
            assert await server.until("call.answer") == first
            assert town.sessions.calls == [("answer", ANNA, OFFER), ("candidate", ANNA, LINE)]

    run(main)


def test_candidates_that_come_before_their_offer_wait_for_it_while_an_older_call_goes_on() -> None:
    async def main() -> None:
        async with post() as server, calling(server) as town:
            await joined(server, town)
            await server.emit("call.offer", offer())
            await server.until("call.answer")
            await server.emit("call.ice", ice("bbbb"))  # of the next offer: the page was reloaded
            await server.emit("call.ice", ice("aaaa"))
            await town.sessions.recorded("candidate", ANNA, LINE)
            await server.emit("call.ice", ice(None, LINE + " ufrag bbbb network-cost 999"))
            await server.emit("call.offer", offer(LATER))
            await server.until("call.answer")
            await town.sessions.recorded("candidate", ANNA, LINE + " ufrag bbbb network-cost 999")
            assert town.sessions.calls == [
                ("answer", ANNA, OFFER),
                ("candidate", ANNA, LINE),
                ("answer", ANNA, LATER),
                ("candidate", ANNA, LINE),
                ("candidate", ANNA, LINE + " ufrag bbbb network-cost 999"),
            ]

    run(main)


@pytest.mark.parametrize("nothing", [None, "", {"candidate": ""}])
def test_the_end_of_candidates_raises_nothing_and_is_passed_on(nothing: object) -> None:
    async def main() -> None:
        async with post() as server, calling(server) as town:
            await joined(server, town)
            await server.emit("call.offer", offer())
            await server.emit("call.ice", {"from": ANNA, "candidate": nothing})
            await town.sessions.recorded("candidate", ANNA, "end")

    run(main)


def test_candidates_of_the_camera_follow_its_answer_and_none_says_that_there_are_no_more() -> None:
    async def main() -> None:
        async with post() as server, calling(server) as town:
            await joined(server, town)
            await server.emit("call.offer", offer())
            await server.until("call.answer")
            link = town.sessions.links[ANNA]
            assert link is not None
            link.local_candidate(Candidate(LINE, "0", 0))
            link.local_candidate(None)
            body = await server.until("call.ice")
            wanted = {"candidate": LINE, "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "aaaa"}
            assert body == {"to": ANNA, "candidate": wanted, "conversation_id": "c1"}
            await server.nothing_more()

    run(main)


def test_a_stranger_is_told_once_and_nothing_else_happens() -> None:
    async def main() -> None:
        async with post() as server, calling(server) as town:
            await joined(server, town)
            stranger = {"from": "mallory@elsewhere.example", "conversation_id": "m"}
            await server.emit("call.invite", stranger)
            await server.emit("call.offer", {**stranger, "sdp": OFFER})
            await server.emit("call.ice", {**stranger, "candidate": LINE})
            ended = await server.until("call.end")
            assert (ended["to"], ended["conversation_id"]) == ("mallory@elsewhere.example", "m")
            await server.nothing_more()
            assert town.sessions.calls == []

    run(main)


def test_call_end_ends_the_session_and_one_of_another_conversation_does_not() -> None:
    async def main() -> None:
        async with post() as server, calling(server) as town:
            await joined(server, town)
            await server.emit("call.offer", offer())
            await server.until("call.answer")
            await server.emit("call.end", {"from": ANNA, "conversation_id": "other", "reason": "declined elsewhere"})
            await server.emit("call.end", {"from": ANNA, "conversation_id": "c1", "reason": "bye"})
            await town.sessions.recorded("close", ANNA, "the viewer hung up")
            await server.nothing_more()

    run(main)


def test_a_session_that_ends_by_itself_is_told_to_the_other_side() -> None:
    async def main() -> None:
        async with post() as server, calling(server) as town:
            await joined(server, town)
            await server.emit("call.offer", offer())
            await server.until("call.answer")
            town.sessions.end(ANNA, "no path to the viewer (ICE failed)")
            ended = await server.until("call.end")
            assert ended == {"to": ANNA, "conversation_id": "c1", "reason": "no path to the viewer (ICE failed)"}

    run(main)


def test_whoever_cannot_be_served_is_told_why() -> None:
    async def main() -> None:
        async with post() as server, calling(server) as town:
            town.sessions.broken[ANNA] = ViewerRefusedError("the camera is full", remedy="wait")
            await joined(server, town)
            await server.emit("call.offer", offer())
            assert (await server.until("call.end"))["reason"] == "the camera is full; wait"

    run(main)


def test_a_path_that_is_lost_ends_the_call_and_makes_no_telephone_ring() -> None:
    async def main() -> None:
        async with post() as server, calling(server) as town:
            await joined(server, town)
            await server.emit("call.offer", offer())
            await server.until("call.answer")
            link = town.sessions.links[ANNA]
            assert link is not None
            link.path_lost()
            assert (await server.until("call.end"))["reason"] == "the way to the viewer is lost"
            await server.nothing_more()

    run(main)


@pytest.mark.parametrize("said", [{"email": ANNA, "name": "Anna"}, {"user": {"email": ANNA}}, ANNA])
def test_user_offline_says_that_the_socket_is_gone(said: object) -> None:
    async def main() -> None:
        async with post() as server, calling(server) as town:
            await joined(server, town)
            await server.emit("call.offer", offer())
            await server.until("call.answer")
            await server.emit("user_offline", {"email": "berta@calls.example"})
            await server.emit("user_offline", said)
            await town.sessions.recorded("signaling_lost", ANNA)
            assert ("close", ANNA, "the viewer hung up") not in town.sessions.calls

    run(main)


def test_the_camera_calls_with_an_invitation_and_holds_late_candidates_until_it_is_answered() -> None:
    async def main() -> None:
        async with post() as server, calling(server, callers=[]) as town:
            await joined(server, town)
            assert town.camera is not None
            call = await town.camera.call("Berta@calls.example")
            invitation = await server.until("call.invite")
            assert invitation["to"] == "Berta@calls.example"
            said = await server.until("call.offer")
            assert said["sdp"] == {"type": "offer", "sdp": "offer of front"}
            assert said["conversation_id"] == invitation["conversation_id"]
            link = town.sessions.links["berta@calls.example"]
            assert link is not None
            link.local_candidate(Candidate(LINE, "0", 0))
            await server.nothing_more()
            answer = {"from": "berta@calls.example", "sdp": {"type": "answer", "sdp": LATER}, "conversation_id": said["conversation_id"]}
            for _ in range(2):
                await server.emit("call.answer", answer)
            assert (await server.until("call.ice"))["candidate"]["candidate"] == LINE
            assert call.state is CallState.ANSWERED
            assert town.sessions.calls.count(("accept_answer", "berta@calls.example", LATER)) == 1
            await town.camera.hang_up(call)
            assert (await server.until("call.end"))["reason"] == "the camera hung up"
            await town.sessions.recorded("close", "berta@calls.example", "the viewer hung up")
            assert town.camera.named(call.id) is call

    run(main)


def test_a_ringing_call_is_over_when_nobody_answers_and_lives_through_a_lost_connection() -> None:
    async def main() -> None:
        async with post() as server, calling(server) as town:
            await joined(server, town)
            assert town.camera is not None
            call = await town.camera.call(ANNA)
            await server.until("call.offer")
            with pytest.raises(ViewerRefusedError, match="there is a call"):
                await town.camera.call(ANNA)
            await server.drop()
            await server.until("user_joined")
            assert call.ringing
            town.sessions.end(ANNA, "nobody answered the camera's offer")
            assert (await server.until("call.end"))["reason"] == "nobody answered"
            assert call.state is CallState.ENDED

    run(main)


def test_a_person_who_calls_while_being_called_is_answered() -> None:
    async def main() -> None:
        async with post() as server, calling(server, callers=[]) as town:
            await joined(server, town)
            assert town.camera is not None
            call = await town.camera.call(ANNA)
            await server.until("call.offer")
            await server.emit("call.offer", offer())
            assert (await server.until("call.answer"))["to"] == ANNA
            assert call.state is CallState.ENDED

    run(main)


def test_without_a_connection_nobody_is_called() -> None:
    async def main() -> None:
        async with calling("http://127.0.0.1:9") as town:
            await town.until("waiting", "signaling-unreachable")
            assert town.camera is not None
            with pytest.raises(SignalingError, match="is not connected"):
                await town.camera.call(ANNA)

    run(main)


def test_sessions_are_left_alone_when_the_server_goes_and_calls_are_ended_when_the_camera_does() -> None:
    async def main() -> None:
        async with post() as server:
            async with calling(server) as town:
                await joined(server, town)
                await server.emit("call.offer", offer())
                await server.until("call.answer")
                await server.drop()
                await server.until("user_joined")
                assert town.sessions.calls == [("answer", ANNA, OFFER)]
            assert (await server.until("call.end"))["reason"] == "the camera is shutting down"

    run(main)


def test_an_error_of_the_server_is_logged_once_and_strange_messages_hurt_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with post() as server, calling(server) as town:
            await joined(server, town)
            for _ in range(3):
                await server.emit("error", {"message": "call.ice: candidate is required"})
            half = {"from": ANNA, "sdp": 7, "candidate": 7}
            strange: tuple[Any, ...] = (None, 7, "text", [], {}, {"from": ANNA}, half, {"from": {"email": 3}})
            for event in ("call.offer", "call.answer", "call.ice", "call.end", "call.invite", "user_offline", "message", "x" * 500):
                for body in strange:
                    await server.emit(event, body)
            await server.emit("call.offer", offer())
            await server.until("call.answer")

    run(main)
    assert caplog.text.count("candidate is required") <= 1


def test_one_account_for_two_cameras_is_a_configuration_error() -> None:
    section = SocketioCallSignaling.model_validate({"type": "socketio-call", "url": "http://h", "email": "one@h", "callers": []})
    with pytest.raises(ConfigError, match="one account for 2 cameras"):
        CallExchange("town", section, {"a": "", "b": ""}, Endings(), HealthBoard(), Backoff())
