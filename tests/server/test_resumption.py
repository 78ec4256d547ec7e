"""Clients whose connection breaks and who come back in time: nothing is lost, and the other side hears nothing."""

from __future__ import annotations

import asyncio

import pytest

from edgecam.server.resumption import KEPT_MESSAGES
from tests.server.scene import Peer, Town, play

ANNA, BERT = "anna-" + "a" * 16, "bert-" + "b" * 16
INSTANCE = "instance-" + "i" * 16


def cut(peer: Peer) -> None:
    """The network goes away under a connection, without a closing handshake."""
    connection = peer.ws._response.connection
    assert connection is not None
    assert connection.transport is not None
    connection.transport.abort()


async def away(town: Town, count: int = 1) -> None:
    """Until the server has noticed."""
    async with asyncio.timeout(5):
        while sum(line.away for line in town.lines.all) != count:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0)  # the server runs in this loop


async def camera(town: Town, received: int = 0) -> tuple[Peer, dict[str, object]]:
    peer = await town.connect()
    return peer, await peer.register("sender", cameraId="front", instanceId=INSTANCE, received=received)


async def viewer(town: Town, received: int = 0, **more: object) -> tuple[Peer, dict[str, object]]:
    peer = await town.connect()
    return peer, await peer.register("receiver", cameraId="front", peerId=ANNA, received=received, **more)


def test_a_viewer_that_comes_back_has_missed_nothing_and_its_camera_hears_nothing() -> None:
    async def script(town: Town) -> None:
        sender, first = await camera(town)
        assert first["resumeWithin"] == 15
        receiver, _ = await viewer(town)
        assert (await receiver.next())["type"] == "peer-connected"
        assert (await sender.next())["type"] == "peer-connected"
        await receiver.send("offer", sdp="mine")
        assert (await sender.next())["type"] == "offer"
        cut(receiver)
        await away(town)
        for number in range(5):
            await sender.send("ice-candidate", candidate=f"candidate:{number}", peerId=ANNA)
        await sender.nothing_more()
        back, reply = await viewer(town, received=1)
        assert (reply["resumed"], reply["received"], reply["peerId"]) == (True, 1, ANNA)
        assert [(await back.next())["candidate"]["candidate"] for _ in range(5)] == [f"candidate:{n}" for n in range(5)]
        await back.send("answer", sdp="v=0")
        assert (await sender.next())["type"] == "answer"
        await back.nothing_more()
        assert (await town.json("/status"))["viewers"] == 1

    play(script)


def test_a_camera_that_comes_back_gets_the_offers_made_meanwhile_and_its_viewers_hear_nothing() -> None:
    async def script(town: Town) -> None:
        sender, _ = await camera(town)
        anna, bert = await town.viewer("front", ANNA), await town.viewer("front", BERT)
        for _ in range(2):
            assert (await sender.next())["type"] == "peer-connected"
        cut(sender)
        await away(town)
        await anna.next()
        await bert.next()
        await anna.send("offer", sdp="from anna")
        await bert.send("offer", sdp="from bert")
        await anna.nothing_more()
        await bert.nothing_more()
        assert (await town.json("/status"))["cameras"][0]["away"] is True
        back, reply = await camera(town, received=2)
        assert reply["resumed"] is True
        assert {(await back.next())["sdp"] for _ in range(2)} == {"from anna", "from bert"}
        await back.send("answer", sdp="v=0", peerId=ANNA)
        assert (await anna.next())["type"] == "answer"
        await bert.nothing_more()

    play(script)


def test_what_was_lost_on_the_way_is_sent_again_even_before_the_break_is_noticed() -> None:
    async def script(town: Town) -> None:
        sender, _ = await camera(town)
        receiver, _ = await viewer(town)
        await receiver.next()
        for number in range(3):
            await sender.send("ice-candidate", candidate=f"candidate:{number}", peerId=ANNA)
        for _ in range(3):
            await receiver.next()
        back, reply = await viewer(town, received=2)  # two of the four have arrived, says the client
        assert reply["resumed"] is True
        assert [(await back.next())["candidate"]["candidate"] for _ in range(2)] == ["candidate:1", "candidate:2"]
        assert await receiver.closed() == 4001
        await back.nothing_more()
        assert (await sender.next())["type"] == "peer-connected"
        await sender.nothing_more()

    play(script)


