"""Servers whose Redis is gone, slow, restarted, wrong, or full of nonsense."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis import Redis as Client

from edgecam.errors import ConfigError
from edgecam.server.cluster.client import connect
from edgecam.server.cluster.federation import GRACE
from edgecam.server.cluster.messages import (
    MAX_BYTES,
    Bye,
    Came,
    Close,
    Entry,
    Gone,
    Greet,
    Hello,
    Join,
    Leave,
    Say,
    Settled,
    Tell,
    encode,
)
from edgecam.server.cluster.outbox import MAX_BYTES as OUTBOX_BYTES
from edgecam.server.cluster.outbox import MAX_COMMANDS, Command, Outbox
from tests.harness.redis import Redis
from tests.server.cluster_scene import Instance, instance, play_cluster
from tests.server.scene import Peer

ANNA, BERT = "anna-" + "a" * 16, "bert-" + "b" * 16


async def degraded(*places: Instance) -> None:
    for place in places:
        await place.wait_cluster(state="degraded")


async def told(peer: Peer) -> None:
    """Until this client hears that the other side is gone."""
    while (await peer.ws.receive_json())["type"] != "peer-disconnected":
        pass


async def whole(*places: Instance) -> None:
    for place in places:
        await place.wait_cluster(state="running", others=len(places) - 1)


def test_a_short_outage_is_noticed_by_nobody_and_calls_work_afterwards(tmp_path: Path) -> None:
    async def script(redis: Redis, a: Instance, b: Instance) -> None:
        camera = await a.camera("front", instanceId="secret-instance")
        await b.wait_listed("front", online=True)
        viewer = await b.viewer("front", ANNA)
        assert (await viewer.next())["type"] == (await camera.next())["type"] == "peer-connected"
        redis.kill()
        await degraded(a, b)
        thief = await b.connect()
        assert (await thief.register("sender", cameraId="front", instanceId="other"))["code"] == "sender-taken"
        redis.start()
        await whole(a, b)
        # What was said meanwhile may be lost; so both are brought together once more, and that is all they hear.
        joined = {"type": "peer-connected", "peer": "receiver", "peerId": ANNA, "cameraId": "front"}
        assert await camera.next() == joined
        assert (await viewer.next())["type"] == "peer-connected"
        await viewer.send("offer", sdp="v=0")
        while (heard := await camera.next()) == joined:
            pass
        assert heard["sdp"] == "v=0"

    play_cluster(script, tmp_path)


def test_without_redis_local_pairs_meet_and_viewers_elsewhere_are_told_after_the_grace(tmp_path: Path) -> None:
    async def script(redis: Redis, a: Instance, b: Instance) -> None:
        camera = await a.camera("front")
        await b.wait_listed("front", online=True)
        remote = await b.viewer("front", ANNA)
        assert (await remote.next())["type"] == (await camera.next())["type"] == "peer-connected"
        redis.kill()
        started = time.monotonic()
        await degraded(a, b)
        local = await a.viewer("front", BERT)
        assert (await local.next())["type"] == (await camera.next())["type"] == "peer-connected"
        await local.send("offer", sdp="v=0")
        assert (await camera.next())["peerId"] == BERT
        await local.ws.close()
        await told(camera)
        await remote.send("offer", sdp="v=0")
        assert (await remote.next())["code"] == "peer-absent"
        async with asyncio.timeout(GRACE + 5):
            await asyncio.gather(told(camera), told(remote))
        assert time.monotonic() - started > GRACE - 1
        await b.wait_listed("front", online=False)
        redis.start()
        await whole(a, b)
        assert (await remote.next())["type"] == "peer-connected"
        assert (await camera.next())["peerId"] == ANNA

    play_cluster(script, tmp_path)


def test_cameras_of_one_name_on_both_sides_of_a_split_end_with_the_later_one(tmp_path: Path) -> None:
    async def script(redis: Redis, a: Instance, b: Instance) -> None:
        redis.kill()
        await degraded(a, b)
        earlier = await a.camera("front", instanceId="one")
        viewers = await a.viewer("front", ANNA), await b.viewer("front", BERT)
        later = await b.camera("front", instanceId="two")
        assert (await earlier.next())["peerId"] == ANNA
        assert (await later.next())["peerId"] == BERT
        redis.start()
        taken = await earlier.next()
        assert (taken["code"], taken["message"]) == ("sender-taken", "sender role is already taken")
        assert await earlier.closed() == 4001
        await whole(a, b)
        await a.wait_listed("front", online=True, instance="b")
        await b.wait_listed("front", online=True, instance=None)
        assert (await later.next())["peerId"] == ANNA
        await viewers[0].send("offer", sdp="v=0")
        assert (await later.next())["sdp"] == "v=0"

    play_cluster(script, tmp_path)


def test_a_redis_that_hangs_is_left_and_no_message_piles_up(tmp_path: Path) -> None:
    async def script(redis: Redis, a: Instance, b: Instance) -> None:
        camera = await a.camera("front")
        await b.wait_listed("front", online=True)
        await b.viewer("front", ANNA)
        local = await a.viewer("front", BERT)
        assert {(await camera.next())["peerId"] for _ in range(2)} == {ANNA, BERT}
        redis.signal(signal.SIGSTOP)
        try:
            for _ in range(200):
                await camera.send("offer", sdp="x" * 100_000, peerId=ANNA)
            await degraded(a, b)
            await camera.send("offer", sdp="v=0", peerId=BERT)
            assert (await local.next())["type"] == "peer-connected"
            assert (await local.next())["sdp"] == "v=0"
        finally:
            redis.signal(signal.SIGCONT)
        await whole(a, b)

    play_cluster(script, tmp_path)


def test_a_redis_that_has_forgotten_everything_is_told_again(tmp_path: Path) -> None:
    async def script(redis: Redis, a: Instance, b: Instance) -> None:
        await a.camera("front")
        redis.command("FLUSHALL")
        await a.wait_cluster(redis={"state": "connected", "connections": 2})
        await whole(a, b)
        async with instance(redis, "late") as late:
            await late.wait_listed("front", online=True, instance="a")

    play_cluster(script, tmp_path)


def test_a_place_that_is_only_kept_is_given_to_a_camera_that_comes_elsewhere(tmp_path: Path) -> None:
    async def script(_redis: Redis, a: Instance, b: Instance) -> None:
        old = await a.camera("front", instanceId="one-process", received=0)
        await b.wait_listed("front", online=True)
        connection = old.ws.get_extra_info("socket")
        assert connection is not None
        old.ws._response.connection.transport.abort()  # type: ignore[union-attr]  # dies without a word
        new = await b.connect()
        while (reply := await new.register("sender", cameraId="front", instanceId="another"))["type"] == "error":
            assert reply["code"] == "sender-taken"
        await a.wait_listed("front", online=True, instance="b")

    play_cluster(script, tmp_path, resume_within=60)


def test_nonsense_in_redis_harms_nobody(tmp_path: Path) -> None:
    async def script(redis: Redis, a: Instance, b: Instance) -> None:
        camera = await a.camera("front")
        await b.wait_listed("front", online=True)
        viewer = await b.viewer("front", ANNA)
        assert (await viewer.next())["type"] == (await camera.next())["type"] == "peer-connected"
        await asyncio.to_thread(talk_nonsense, redis)
        await whole(a, b)
        await viewer.send("offer", sdp="v=0")
        while (await camera.next()).get("sdp") != "v=0":
            pass
        assert (await a.cluster())["redis"] == {"state": "connected", "connections": 1}

    play_cluster(script, tmp_path)


def talk_nonsense(redis: Redis) -> None:
    """Thousands of broken and strange messages on the channels of all instances, and tables that cannot be read."""
    chance = random.Random(20261121)
    client = Client(port=redis.port)
    nodes = [node.decode() for node in client.smembers("edgecam:1:nodes")]  # type: ignore[union-attr]
    stranger = "0123456789abcdef"
    whole_messages = [
        encode(message)
        for node in (*nodes, stranger)
        for message in (
            Hello(node, "x", 7), Gone(node, "nowhere", 5), Greet(node), Settled(stranger, (1, 1)), Leave(node, "front", BERT, 2**60),
            Came(stranger, Entry("nowhere", "", "", 2**61)), Join(node, "nowhere", BERT, True, False, 1, "192.0.2.1", (1, 1)),
            Tell(node, "front", BERT, "{"), Say(node, "front", BERT, "not for you"), Close(node, "front", ANNA, 1, 1000, "no"),
            Bye(stranger),
        )
    ]  # fmt: skip
    channels = ["edgecam:1:all", *(f"edgecam:1:to:{node}" for node in nodes)]
    for name in ("edgecam:1:cameras:" + stranger, "edgecam:1:node:" + stranger):
        client.set(name, "nonsense")
    client.sadd("edgecam:1:nodes", stranger, "nonsense")
    for _ in range(3000):
        data = bytearray(chance.choice(whole_messages))
        for _ in range(chance.choice((0, 1, 1, 2, 8))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        client.publish(chance.choice(channels), bytes(data[: chance.choice((len(data), chance.randrange(1, len(data))))]))
    client.publish("edgecam:1:all", b"x" * (MAX_BYTES + 1))
    client.close()


def test_a_wrong_password_is_said_once_and_without_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def script(redis: Redis, a: Instance) -> None:
        class Wrong:
            url = redis.url.replace("right-password", "wrong-password")

        async with instance(Wrong(), "wrong") as wrong:  # type: ignore[arg-type]
            found = await wrong.wait_cluster(state="degraded", redis={"state": "redis-refused", "connections": 0})
            assert "check [server] redis" in str(found["detail"])
            assert "password" not in str(found["detail"]).replace("username-password", "")
            camera, viewer = await wrong.camera(), await wrong.viewer()
            assert (await camera.next())["type"] == (await viewer.next())["type"] == "peer-connected"
        await a.wait_cluster(state="running", others=0)

    play_cluster(script, tmp_path, count=1, password="right-password")
    printed = capsys.readouterr()
    assert "right-password" not in printed.out + printed.err
    assert "wrong-password" not in printed.out + printed.err


def test_without_the_library_the_error_says_which_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == "redis" or name.startswith("redis.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigError, match="python3-redis"):
        connect("redis://127.0.0.1")


@pytest.mark.parametrize("url", ["http://127.0.0.1", "redis://127.0.0.1:port", "127.0.0.1:6379"])
def test_what_is_no_address_of_redis_is_refused_and_not_repeated(url: str) -> None:
    from pydantic import ValidationError

    from edgecam.settings import ServerSettings

    with pytest.raises((ConfigError, ValidationError)) as caught:
        connect(ServerSettings.model_validate({"redis": SecretStr(url)}).redis.get_secret_value())
    assert "127.0.0.1" not in str(caught.value)


def test_what_waits_for_redis_is_bounded() -> None:
    for size, count in ((10, MAX_COMMANDS + 1), (1_000_000, OUTBOX_BYTES // 1_000_000 + 1)):
        box = Outbox()
        box.put(Command(("dropped, as there is no connection",)))
        assert box.take() == []
        box.open = True
        for _ in range(count):
            assert not box.overflowed
            box.put(Command((b"x" * size,)))
        assert box.overflowed
        box.put(Command(("one more",)))
        assert box.take() == []
