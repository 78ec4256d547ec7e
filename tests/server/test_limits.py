"""What one address or one client may use. Addresses come through a proxy on this machine: loopback itself is not limited."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from edgecam.http.rights import Denied
from edgecam.server.limits import REMEMBERED, Pace, Visitors
from edgecam.settings import LimitSettings
from tests.server.scene import Peer, Town, play

HOST = "cams.example"
PROXIED: dict[str, Any] = {"allowed_hosts": (HOST,)}
ANNA = "anna-" + "a" * 16


def via(address: str) -> dict[str, str]:
    return {"Host": HOST, "X-Forwarded-For": address}


def forwarded(hops: str) -> dict[str, str]:
    return {"X-Forwarded-For": hops}


async def refused(town: Town, address: str) -> aiohttp.ClientResponse:
    """The answer to one connection too many."""
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "x" * 22 + "=="}
    async with town.session.get(f"http://{town.address}/ws", headers=via(address) | upgrade) as reply:
        await reply.read()
        return reply


def test_one_address_may_not_hold_more_than_its_connections_and_others_are_not_concerned() -> None:
    async def script(town: Town) -> None:
        held = [await town.connect(**via("192.0.2.1")) for _ in range(3)]
        reply = await refused(town, "192.0.2.1")
        assert reply.status == 429
        assert int(reply.headers["Retry-After"]) > 0
        assert "3 connections open" in await reply.text()
        await town.connect(**via("192.0.2.2"))
        await held[0].ws.close()
        async with asyncio.timeout(5):
            while (await refused(town, "192.0.2.1")).status != 101:
                pass

    play(script, limits={"connections_per_address": 3}, **PROXIED)


def test_ipv6_counts_by_64() -> None:
    async def script(town: Town) -> None:
        await town.connect(**via("2001:db8::1"))
        assert (await refused(town, "2001:db8::2")).status == 429
        await town.connect(**via("2001:db8:0:1::1"))
        await town.connect(**via("::ffff:192.0.2.1"))
        assert (await refused(town, "192.0.2.1")).status == 429

    play(script, limits={"connections_per_address": 1}, **PROXIED)


def test_connecting_too_often_is_told_when_to_come_back() -> None:
    async def script(town: Town) -> None:
        for _ in range(5):
            await (await town.connect(**via("192.0.2.1"))).ws.close()
        reply = await refused(town, "192.0.2.1")
        assert reply.status == 429
        assert 0 < int(reply.headers["Retry-After"]) <= 12  # five a minute: one every 12 s
        await town.connect(**via("192.0.2.9"))
        metrics = await (await town.session.get(f"http://{town.address}/metrics")).text()
        assert 'edgecam_server_refused_total{code="too-many-joins"} 1' in metrics

    play(script, limits={"joins_per_minute": 5}, **PROXIED)


def test_a_full_server_answers_503_with_retry_after() -> None:
    async def script(town: Town) -> None:
        town.lines.all.update(object() for _ in range(1000))  # type: ignore[misc]
        reply = await refused(town, "192.0.2.1")
        assert (reply.status, reply.headers["Retry-After"]) == (503, "10")
        town.lines.all.clear()

    play(script, max_cameras=1, max_viewers=1, **PROXIED)


def test_whoever_registers_as_nothing_is_asked_to_leave() -> None:
    async def script(town: Town) -> None:
        silent, lister, camera = await town.connect(), await town.connect(), await town.connect()
        await lister.register("receiver", list=True)
        await camera.register("sender")
        told = await silent.next()
        assert (told["type"], told["code"]) == ("error", "register-timeout")
        assert await silent.closed() == 4003
        for peer in (lister, camera):
            await peer.nothing_more()

    play(script, limits={"register_within": 1})


async def flood(viewer: Peer, count: int, size: int) -> None:
    text = json.dumps({"type": "ice-candidate", "candidate": "candidate:" + "1" * size})
    for _ in range(count):
        await viewer.ws.send_str(text)


@pytest.mark.parametrize(
    ("limits", "count", "size", "says"),
    [
        ({"viewer_messages": 10}, 60, 10, "you may send 10 messages a second"),
        ({"viewer_bytes": 2000}, 20, 1500, "you may send 2000 bytes a second"),
        ({"address_messages": 10}, 60, 10, "your address may send 10 messages a second"),
        ({"camera_bytes": 2000}, 20, 1500, "your address may send 2000 bytes a second"),
    ],
)
def test_a_flood_is_read_slowly_and_its_sender_is_told_which_limit(limits: dict[str, int], count: int, size: int, says: str) -> None:
    async def script(town: Town) -> None:
        camera = await town.camera()
        viewer = await town.connect(**via("192.0.2.1"))
        await viewer.register("receiver", cameraId="front", peerId=ANNA)
        assert (await viewer.next())["type"] == "peer-connected"
        flooding = asyncio.create_task(flood(viewer, count, size), name="flood")
        told = await viewer.next()
        assert (told["code"], says in told["message"]) == ("slow-down", True), told
        assert (await camera.next())["type"] == "peer-connected"
        other = await town.viewer("front", "bert-" + "b" * 16)
        assert (await other.next())["type"] == "peer-connected"
        await flooding

    play(script, limits=limits, **PROXIED)


def test_a_trusted_proxy_on_another_address_is_believed_and_an_untrusted_one_is_not() -> None:
    async def script(town: Town) -> None:
        await town.connect(**forwarded("203.0.113.9, 192.0.2.7"))
        await town.connect(Forwarded='for="[2001:db8::7]:4711";proto=https')
        await town.connect(**forwarded("192.0.2.8, 127.0.0.1"))  # two proxies, both trusted
        await town.connect(**forwarded("nonsense"))
        remotes = {line.remote for line in town.lines.all}
        assert remotes == {"192.0.2.7", "2001:db8::7", "192.0.2.8", "127.0.0.1"}

    async def untrusting(town: Town) -> None:
        await town.connect(**forwarded("192.0.2.7"))
        await town.connect(Forwarded="for=192.0.2.7")
        assert {line.remote for line in town.lines.all} == {"127.0.0.1"}

    play(script, trusted_proxies=("127.0.0.0/8", "::1"), token="sesame", allow_anonymous=True)
    play(untrusting, **PROXIED)


def test_addresses_are_forgotten_but_not_while_they_are_here() -> None:
    now = [0.0]
    visitors = Visitors(LimitSettings(), lambda: now[0])
    stays = visitors.enter("192.0.2.1")
    for index in range(2 * REMEMBERED):
        visitor = visitors.enter(f"10.{index >> 16}.{index >> 8 & 255}.{index & 255}")
        assert not isinstance(visitor, Denied)
        visitors.leave(visitor)
    assert len(visitors) <= REMEMBERED + 1
    assert visitors.enter("192.0.2.1") is stays


def test_a_pace_allows_its_rate_and_no_more() -> None:
    now = [0.0]
    pace = Pace(10, burst=1.0, clock=lambda: now[0])
    assert [pace.spend() for _ in range(10)] == [0.0] * 10
    assert pace.spend() == pytest.approx(0.1)
    assert pace.has_room() == pytest.approx(0.2)
    now[0] = 60.0
    assert pace.idle
    assert pace.has_room() == 0.0
