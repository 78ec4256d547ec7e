"""Clients that know only the original messages see exactly the original server."""

from __future__ import annotations

from edgecam.settings import IceServer
from tests.server.scene import Peer, Town, play

ICE = {"iceServers": [{"urls": ["stun:stun.example"]}]}
SERVERS = (IceServer(urls=("stun:stun.example",)),)
CANDIDATE = {"candidate": "candidate:1 1 udp 1 192.0.2.1 9 typ host", "sdpMid": "0", "sdpMLineIndex": 0}


async def negotiate(sender: Peer, receiver: Peer, mark: str) -> None:
    """One call by the original transcript, field for field."""
    await sender.send("offer", sdp=f"offer {mark}")
    assert await receiver.next() == {"type": "offer", "sdp": f"offer {mark}"}
    await receiver.send("answer", sdp=f"answer {mark}")
    assert await sender.next() == {"type": "answer", "sdp": f"answer {mark}"}
    await sender.send("ice-candidate", candidate=CANDIDATE)
    assert await receiver.next() == {"type": "ice-candidate", "candidate": CANDIDATE}
    await receiver.send("ice-candidate", candidate=CANDIDATE)
    assert await sender.next() == {"type": "ice-candidate", "candidate": CANDIDATE}


def test_the_original_transcript_is_kept_on_both_sides_and_without_a_path() -> None:
    async def script(town: Town) -> None:
        sender, receiver = await town.connect("/"), await town.connect("/")
        assert await sender.register("sender") == {"type": "registered", "role": "sender", "turnConfig": ICE}
        assert await receiver.register("receiver") == {
            "type": "registered",
            "role": "receiver",
            "turnConfig": ICE,
        }
        assert await receiver.next() == {"type": "peer-connected", "peer": "sender"}
        assert await sender.next() == {"type": "peer-connected", "peer": "receiver"}
        await negotiate(sender, receiver, "1")
        await receiver.ws.close()
        assert await sender.next() == {"type": "peer-disconnected", "peer": "receiver"}
        await sender.nothing_more()

    play(script, ice_servers=SERVERS)


def test_where_the_operator_allows_it_they_need_no_token_on_a_server_that_has_one() -> None:
    async def script(town: Town) -> None:
        sender, receiver = await town.connect("/"), await town.connect("/")
        assert await sender.register("sender") == {"type": "registered", "role": "sender", "turnConfig": ICE}
        assert (await receiver.register("receiver"))["type"] == "registered"
        assert await receiver.next() == {"type": "peer-connected", "peer": "sender"}
        assert await sender.next() == {"type": "peer-connected", "peer": "receiver"}
        await negotiate(sender, receiver, "1")

    play(script, token="sesame", allow_anonymous=True, public_url="https://cams.example", ice_servers=SERVERS)


def test_a_receiver_may_come_before_the_sender() -> None:
    async def script(town: Town) -> None:
        receiver, sender = await town.connect(), await town.connect()
        await receiver.register("receiver")
        await receiver.nothing_more()
        await sender.register("sender")
        assert await receiver.next() == {"type": "peer-connected", "peer": "sender"}
        assert await sender.next() == {"type": "peer-connected", "peer": "receiver"}
        await sender.ws.close()
        assert await receiver.next() == {"type": "peer-disconnected", "peer": "sender"}
        again = await town.connect()
        await again.register("sender")
        assert await receiver.next() == {"type": "peer-connected", "peer": "sender"}
        assert await again.next() == {"type": "peer-connected", "peer": "receiver"}
        await negotiate(again, receiver, "again")

    play(script)


def test_the_welcome_and_turn_config_carry_the_configured_servers() -> None:
    async def script(town: Town) -> None:
        async with town.session.ws_connect(f"http://{town.address}/ws") as ws:
            assert await ws.receive_json() == {"type": "welcome", "turnConfig": ICE}
            await ws.send_json({"type": "get-turn-config"})
            assert await ws.receive_json() == {"type": "turn-config", "config": ICE}

    play(script, ice_servers=SERVERS)


def test_a_second_sender_is_told_that_the_role_is_taken_and_may_ask_again_on_the_same_socket() -> None:
    async def script(town: Town) -> None:
        first, second = await town.connect(), await town.connect()
        await first.register("sender")
        refused = await second.register("sender")
        assert refused["type"] == "error"
        assert refused["message"] == "sender role is already taken"
        await first.ws.close()
        reply = await second.register("sender")
        while reply["type"] == "error":  # until the server has seen the close
            reply = await second.register("sender")
        assert reply["type"] == "registered"

    play(script)


def test_an_offer_to_nobody_is_an_error_and_candidates_are_dropped() -> None:
    async def script(town: Town) -> None:
        sender = await town.connect()
        await sender.register("sender")
        await sender.send("ice-candidate", candidate=CANDIDATE)
        await sender.send("offer", sdp="v=0")
        assert (await sender.next())["type"] == "error"
        await sender.nothing_more()

    play(script)


def test_an_original_sender_serves_the_latest_viewer_and_then_the_one_before() -> None:
    async def script(town: Town) -> None:
        sender, first, second = [await town.connect() for _ in range(3)]
        await sender.register("sender")
        await first.register("receiver")
        await first.next()
        await sender.next()
        await second.register("receiver")
        assert await first.next() == {"type": "peer-disconnected", "peer": "sender"}
        assert await second.next() == {"type": "peer-connected", "peer": "sender"}
        assert await sender.next() == {"type": "peer-connected", "peer": "receiver"}
        await first.send("answer", sdp="from the one that waits")
        await first.nothing_more()
        await negotiate(sender, second, "second")
        await second.ws.close()
        assert await sender.next() == {"type": "peer-disconnected", "peer": "receiver"}
        assert await sender.next() == {"type": "peer-connected", "peer": "receiver"}
        assert await first.next() == {"type": "peer-connected", "peer": "sender"}
        await negotiate(sender, first, "first")

    play(script)


def test_an_original_receiver_gets_the_first_of_many_cameras() -> None:
    async def script(town: Town) -> None:
        front, yard = await town.camera("front"), await town.camera("yard")
        receiver = await town.connect()
        await receiver.register("receiver")
        assert await receiver.next() == {"type": "peer-connected", "peer": "sender"}
        joined = await front.next()
        await front.send("offer", sdp="v=0", peerId=joined["peerId"])
        assert await receiver.next() == {"type": "offer", "sdp": "v=0"}
        await receiver.send("answer", sdp="v=0 a")
        answer = {"type": "answer", "sdp": "v=0 a", "peerId": joined["peerId"], "cameraId": "front"}
        assert await front.next() == answer
        await yard.nothing_more()

    play(script)


def test_the_viewer_page_learns_its_ice_servers_and_cameras_before_it_connects() -> None:
    async def script(town: Town) -> None:
        await town.camera("front")
        entry = {"id": "front", "title": "front", "online": True, "viewers": 0}
        assert await town.json("/api/v1/viewer") == {
            "transport": "websocket",
            **ICE,
            "cameras": [entry],
            "relayOnly": False,
            "may": {"role": "admin", "cameras": ["*"]},
        }

    play(script, ice_servers=SERVERS)