def test_whoever_stays_away_too_long_has_left() -> None:
    async def script(town: Town) -> None:
        sender, first = await camera(town)
        assert first["resumeWithin"] == 0.3
        receiver, _ = await viewer(town)
        await receiver.next()
        await sender.next()
        cut(receiver)
        assert (await sender.next())["type"] == "peer-disconnected"
        back, reply = await viewer(town, received=1)
        assert "resumed" not in reply
        assert (await back.next())["type"] == "peer-connected"
        assert (await sender.next())["type"] == "peer-connected"

    play(script, resume_within=0.3)


def test_whoever_says_goodbye_or_knows_no_resumption_leaves_at_once() -> None:
    async def script(town: Town) -> None:
        sender, _ = await camera(town)
        polite, _ = await viewer(town)
        await polite.ws.close()
        assert (await sender.next())["type"] == "peer-connected"
        assert (await sender.next())["type"] == "peer-disconnected"
        plain = await town.viewer("front", BERT)
        await sender.next()
        cut(plain)
        assert (await sender.next())["type"] == "peer-disconnected"

    play(script)


def test_a_camera_that_was_started_anew_need_not_wait_for_the_place_of_the_old_process() -> None:
    async def script(town: Town) -> None:
        old, _ = await camera(town)
        watching = await town.viewer("front", BERT)
        assert (await watching.next())["type"] == "peer-connected"
        cut(old)
        await away(town)
        new = await town.connect()
        assert (await new.register("sender", cameraId="front", instanceId="another-" + "x" * 16))["type"] == "registered"
        assert (await new.next())["peerId"] == BERT
        assert (await watching.next())["type"] == "peer-connected"
        await away(town, 0)

    play(script)


@pytest.mark.parametrize("guess", [{"peerId": BERT}, {"cameraId": "yard"}, {"received": 7}, {"received": -1}, {"received": True}])
def test_nobody_gets_a_place_without_its_secret_or_with_a_count_that_cannot_be(guess: dict[str, object]) -> None:
    async def script(town: Town) -> None:
        await camera(town)
        receiver, _ = await viewer(town)
        await receiver.next()
        stranger = await town.connect()
        reply = await stranger.register("receiver", **{"cameraId": "front", "peerId": ANNA, "received": 0, **guess})
        assert "resumed" not in reply

    play(script)


def test_more_than_is_kept_is_not_resumed_but_registered_anew() -> None:
    async def script(town: Town) -> None:
        sender, _ = await camera(town)
        receiver, _ = await viewer(town)
        await receiver.next()
        await sender.next()
        cut(receiver)
        await away(town)
        for _ in range(KEPT_MESSAGES + 1):
            await sender.send("ice-candidate", candidate="candidate:1", peerId=ANNA)
        await sender.nothing_more()
        back, reply = await viewer(town, received=1)
        assert "resumed" not in reply
        assert (await back.next())["type"] == "peer-connected"
        joined = await sender.next()
        assert (joined["type"], joined["peerId"]) == ("peer-connected", ANNA)

    play(script)


def test_what_is_kept_is_forgotten_in_time() -> None:
    async def script(town: Town) -> None:
        sender, _ = await camera(town)
        await viewer(town)
        await sender.next()
        for line in town.lines.all:
            line.forget(before=float("inf"))
        assert all(not line._sent for line in town.lines.all)
        _, reply = await viewer(town, received=0)  # what followed `registered` is no longer there
        assert "resumed" not in reply

    play(script)


def test_many_breaks_in_a_row_lose_nothing() -> None:
    async def script(town: Town) -> None:
        sender, _ = await camera(town)
        receiver, _ = await viewer(town)
        await receiver.next()
        received, seen = 1, []
        for number in range(20):
            await sender.send("ice-candidate", candidate=f"candidate:{number}", peerId=ANNA)
            if number % 3:
                seen.append((await receiver.next())["candidate"]["candidate"])
                received += 1
            cut(receiver)
            receiver, reply = await viewer(town, received=received)
            assert reply["resumed"] is True
            while len(seen) <= number:
                seen.append((await receiver.next())["candidate"]["candidate"])
                received += 1
        assert seen == [f"candidate:{n}" for n in range(20)]
        assert (await sender.next())["type"] == "peer-connected"
        await sender.nothing_more()
        assert (await town.json("/status"))["clients"] == 2

    play(script)
