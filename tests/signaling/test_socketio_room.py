"""The camera in a room: what it says to whom, against a Socket.IO server that does what the test says."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from edgecam.health import Condition
from edgecam.peers import Candidate
from edgecam.signaling import participants
from tests.signaling.scene import run
from tests.signaling.socketio_scene import Post, Town, meeting, post

ANNA, BERTA = "AnnaSocket_0001", "BertaSocket_0002"
OFFER = "v=0\r\na=ice-ufrag:aaaa\r\n"
LATER = "v=0\r\na=ice-ufrag:bbbb\r\n"
LINE = "candidate:1 1 udp 1 192.0.2.7 50000 typ host"


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> float:
    """A shorter wait for other people's offers."""
    monkeypatch.setattr(participants, "PATIENCE", 0.15)
    monkeypatch.setattr(participants, "RETRIES", (0.1, 0.1))
    return 0.15


async def joined(server: Post, town: Town) -> str:
    """The camera's socket id, once it has said all that it says on joining."""
    body = await server.until("join-room")
    await server.until("get-users")
    await server.until("media-state-change")
    await town.until("running")
    return str(body["socketId"])


def described(kind: str, sdp: str, **more: Any) -> dict[str, Any]:
    return {"fromId": ANNA, "sdp": {"type": kind, "sdp": sdp}, **more}


def test_it_joins_with_query_and_event_and_again_with_its_new_id_after_each_connection() -> None:
    async def main() -> None:
        async with post() as server, meeting(server, room="hall {camera}") as town:
            first = await server.until("join-room")
            assert first["roomId"] == "hall front"
            assert first["userName"] == "Front door"
            assert server.queries[0]["roomId"] == "hall front"
            assert server.queries[0]["userName"] == "Front door"
            assert (await server.until("get-users")) == {"roomId": "hall front"}
            await town.until("running")
            await server.emit("offer", described("offer", OFFER))
            await server.until("answer")
            await server.drop()
            again = await server.until("join-room")
            assert again["socketId"] != first["socketId"]
            assert town.sessions.calls == [("answer", ANNA, OFFER)], "sessions are left alone"

    run(main)


def test_whoever_offers_is_answered_and_not_called(patience: float) -> None:
    async def main() -> None:
        async with post() as server, meeting(server) as town:
            await joined(server, town)
            await server.emit("user-joined", {"socketId": ANNA, "userName": "Anna"})
            await server.emit("offer", described("offer", OFFER))
            assert await server.until("answer") == {
                "roomId": "hall",
                "targetId": ANNA,
                "sdp": {"type": "answer", "sdp": f"answer of front to {OFFER}"},
            }
            await asyncio.sleep(patience * 1.5)  # the time in which it would have called
            await server.nothing_more()

    run(main)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("user-joined", {"socketId": ANNA, "userName": "Anna"}),
        ("user-joined", ANNA),
        ("user-joined", {"id": ANNA}),
        ("participants-list", [{"socketId": ANNA, "userName": "Anna", "isMuted": False}]),
        ("participants-list", [ANNA]),
        ("room-users", [{"socketId": ANNA}]),
        ("room-users", {"users": [{"id": ANNA}]}),
    ],
)
def test_whoever_offers_nothing_is_called_after_a_while(event: str, said: Any, patience: float) -> None:
    async def main() -> None:
        async with post() as server, meeting(server) as town:
            await joined(server, town)
            started = time.monotonic()
            await server.emit(event, said)
            offer = await server.until("offer")
            assert time.monotonic() - started >= patience
            assert offer == {"roomId": "hall", "targetId": ANNA, "sdp": {"type": "offer", "sdp": "offer of front"}}
            await server.emit("answer", described("answer", LATER))
            await town.sessions.recorded("accept_answer", ANNA, LATER)
            link = town.sessions.links[ANNA]
            assert link is not None
            link.local_candidate(Candidate(LINE, "0", 0))
            candidate = (await server.until("ice-candidate"))["candidate"]
            assert candidate == {"candidate": LINE, "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": None}

    run(main)


def test_the_camera_does_not_call_itself_or_another_camera_of_its_own(patience: float) -> None:
    async def main() -> None:
        async with post() as server, meeting(server, {"front": "", "yard": ""}) as town:
            ids = [(await server.until("join-room"))["socketId"] for _ in range(2)]
            for component in ("signaling.town.front", "signaling.town.yard"):
                town.board.component(component)
            listed = [{"socketId": sid, "userName": "camera"} for sid in ids]
            await server.emit("participants-list", listed)
            await server.emit("room-users", listed)
            await server.emit("user-joined", listed[0])
            await server.emit("offer", {"fromId": ids[0], "targetId": ids[1], "sdp": OFFER})
            await asyncio.sleep(patience * 2)  # the time in which it would have called
            assert town.sessions.calls == []

    run(main)


def test_a_list_that_comes_twice_and_a_notice_that_comes_three_times_are_one_call(patience: float) -> None:
    async def main() -> None:
        async with post() as server, meeting(server) as town:
            await joined(server, town)
            for event in ("participants-list", "room-users", "participants-list"):
                await server.emit(event, [{"socketId": ANNA}])
            for _ in range(3):
                await server.emit("user-joined", {"socketId": ANNA})
            await server.until("offer")
            await asyncio.sleep(patience * 2)  # the time in which it would have called again
            assert town.sessions.calls == [("offer", ANNA)]

    run(main)


