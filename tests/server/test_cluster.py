"""Two or three servers on one Redis are one server to their clients."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.harness.redis import Redis
from tests.server.cluster_scene import Instance, instance, play_cluster
from tests.server.scene import Peer

ANNA, BERT = "anna-" + "a" * 16, "bert-" + "b" * 16
CANDIDATE = {"candidate": "candidate:1 1 udp 1 192.0.2.1 9 typ host", "sdpMid": "0", "sdpMLineIndex": 0}


def test_a_viewer_on_one_instance_and_a_camera_on_another_have_a_call(tmp_path: Path) -> None:
    async def script(_redis: Redis, a: Instance, b: Instance) -> None:
        camera = await a.camera("front", title="Front door")
        await b.wait_listed("front", online=True, title="Front door", instance="a")
        viewer = await b.connect()
        reply = await viewer.register("receiver", cameraId="front", peerId=ANNA, offers=True)
        assert (reply["type"], reply["peerId"], reply["cameraId"]) == ("registered", ANNA, "front")
        await viewer.send("offer", sdp="v=0")
        connected = {"type": "peer-connected", "peer": "receiver", "peerId": ANNA, "cameraId": "front", "offers": True}
        assert await camera.next() == connected
        assert await camera.next() == {"type": "offer", "sdp": "v=0", "peerId": ANNA, "cameraId": "front"}
        assert (await viewer.next())["type"] == "peer-connected"
        await camera.send("answer", sdp="v=0 ü", peerId=ANNA)
        assert await viewer.next() == {"type": "answer", "sdp": "v=0 ü", "peerId": ANNA, "cameraId": "front"}
        for number in range(200):
            await camera.send("ice-candidate", candidate={**CANDIDATE, "candidate": f"candidate:{number}"}, peerId=ANNA)
        numbers = [(await viewer.next())["candidate"]["candidate"] for _ in range(200)]
        assert numbers == [f"candidate:{number}" for number in range(200)]
        async with a.session.get(f"http://{a.address}/metrics") as response:
            metrics = await response.text()
        for line in ("cluster_connected 1", "cluster_instances 2", "cluster_guests 1"):
            assert f"edgecam_server_{line}\n" in metrics
        await viewer.ws.close()
        assert (await camera.next())["type"] == "peer-disconnected"

    play_cluster(script, tmp_path)


def test_a_viewer_before_its_camera_on_another_instance(tmp_path: Path) -> None:
    async def script(_redis: Redis, a: Instance, b: Instance) -> None:
        viewer = await b.viewer("front", ANNA)
        await viewer.send("offer", sdp="v=0")
        assert (await viewer.next())["code"] == "peer-absent"
        camera = await a.camera("front")
        assert (await camera.next())["peerId"] == ANNA
        connected = {"type": "peer-connected", "peer": "sender", "peerId": ANNA, "cameraId": "front"}
        assert await viewer.next() == connected
        await camera.send("error", peerId=ANNA, message="full", code="viewers-full")
        assert (await viewer.next())["code"] == "viewers-full"
        await camera.ws.close()
        assert (await viewer.next())["type"] == "peer-disconnected"
        await b.wait_listed("front", online=False)

    play_cluster(script, tmp_path, resume_within=0)


def test_a_camera_that_moves_takes_its_viewers_along(tmp_path: Path) -> None:
    async def script(_redis: Redis, a: Instance, b: Instance, c: Instance) -> None:
        old = await a.camera("front", instanceId="secret-instance")
        await b.wait_listed("front", online=True)
        await c.wait_listed("front", online=True)
        anna, bert = await a.viewer("front", ANNA), await b.viewer("front", BERT)
        for peer in (anna, bert, old, old):
            assert (await peer.next())["type"] == "peer-connected"
        thief = await c.connect()
        assert (await thief.register("sender", cameraId="front", instanceId="other"))["code"] == "sender-taken"
        assert (await thief.register("sender", cameraId="front"))["code"] == "sender-taken"
        new = await c.camera("front", instanceId="secret-instance")
        assert await old.closed() == 4001
        assert {(await new.next())["peerId"] for _ in range(2)} == {ANNA, BERT}
        for viewer, name in ((anna, ANNA), (bert, BERT)):
            connected = {"type": "peer-connected", "peer": "sender", "peerId": name, "cameraId": "front"}
            assert await viewer.next() == connected
            await viewer.send("offer", sdp=f"of {name}")
            assert (await new.next())["sdp"] == f"of {name}"
            await viewer.nothing_more()

    play_cluster(script, tmp_path, count=3)


def test_a_viewer_that_comes_back_on_another_instance_replaces_its_older_socket(tmp_path: Path) -> None:
    async def script(_redis: Redis, a: Instance, b: Instance, c: Instance) -> None:
        camera = await a.camera("front")
        for place in (b, c):
            await place.wait_listed("front", online=True)
        joined = {"type": "peer-connected", "peer": "receiver", "peerId": ANNA, "cameraId": "front"}
        older: Peer | None = None
        for place in (b, c, a, b):
            newer = await place.viewer("front", ANNA)
            assert await camera.next() == joined
            if older is not None:
                assert await older.closed() == 4001
            assert (await newer.next())["type"] == "peer-connected"
            older = newer
        await camera.send("offer", sdp="v=0", peerId=ANNA)
        assert (await newer.next())["type"] == "offer"
        await camera.nothing_more()

    play_cluster(script, tmp_path, count=3)


def test_original_clients_on_different_instances_have_a_call_one_at_a_time(tmp_path: Path) -> None:
    async def script(_redis: Redis, a: Instance, b: Instance) -> None:
        first = await b.connect("/")
        await first.register("receiver")
        sender = await a.connect("/")
        await sender.register("sender")
        assert await first.next() == {"type": "peer-connected", "peer": "sender"}
        assert await sender.next() == {"type": "peer-connected", "peer": "receiver"}
        second = await a.connect("/")
        await second.register("receiver")
        assert await first.next() == {"type": "peer-disconnected", "peer": "sender"}
        assert await sender.next() == {"type": "peer-connected", "peer": "receiver"}
        await second.next()
        await second.ws.close()
        assert await sender.next() == {"type": "peer-disconnected", "peer": "receiver"}
        assert await sender.next() == {"type": "peer-connected", "peer": "receiver"}
        assert await first.next() == {"type": "peer-connected", "peer": "sender"}
        await sender.send("offer", sdp="v=0")
        assert await first.next() == {"type": "offer", "sdp": "v=0"}
        await first.send("answer", sdp="v=0 a")
        assert await sender.next() == {"type": "answer", "sdp": "v=0 a"}

    play_cluster(script, tmp_path, resume_within=0)


def test_viewers_that_know_lists_hear_of_the_whole_cluster(tmp_path: Path) -> None:
    async def script(redis: Redis, a: Instance, b: Instance) -> None:
        lister = await b.connect()
        assert (await lister.register("receiver", list=True))["cameras"] == []
        camera = await a.camera("front", title="Front door")
        assert await lister.next_list() == [{"id": "front", "title": "Front door", "online": True}]
        async with instance(redis, "late") as late:
            await late.wait_listed("front", online=True, title="Front door", instance="a")
            await late.camera("yard")
            while {entry["id"] for entry in await lister.next_list()} != {"front", "yard"}:
                pass
        await b.wait_listed("yard", online=False)
        await camera.ws.close()
        while any(entry["online"] for entry in await lister.next_list()):
            pass

    play_cluster(script, tmp_path, resume_within=0)


def test_presence_in_redis_expires_and_holds_no_secret(tmp_path: Path) -> None:
    async def script(redis: Redis, a: Instance, _b: Instance) -> None:
        await a.camera("front", instanceId="secret-instance")
        keys = [line for line in redis.command("KEYS *").split("\r\n") if line.startswith("edgecam:")]
        assert len(keys) == 5  # the set of instances; a greeting and a table of each
        for key in keys:
            assert int(redis.command("PTTL", key).strip(":\r\n")) > 0, key
            if ":cameras:" in key:
                assert "secret-instance" not in redis.command("HGETALL", key)

    play_cluster(script, tmp_path)


def test_cameras_of_one_name_at_the_same_moment_end_with_one_of_them_everywhere(tmp_path: Path) -> None:
    async def turned_out(peer: Peer) -> None:
        assert (await peer.next())["code"] == "sender-taken"
        assert await peer.closed() == 4001

    async def script(_redis: Redis, *places: Instance) -> None:
        peers = {place: await place.connect() for place in places}
        for peer in peers.values():
            await peer.send("register", role="sender", cameraId="front")
        replies = {place: await peer.next() for place, peer in peers.items()}
        registered = [place for place, reply in replies.items() if reply["type"] == "registered"]
        leaving = {place: asyncio.create_task(turned_out(peers[place]), name="leaving") for place in registered}
        while len(left := [place for place in registered if not leaving[place].done()]) > 1:
            await asyncio.wait([leaving[place] for place in left], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(*(leaving[place] for place in registered if place not in left))
        (holder,) = left
        leaving[holder].cancel()
        for place in places:
            await place.wait_listed("front", online=True, instance=None if place is holder else holder.name)
        viewer = await places[0].viewer("front", ANNA)
        assert (await viewer.next())["type"] == "peer-connected"
        assert (await peers[holder].next())["peerId"] == ANNA

    play_cluster(script, tmp_path, count=3)
