"""10^5 messages that nobody meant, from clients with different rights: nothing crashes, nobody gets in, nothing reaches a stranger."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from dataclasses import dataclass, field

import pytest

from edgecam.http.rights import Rights
from edgecam.server.hub import Hub
from edgecam.server.seats import CameraSeat, Client, ViewerSeat
from edgecam.signaling import wire
from edgecam.signaling.fields import MAX_MESSAGE_BYTES
from tests.load import client as raw
from tests.server.fuzzing import TYPES, Fuzzer
from tests.server.scene import Town, play

CASES = 100_000
CAMERAS = ("front", "yard", "attic")
GIVEN = (
    Rights("admin"), Rights("anyone"), Rights("camera", ("front",)), Rights("camera", ("yard",)),
    Rights("viewer", ("front",)), Rights("viewer", ("yard",)), Rights("viewer", ("front", "attic")),
)  # fmt: skip
RELAYED = {"offer", "answer", "ice-candidate"}
MARK = re.compile(r"from-(\d+)/\1\.")  # twice, or one that was cut would be somebody else's


@dataclass(eq=False)
class Ear:
    """A client's link that remembers what it was sent since it was last asked."""

    number: int
    remote: str = "192.0.2.7"
    away: bool = False
    closed: bool = False
    heard: list[str] = field(default_factory=list)

    def send(self, text: str) -> None:
        self.heard.append(text)

    def close(self, code: int, reason: str) -> None:
        assert 1000 <= code < 5000
        assert len(reason) < 120
        self.closed = True


