"""Many cameras and many viewers: who hears what."""

from __future__ import annotations

from edgecam.server.hub import SHORT_LIST
from tests.server.scene import Town, play

ANNA, BERT = "anna-" + "a" * 16, "bert-" + "b" * 16


def test_every_viewer_reaches_its_own_camera_and_nobody_else() -> None:
    async def script(town: Town) -> None:
        cameras = {name: await town.camera(name) for name in ("front", "yard", "attic")}
        peers = [(name, f"peer-{name}-{n:016d}") for name in cameras for n in range(5)]
        viewers = {peer: await town.viewer(name, peer) for name, peer in peers}
        for name, peer in peers:
            joined = await cameras[name].next()
            assert joined == {"type": "peer-connected", "peer": "receiver", "peerId": peer, "cameraId": name}
            assert (await viewers[peer].next())["type"] == "peer-connected"
        for name, peer in peers:
            await cameras[name].send("offer", sdp=f"to {peer}", peerId=peer)
        for name, peer in reversed(peers):
            offer = {"type": "offer", "sdp": f"to {peer}", "peerId": peer, "cameraId": name}
            assert await viewers[peer].next() == offer
            # The id that a client claims is not believed.
            await viewers[peer].send("answer", sdp=f"from {peer}", peerId=ANNA, cameraId="front")
        for name, camera in cameras.items():
            answers = [await camera.next() for _ in range(5)]
            expected = {peer: f"from {peer}" for owner, peer in peers if owner == name}
            assert {answer["peerId"]: answer["sdp"] for answer in answers} == expected
            await camera.nothing_more()

    play(script)


def test_a_viewer_that_will_offer_is_announced_as_such_and_answered() -> None:
    async def script(town: Town) -> None:
        camera = await town.camera()
        viewer = await town.connect()
        await viewer.send("register", role="receiver", cameraId="front", peerId=ANNA, offers=True)
        await viewer.send("offer", sdp="v=0")  # may follow at once, before `registered` has come
        assert (await camera.next())["offers"] is True
        offer = await camera.next()
        assert offer == {"type": "offer", "sdp": "v=0", "peerId": ANNA, "cameraId": "front"}
        await camera.send("answer", sdp="v=0 a", peerId=ANNA)
        kinds = [(await viewer.next())["type"] for _ in range(3)]
        assert kinds == ["registered", "peer-connected", "answer"]

    play(script)


def test_a_viewer_before_its_camera_waits_and_both_hear_of_each_other() -> None:
    async def script(town: Town) -> None:
        viewer = await town.viewer("front", ANNA)
        await viewer.send("offer", sdp="v=0")
        assert (await viewer.next())["code"] == "peer-absent"
        camera = await town.camera("front")
        connected = {"type": "peer-connected", "peer": "sender", "peerId": ANNA, "cameraId": "front"}
        assert await viewer.next() == connected
        assert (await camera.next())["peerId"] == ANNA

    play(script)


def test_a_rejoin_with_the_same_peer_id_replaces_the_older_socket() -> None:
    async def script(town: Town) -> None:
        camera = await town.camera()
        older = await town.viewer("front", ANNA)
        await camera.next()
        newer = await town.viewer("front", ANNA)
        joined = {"type": "peer-connected", "peer": "receiver", "peerId": ANNA, "cameraId": "front"}
        assert await camera.next() == joined
        assert await older.closed() == 4001
        await newer.next()
        await camera.send("offer", sdp="v=0", peerId=ANNA)
        assert (await newer.next())["type"] == "offer"
        await camera.nothing_more()
        assert (await town.json("/status"))["viewers"] == 1

    play(script)


def test_a_short_peer_id_is_replaced_by_one_that_cannot_be_guessed() -> None:
    async def script(town: Town) -> None:
        viewer = await town.connect()
        reply = await viewer.register("receiver", cameraId="front", peerId="me")
        assert len(reply["peerId"]) >= 16

    play(script)


def test_a_camera_that_restarts_with_its_instance_id_takes_its_place_at_once() -> None:
    async def script(town: Town) -> None:
        old = await town.camera("front", instanceId="secret-instance")
        viewer = await town.viewer("front", ANNA)
        await old.next()
        await viewer.next()
        thief = await town.connect()
        assert (await thief.register("sender", cameraId="front", instanceId="other"))["code"] == "sender-taken"
        assert (await thief.register("sender", cameraId="front"))["code"] == "sender-taken"
        new = await town.camera("front", instanceId="secret-instance")
        assert await old.closed() == 4001
        assert (await new.next())["peerId"] == ANNA
        assert (await viewer.next())["type"] == "peer-connected"
        await viewer.send("offer", sdp="v=0")
        assert (await new.next())["type"] == "offer"
        await viewer.nothing_more()

    play(script)