def test_it_yields_to_an_offer_that_comes_after_its_own(patience: float) -> None:
    async def main() -> None:
        async with post() as server, meeting(server) as town:
            await joined(server, town)
            await server.emit("user-joined", {"socketId": ANNA})
            await server.until("offer")
            await server.emit("offer", described("offer", OFFER))
            assert (await server.until("answer"))["targetId"] == ANNA
            await server.nothing_more()
            assert town.sessions.calls == [("offer", ANNA), ("answer", ANNA, OFFER)]

    run(main)


def test_when_both_yield_the_camera_offers_once_more(patience: float) -> None:
    async def main() -> None:
        async with post() as server, meeting(server) as town:
            await joined(server, town)
            await server.emit("user-joined", {"socketId": ANNA})
            await server.until("offer")
            await server.emit("offer", described("offer", OFFER))
            await server.emit("answer", described("answer", LATER))  # to the camera's offer: theirs was rolled back
            await server.until("answer")
            await server.until("offer")
            await server.emit("answer", described("answer", LATER + "s=2\r\n"))
            await town.sessions.recorded("accept_answer", ANNA, LATER + "s=2\r\n")
            assert ("accept_answer", ANNA, LATER) not in town.sessions.calls

    run(main)


def test_candidates_before_their_offer_wait_for_it() -> None:
    async def main() -> None:
        async with post() as server, meeting(server) as town:
            await joined(server, town)
            await server.emit("offer", described("offer", OFFER))
            await server.until("answer")
            early = {"candidate": LINE, "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "bbbb"}
            await server.emit("ice-candidate", {"fromId": ANNA, "candidate": early})
            await server.emit("ice-candidate", {"fromId": ANNA, "candidate": None})
            await server.emit("offer", described("offer", LATER))
            await server.until("answer")
            await town.sessions.recorded("candidate", ANNA, LINE)
            assert town.sessions.calls == [
                ("answer", ANNA, OFFER),
                ("candidate", ANNA, "end"),
                ("answer", ANNA, LATER),
                ("candidate", ANNA, LINE),
            ]

    run(main)


@pytest.mark.parametrize("event", ["user-left", "participant-left"])
@pytest.mark.parametrize("said", [ANNA, {"socketId": ANNA}, {"id": ANNA, "userName": "Anna"}])
def test_whoever_leaves_is_remembered_only_by_the_session(event: str, said: Any) -> None:
    async def main() -> None:
        async with post() as server, meeting(server) as town:
            await joined(server, town)
            await server.emit("offer", described("offer", OFFER))
            await server.until("answer")
            await server.emit(event, "somebody else")
            await server.emit(event, said)
            await town.sessions.recorded("signaling_lost", ANNA)
            assert [call for call in town.sessions.calls if call[0] == "close"] == []

    run(main)


def test_a_session_that_ends_while_its_participant_stays_is_offered_anew_a_few_times(patience: float) -> None:
    async def main() -> None:
        async with post() as server, meeting(server) as town:
            await joined(server, town)
            await server.emit("user-joined", {"socketId": ANNA})
            for _ in range(3):
                await server.until("offer")
                town.sessions.end(ANNA, "no connection was made in time")
            await asyncio.sleep(patience * 2)  # the time in which it would have called again
            await server.nothing_more()
            assert town.sessions.calls.count(("offer", ANNA)) == 3

    run(main)


def test_what_is_meant_for_others_is_left_alone() -> None:
    async def main() -> None:
        async with post() as server, meeting(server) as town:
            me = await joined(server, town)
            await server.emit("offer", described("offer", OFFER, targetId=BERTA))
            await server.emit("offer", {"fromId": me, "sdp": OFFER})
            await server.emit("offer", described("offer", LATER, targetId=me))
            await server.until("answer")
            assert town.sessions.calls == [("answer", ANNA, LATER)]

    run(main)


def test_the_room_is_told_when_pictures_stop_and_come_again() -> None:
    async def main() -> None:
        async with post() as server, meeting(server) as town:
            picture = town.board.component("camera.front")
            me = (await server.until("join-room"))["socketId"]
            first = await server.until("media-state-change")
            assert (first["socketId"], first["isMuted"], first["isVideoOff"]) == (me, True, True)
            assert abs(first["timestamp"] / 1000 - time.time()) < 60
            picture.running("pictures")
            assert (await server.until("media-state-change"))["isVideoOff"] is False
            picture.running("other words for the same")
            picture.waiting("camera-absent", "it was pulled out")
            assert (await server.until("media-state-change"))["isVideoOff"] is True
            picture.report(Condition.RESTING)
            assert (await server.until("media-state-change"))["isVideoOff"] is False
            await server.nothing_more()

    run(main)


def test_chat_screen_sharing_and_nonsense_are_ignored() -> None:
    async def main() -> None:
        async with post() as server, meeting(server) as town:
            await joined(server, town)
            events = ["new-message", "screen-share-started", "screen-share-ended", "media-state-updated", "offer", "answer"]
            events += ["ice-candidate", "participants-list", "room-users", "user-joined", "user-left", "participant-left", "error"]
            strange: tuple[Any, ...] = (None, 7, "", [], {}, {"fromId": 7}, {"fromId": BERTA, "sdp": 7, "candidate": 7}, [[]])
            for event in events:
                for said in strange:
                    await server.emit(event, said)
            await server.emit("offer", described("offer", OFFER))
            assert (await server.until("answer"))["targetId"] == ANNA

    run(main)