class Siege:
    """A hub and its clients; after each message everything that anybody heard of it is judged."""

    def __init__(self, seed: int) -> None:
        self.hub = Hub(max_cameras=3, max_viewers=8)
        self.clients: dict[int, tuple[Client, Ear]] = {}
        self.fuzzer = Fuzzer(seed, CAMERAS, self._peers)
        self.seen: Counter[str] = Counter()
        self._number = 0

    def _peers(self) -> list[str]:
        return [viewer.peer_id for viewer in self.hub.registry.viewers]

    def step(self) -> None:
        chance = self.fuzzer.chance
        if len(self.clients) < 12 or chance.random() < 0.02:
            self._number += 1
            ear = Ear(self._number)
            self.clients[ear.number] = self.hub.connect(ear, chance.choice(GIVEN)), ear
        client, ear = chance.choice(list(self.clients.values()))
        kind = chance.choice(TYPES)
        before = {number: other.seat for number, (other, _) in self.clients.items()}
        self.hub.receive(client, self.fuzzer.message(f"from-{ear.number}/{ear.number}.", kind))
        self.seen[kind] += 1
        self._judge(client, ear, before[ear.number])
        for gone in [each for each in self.clients.values() if each[1].closed]:
            self._drop(*gone)
        if chance.random() < 0.01:
            self._drop(client, ear)

    def _drop(self, client: Client, ear: Ear) -> None:
        self.hub.disconnect(client)
        self.clients.pop(ear.number, None)

    def _judge(self, sender: Client, ear: Ear, seat: CameraSeat | ViewerSeat | None) -> None:
        for client, other in self.clients.values():
            self._sits_rightly(client)
            for text in other.heard:
                message = wire.decode(text)
                assert not isinstance(message, wire.Unknown)
                found = MARK.search(text)
                if found is None or json.loads(text)["type"] not in RELAYED:
                    continue
                assert int(found[1]) == ear.number, "what somebody else sent"
                assert seat is not None, "relayed for a client that was not registered"
                self._meant_for(seat, client, json.loads(text))
            other.heard.clear()

    def _sits_rightly(self, client: Client) -> None:
        seat = client.seat
        if isinstance(seat, CameraSeat):
            assert client.rights.may_send(seat.camera.id)
            assert seat.camera.seat is seat
        elif isinstance(seat, ViewerSeat) and seat.camera is not None:
            assert client.rights.may_watch(seat.camera.id)
            assert seat.camera.viewers.get(seat.peer_id) is seat

    def _meant_for(self, seat: CameraSeat | ViewerSeat, receiver: Client, body: dict[str, object]) -> None:
        """A camera speaks to its own viewers, a viewer to its own camera, under its own name."""
        theirs = receiver.seat
        assert theirs is not None
        assert theirs.camera is seat.camera, "another camera's"
        assert type(theirs) is not type(seat), "of the same role"
        if isinstance(seat, ViewerSeat) and "peerId" in body:
            assert body["peerId"] == seat.peer_id, "under another viewer's name"


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_messages_of_every_type_let_nobody_in_and_reach_no_stranger(seed: int) -> None:
    siege = Siege(seed)
    for _ in range(CASES // 4):
        siege.step()
    assert min(siege.seen[kind] for kind in TYPES) > CASES // 4 // len(TYPES) // 2
    for client, ear in list(siege.clients.values()):
        siege._drop(client, ear)
    assert not siege.hub.clients
    assert not siege.hub.registry.viewers
    assert all(camera.seat is None and not camera.viewers for camera in siege.hub.registry.cameras.values())
    assert len(siege.hub.registry.cameras) <= 6


async def open_raw(town: Town, heard: list[bytes] | None = None) -> raw.Client:
    """A client that says what it likes; its upgrade has been sent."""
    keep = heard.append if heard is not None else (lambda _text: None)
    client = raw.Client(raw.upgrade(str(town.address)), lambda _client, text: keep(text))
    await asyncio.get_running_loop().create_connection(lambda: client, town.address.host, town.address.port)
    return client


def test_the_same_over_sockets_while_a_good_pair_has_one_call_after_another() -> None:
    async def script(town: Town) -> None:
        camera = await town.camera("good-one", instanceId="its-own-secret-id")
        fuzzer = Fuzzer(99, (*CAMERAS, "good-one"), lambda: ["good-viewer-" + "v" * 16, "x" * 22])
        attackers = [await open_raw(town) for _ in range(12)]
        for call in range(20):
            for number in range(200):
                at = fuzzer.chance.randrange(len(attackers))
                transport = attackers[at].transport
                if transport is None or transport.is_closing():
                    attackers[at] = await open_raw(town)
                attackers[at].send(fuzzer.message(f"from-{number}.").encode("utf-8", "surrogatepass")[:60_000])
            viewer = await town.connect()
            peer = f"the-good-ones-{call:016d}"
            await viewer.send("register", role="receiver", cameraId="good-one", peerId=peer, offers=True)
            await viewer.send("offer", sdp=f"v=0 call {call}")
            message = await camera.next()
            while message.get("peerId") != peer or message["type"] != "offer":
                message = await camera.next()
            assert message["sdp"] == f"v=0 call {call}"
            await camera.send("answer", sdp=f"v=0 re {call}", peerId=peer)
            answer = await viewer.next()
            while answer["type"] != "answer":
                assert answer["type"] in {"registered", "peer-connected"}, answer
                answer = await viewer.next()
            assert answer["sdp"] == f"v=0 re {call}"
            await viewer.ws.close()
        assert (await town.json("/status"))["cameras"]
        for attacker in attackers:
            attacker.close()

    play(script, max_viewers=200, limits={"viewer_messages": 100_000, "camera_messages": 100_000})


def test_a_message_of_the_greatest_size_passes_and_one_byte_more_does_not() -> None:
    async def script(town: Town) -> None:
        viewer = await town.viewer("front")
        room = MAX_MESSAGE_BYTES - len(json.dumps({"type": "chat", "text": ""}))
        await viewer.send("chat", text="x" * room)
        await viewer.nothing_more()
        await viewer.send("chat", text="x" * (room + 1))
        assert await viewer.closed() == 1009

    play(script)