def test_both_sides_hear_when_the_other_leaves() -> None:
    async def script(town: Town) -> None:
        camera = await town.camera()
        anna, bert = await town.viewer("front", ANNA), await town.viewer("front", BERT)
        for peer in (camera, camera, anna, bert):
            await peer.next()
        await anna.ws.close()
        left = {"type": "peer-disconnected", "peer": "receiver", "peerId": ANNA, "cameraId": "front"}
        assert await camera.next() == left
        await camera.ws.close()
        gone = {"type": "peer-disconnected", "peer": "sender", "peerId": BERT, "cameraId": "front"}
        assert await bert.next() == gone

    play(script)


def test_a_cameras_refusal_reaches_that_viewer_only() -> None:
    async def script(town: Town) -> None:
        camera = await town.camera()
        anna, bert = await town.viewer("front", ANNA), await town.viewer("front", BERT)
        await anna.next()
        await bert.next()
        await camera.send("error", peerId=ANNA, message="full", code="viewers-full")
        refusal = await anna.next()
        assert (refusal["message"], refusal["code"]) == ("full", "viewers-full")
        await bert.nothing_more()

    play(script)


def test_viewers_that_know_lists_hear_of_changes() -> None:
    async def script(town: Town) -> None:
        lister = await town.connect()
        reply = await lister.register("receiver", list=True)
        assert reply["cameras"] == []
        camera = await town.camera("front", title="Front door")
        assert await lister.next_list() == [{"id": "front", "title": "Front door", "online": True}]
        await camera.nothing_more()  # a lister is no viewer
        await camera.ws.close()
        assert await lister.next_list() == [{"id": "front", "title": "Front door", "online": False}]
        await lister.send("register", role="receiver", cameraId="front")
        assert (await lister.next())["cameraId"] == "front"

    play(script)


def test_a_long_list_of_cameras_goes_to_those_who_ask() -> None:
    async def script(town: Town) -> None:
        front = await town.connect()
        for number in range(SHORT_LIST + 1):
            camera = front if number == 0 else await town.connect()
            assert (await camera.register("sender", cameraId=f"camera-{number}"))["type"] == "registered"
        viewer, lister = await town.connect(), await town.connect()
        assert "cameras" not in await viewer.register("receiver", cameraId="camera-0", peerId=ANNA)
        listed = await lister.register("receiver", cameraId="camera-0", peerId=BERT, list=True)
        assert len(listed["cameras"]) == SHORT_LIST + 1
        assert (await lister.next())["type"] == "peer-connected"
        await front.ws.close()
        assert (await lister.next())["type"] == "peer-disconnected"
        while next(each for each in await lister.next_list() if each["online"])["id"] == "camera-0":
            pass  # news of the cameras' coming
        assert [(await viewer.next())["type"] for _ in range(2)] == ["peer-connected", "peer-disconnected"]
        await viewer.nothing_more()
        assert not viewer.lists

    play(script)


def test_the_api_lists_cameras_and_viewers() -> None:
    async def script(town: Town) -> None:
        await town.camera("front", title="Front door")
        await town.viewer("front", ANNA)
        await town.viewer("nowhere", BERT)
        entry = {"id": "front", "title": "Front door", "online": True, "viewers": 1}
        assert await town.json("/api/v1/cameras") == [entry]
        status = await town.json("/status")
        assert status["clients"] == 3
        assert ANNA not in str(status)

    play(script)


def test_a_full_server_says_so() -> None:
    async def script(town: Town) -> None:
        await town.camera("front")
        await town.viewer("front", ANNA)
        peer = await town.connect()
        assert (await peer.register("sender", cameraId="yard"))["code"] == "full"
        assert (await peer.register("receiver", cameraId="front"))["code"] == "full"

    play(script, max_cameras=1, max_viewers=1)


def test_a_viewer_may_change_its_camera_on_the_same_socket() -> None:
    async def script(town: Town) -> None:
        front, yard = await town.camera("front"), await town.camera("yard")
        viewer = await town.viewer("front", ANNA)
        await front.next()
        await viewer.next()
        await viewer.register("receiver", cameraId="yard", peerId=ANNA)
        assert (await front.next())["type"] == "peer-disconnected"
        assert (await yard.next())["peerId"] == ANNA

    play(script)
