"""The camera against the real bundled server: who offers, in what order, and what one viewer's trouble does not do."""

from __future__ import annotations

import pytest

from edgecam.errors import NegotiationError, ViewerRefusedError
from edgecam.settings import IceServer
from edgecam.signaling import exchange
from tests.server.scene import town
from tests.signaling.scene import daemon, run

ANNA, BERT = "anna-" + "a" * 16, "bert-" + "b" * 16


def test_the_camera_calls_an_original_receiver_and_takes_its_answer_and_candidates() -> None:
    async def main() -> None:
        async with town() as server, daemon(server.address) as camera:
            receiver = await server.connect()
            await receiver.register("receiver")
            assert (await receiver.next())["type"] == "peer-connected"
            assert await receiver.next() == {"type": "offer", "sdp": "offer of front"}
            await receiver.send("answer", sdp="v=0 answer")
            for number in range(20):
                await receiver.send("ice-candidate", candidate={"candidate": f"candidate:{number}"})
            await receiver.send("ice-candidate", candidate=None)
            peer = camera.sessions.calls[0][1]
            await camera.sessions.recorded("candidate", peer, "end")
            candidates = [("candidate", peer, f"candidate:{number}") for number in range(20)]
            assert camera.sessions.calls == [
                ("offer", peer),
                ("accept_answer", peer, "v=0 answer"),
                *candidates,
                ("candidate", peer, "end"),
            ]

    run(main)


def test_a_viewer_that_offers_is_answered_and_not_called() -> None:
    async def main() -> None:
        async with town() as server, daemon(server.address) as camera:
            await camera.until("running")
            viewer = await server.connect()
            await viewer.send("register", role="receiver", cameraId="front", peerId=ANNA, offers=True)
            await viewer.send("offer", sdp="hello")
            kinds = [(await viewer.next())["type"] for _ in range(2)]
            assert kinds == ["registered", "peer-connected"]
            answer = await viewer.next()
            assert (answer["type"], answer["sdp"]) == ("answer", "answer of front to hello")
            await viewer.nothing_more()
            assert camera.sessions.calls == [("answer", ANNA, "hello")]

    run(main)


def test_a_viewer_that_announced_an_offer_and_sends_none_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "VIEWER_OFFER_TIMEOUT", 0.05)

    async def main() -> None:
        async with town() as server, daemon(server.address):
            viewer = await server.viewer("front", ANNA, offers=True)
            await viewer.next()
            assert (await viewer.next())["type"] == "offer"

    run(main)


def test_a_returning_viewer_keeps_its_session_while_consent_is_fresh_and_is_called_otherwise() -> None:
    async def main() -> None:
        async with town() as server, daemon(server.address) as camera:
            await camera.until("running")
            camera.sessions.living.add(ANNA)
            returning = await server.viewer("front", ANNA)
            await returning.next()
            await returning.send("ice-candidate", candidate={"candidate": "late"})
            await camera.sessions.recorded("candidate", ANNA, "late")
            assert ("offer", ANNA) not in camera.sessions.calls
            await returning.nothing_more()
            camera.sessions.living.clear()
            again = await server.viewer("front", ANNA)
            await again.next()
            assert (await again.next())["type"] == "offer"

    run(main)


def test_candidates_that_come_while_the_camera_still_gathers_stay_in_order_behind_the_offer() -> None:
    async def main() -> None:
        async with town() as server, daemon(server.address) as camera:
            camera.sessions.hold(ANNA)
            viewer = await server.viewer("front", ANNA, offers=True)
            await viewer.send("offer", sdp="hello")
            for number in range(50):
                await viewer.send("ice-candidate", candidate={"candidate": f"candidate:{number}"})
            await camera.sessions.recorded("answer", ANNA, "hello")
            await viewer.next()
            await viewer.nothing_more()
            assert camera.sessions.calls == [("answer", ANNA, "hello")]
            camera.sessions.release(ANNA)
            assert (await viewer.next())["type"] == "answer"
            await camera.sessions.recorded("candidate", ANNA, "candidate:49")
            assert camera.sessions.calls[1:] == [("candidate", ANNA, f"candidate:{n}") for n in range(50)]

    run(main)


def test_a_viewer_whose_negotiation_is_slow_holds_up_nobody() -> None:
    async def main() -> None:
        async with town() as server, daemon(server.address) as camera:
            await camera.until("running")
            camera.sessions.hold(ANNA)
            await server.viewer("front", ANNA)
            await camera.sessions.recorded("offer", ANNA)
            bert = await server.viewer("front", BERT)
            assert (await bert.next())["type"] == "peer-connected"
            assert (await bert.next())["type"] == "offer"

    run(main)


