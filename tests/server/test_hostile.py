"""Clients that are broken, slow, malicious or without the token."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random

import aiohttp
import pytest

from edgecam.http.credentials import FAILURES_ALLOWED
from edgecam.server.hub import MAX_ERRORS, Hub
from edgecam.server.seats import Client
from edgecam.signaling import wire
from edgecam.signaling.fields import MAX_MESSAGE_BYTES
from tests.server.scene import Town, play
from tests.signaling.test_wire import EVERY_MESSAGE, mutated

ANNA = "anna-" + "a" * 16


def test_garbage_is_answered_with_an_error_and_the_client_lives_on() -> None:
    async def script(town: Town) -> None:
        peer = await town.connect()
        for text in (
            "",
            "{",
            "[]",
            '{"type":5}',
            "\0",
            '{"type":"register","role":"boss"}',
            '{"type":"welcome"}',
        ):
            await peer.ws.send_str(text)
            assert (await peer.next())["type"] == "error", text
        await peer.ws.send_bytes(b"\x00\x01")
        assert (await peer.next())["type"] == "error"
        assert (await peer.register("sender"))["type"] == "registered"

    play(script)


def test_unknown_messages_are_ignored() -> None:
    async def script(town: Town) -> None:
        peer = await town.connect()
        for _ in range(2 * MAX_ERRORS):
            await peer.send("ping")
        await peer.nothing_more()

    play(script)


def test_whoever_has_not_registered_may_not_speak() -> None:
    async def script(town: Town) -> None:
        camera = await town.camera()
        stranger = await town.connect()
        for kind in ("offer", "answer", "ice-candidate"):
            await stranger.send(kind, sdp="v=0", cameraId="front")
            assert (await stranger.next())["code"] == "not-registered"
        await camera.nothing_more()

    play(script)


def test_too_much_garbage_closes_the_socket_for_policy() -> None:
    async def script(town: Town) -> None:
        peer = await town.connect()
        for _ in range(MAX_ERRORS):
            await peer.ws.send_str("garbage")
        assert await peer.closed() == 1008
        await town.connect()

    play(script)


def test_an_oversized_message_closes_only_its_sender() -> None:
    async def script(town: Town) -> None:
        camera = await town.camera()
        viewer = await town.viewer()
        await viewer.ws.send_str("x" * (MAX_MESSAGE_BYTES + 100))
        assert await viewer.closed() == 1009
        assert (await camera.next())["type"] == "peer-connected"
        assert (await camera.next())["type"] == "peer-disconnected"

    play(script)


def test_a_viewer_that_does_not_read_is_cut_off_and_harms_nobody() -> None:
    async def script(town: Town) -> None:
        camera = await town.camera()
        slow, quick = "slow-" + "s" * 16, "quick-" + "q" * 16
        _, reader = await town.viewer("front", slow), await town.viewer("front", quick)
        assert (await reader.next())["type"] == "peer-connected"
        assert {(await camera.next())["peerId"] for _ in range(2)} == {slow, quick}

        async def flood() -> None:
            while True:
                await camera.send("offer", sdp="x" * 100_000, peerId=slow)

        flooding = asyncio.create_task(flood(), name="flood")
        message = await camera.next()
        flooding.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await flooding
        assert (message["type"], message["peerId"]) == ("peer-disconnected", slow)
        await camera.send("offer", sdp="v=0", peerId=quick)
        assert (await reader.next())["sdp"] == "v=0"

    play(script)


def test_a_flooding_viewer_is_read_slowly_and_its_camera_stays() -> None:
    async def script(town: Town) -> None:
        camera = await town.camera()
        viewer = await town.viewer("front", ANNA)
        assert (await camera.next())["type"] == "peer-connected"
        text = json.dumps({"type": "ice-candidate", "candidate": "candidate:1"})
        for _ in range(5000):
            await viewer.ws.send_str(text)
        for _ in range(150):
            assert (await camera.next())["type"] == "ice-candidate"
        assert (await town.json("/status"))["cameras"][0]["online"] is True

    play(script)


class Sink:
    """A link that keeps nothing."""

    remote = "192.0.2.7"
    away = False
    closed = False

    def send(self, text: str) -> None:
        assert json.loads(text)["type"]

    def close(self, code: int, reason: str) -> None:
        self.closed = True


def test_the_hub_survives_thousands_of_mutated_messages_from_many_clients() -> None:
    chance = random.Random(20240502)
    hub = Hub(max_cameras=3, max_viewers=5)
    clients: list[Client] = []
    texts = [wire.encode(message) for message in EVERY_MESSAGE]
    for _ in range(8000):
        if not clients or chance.random() < 0.02:
            clients.append(hub.connect(Sink()))
        client = chance.choice(clients)
        text = chance.choice(texts)
        hub.receive(client, text if chance.random() < 0.7 else mutated(text, chance))
        if chance.random() < 0.015:
            hub.disconnect(client)
            clients.remove(client)
    for client in clients:
        hub.disconnect(client)
    assert not hub.clients
    assert not hub.registry.viewers
    assert all(not camera.viewers and camera.seat is None for camera in hub.registry.cameras.values())
    assert len(hub.registry.cameras) <= 6


def test_without_the_token_no_socket_opens() -> None:
    async def script(town: Town) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await town.connect()
        assert caught.value.status == 401
        camera = await town.connect(Authorization="Bearer sesame")
        assert (await camera.register("sender", cameraId="front", token="sesame"))["type"] == "registered"
        await town.connect("/?token=sesame")

    play(script, token="sesame")


def test_anonymous_clients_are_let_in_when_allowed_but_pages_stay_closed() -> None:
    async def script(town: Town) -> None:
        peer = await town.connect()
        assert (await peer.register("sender", token="wrong"))["code"] == "token-wrong"
        assert (await peer.register("sender"))["type"] == "registered"
        async with town.session.get(f"http://{town.address}/status") as response:
            assert response.status == 401

    play(script, token="sesame", allow_anonymous=True)


def test_guessing_the_token_when_registering_is_slowed_down_over_all_connections() -> None:
    async def script(town: Town) -> None:
        for _ in range(FAILURES_ALLOWED):
            peer = await town.connect()
            refusal = await peer.register("sender", cameraId="front", token="guess")
            assert (refusal["code"], refusal["message"]) == ("token-wrong", "that token is wrong")
        refusal = await (await town.connect()).register("sender", cameraId="front", token="sesame")
        assert refusal["code"] == "too-many-attempts"
        assert "too many wrong tokens from your address" in refusal["message"]
        async with town.session.get(f"http://{town.address}/status", headers={"Authorization": "Bearer sesame"}) as reply:
            assert reply.status == 429

    play(script, token="sesame", allow_anonymous=True)


def test_another_sites_page_cannot_open_a_socket() -> None:
    async def script(town: Town) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await town.connect(Origin="https://evil.example")
        assert caught.value.status == 403

    play(script, allow_anonymous=True)