def test_an_offer_that_crosses_ours_wins_and_ours_is_never_sent() -> None:
    async def main() -> None:
        async with town() as server, daemon(server.address) as camera:
            await camera.until("running")
            camera.sessions.hold(ANNA)
            viewer = await server.viewer("front", ANNA)
            await viewer.next()
            await camera.sessions.recorded("offer", ANNA)
            await viewer.send("offer", sdp="mine")
            await viewer.nothing_more()
            other = await server.viewer("front", BERT)  # by its call, the camera has read the offer too
            assert (await other.next())["type"] == "peer-connected"
            assert (await other.next())["type"] == "offer"
            camera.sessions.release(ANNA)
            answer = await viewer.next()
            assert (answer["type"], answer["sdp"]) == ("answer", "answer of front to mine")
            await viewer.nothing_more()

    run(main)


def test_an_offer_that_comes_after_ours_was_sent_is_answered() -> None:
    async def main() -> None:
        async with town() as server, daemon(server.address):
            viewer = await server.viewer("front", ANNA)
            await viewer.next()
            assert (await viewer.next())["type"] == "offer"
            await viewer.send("offer", sdp="mine")
            assert (await viewer.next())["sdp"] == "answer of front to mine"

    run(main)


def test_of_offers_that_pile_up_only_the_last_is_negotiated() -> None:
    async def main() -> None:
        async with town() as server, daemon(server.address) as camera:
            await camera.until("running")
            camera.sessions.hold(ANNA)
            viewer = await server.viewer("front", ANNA, offers=True)
            await viewer.next()
            await viewer.send("offer", sdp="offer 0")
            await camera.sessions.recorded("answer", ANNA, "offer 0")
            for number in range(1, 30):
                await viewer.send("offer", sdp=f"offer {number}")
            await viewer.nothing_more()
            other = await server.viewer("front", BERT)  # by its call, the camera has read the offers too
            assert (await other.next())["type"] == "peer-connected"
            assert (await other.next())["type"] == "offer"
            camera.sessions.release(ANNA)
            assert (await viewer.next())["sdp"] == "answer of front to offer 29"
            answered = [call[2] for call in camera.sessions.calls if call[0] == "answer"]
            assert answered == ["offer 0", "offer 29"]

    run(main)


def test_what_goes_wrong_with_one_viewer_is_told_to_it_and_stays_with_it() -> None:
    async def main() -> None:
        async with town() as server, daemon(server.address) as camera:
            await camera.until("running")
            troubles = {
                "refused-" + "r" * 16: ViewerRefusedError("the camera has 16 viewers", code="viewers-full"),
                "negotiation-" + "n" * 16: NegotiationError("no H.264 in the offer", code="sdp-no-h264"),
                "surprise-" + "s" * 16: RuntimeError("a bug with a secret in it"),
            }
            camera.sessions.broken.update(troubles)
            for peer, trouble in troubles.items():
                viewer = await server.viewer("front", peer)
                await viewer.next()
                refusal = await viewer.next()
                assert (refusal["type"], refusal["code"]) == ("error", getattr(trouble, "code", "internal"))
                assert "secret" not in refusal["message"]
            healthy = await server.viewer("front", ANNA)
            await healthy.next()
            assert (await healthy.next())["type"] == "offer"
            assert camera.board.component("signaling.home").state.ready

    run(main)


def test_a_negotiation_that_hangs_ends_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "NEGOTIATION_TIMEOUT", 0.05)
    monkeypatch.setattr(exchange, "VIEWER_OFFER_TIMEOUT", 0.0)

    async def main() -> None:
        async with town() as server, daemon(server.address) as camera:
            camera.sessions.hold(ANNA)
            viewer = await server.viewer("front", ANNA)
            await viewer.next()
            assert (await viewer.next())["code"] == "negotiation-timeout"

    run(main)


def test_a_viewer_that_leaves_is_only_reported_lost() -> None:
    async def main() -> None:
        async with town() as server, daemon(server.address) as camera:
            viewer = await server.viewer("front", ANNA)
            await viewer.next()
            await viewer.next()
            await viewer.ws.close()
            await camera.sessions.recorded("signaling_lost", ANNA)
            assert not any(call[0] == "close" for call in camera.sessions.calls)

    run(main)


def test_more_viewers_at_once_than_there_are_places_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MAX_PEERS", 1)

    async def main() -> None:
        async with town() as server, daemon(server.address) as camera:
            await camera.until("running")
            camera.sessions.hold(ANNA)
            await server.viewer("front", ANNA)
            await camera.sessions.recorded("offer", ANNA)
            late = await server.viewer("front", BERT)
            await late.next()
            assert (await late.next())["code"] == "viewers-full"

    run(main)


def test_the_servers_ice_servers_reach_the_sessions() -> None:
    stun = IceServer(urls=("stun:stun.example",))

    async def main() -> None:
        async with town(ice_servers=(stun,)) as server, daemon(server.address) as camera:
            viewer = await server.viewer("front", ANNA)
            await viewer.next()
            await viewer.next()
            assert camera.sessions.ice_servers == (stun,)
            assert list(camera.sessions.known.values()) == [(stun,)]
        assert list(camera.sessions.known.values()) == [()], "without a connection nothing is handed out"

    run(main)
