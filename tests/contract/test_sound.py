"""Sound both ways with aiortc as the viewer: its receiver decodes the camera's Opus, its sender's Opus reaches the loudspeaker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from aiortc.mediastreams import AudioStreamTrack

from edgecam.capture.opus import OpusEncoder
from edgecam.capture.sound import Beep
from edgecam.health import HealthBoard
from edgecam.media.microphone import Microphone
from edgecam.media.speaker import Speaker, Speech
from edgecam.media.types import SoundPacket
from edgecam.privacy import never_private
from edgecam.rtc.talkback import speech_of
from edgecam.supervisor import background
from tests.peers.viewer import Viewer
from tests.rtc.scene import Scene, scene


class Beeps:
    """The test beep without a process of its own."""

    async def run(self, opened: Callable[[str], None], heard: Callable[[SoundPacket], None]) -> None:
        source, encoder = Beep(), OpusEncoder(32_000)
        opened(source.open())
        chunks = source.chunks()
        while True:
            chunk = await asyncio.to_thread(next, chunks)
            for packet in encoder.encode(chunk):
                heard(SoundPacket(packet.data, packet.timestamp, packet.captured_ns))


class Loudspeaker:
    """Keeps what it is to play."""

    def __init__(self) -> None:
        self.played: list[Speech] = []

    async def run(self, opened: Callable[[str], None]) -> None:
        opened("test")
        await asyncio.Event().wait()

    def play(self, speech: Speech) -> bool:
        self.played.append(speech)
        return True


@asynccontextmanager
async def sounding() -> AsyncIterator[tuple[Scene, Microphone, Speaker, Loudspeaker]]:
    board, loudspeaker = HealthBoard(), Loudspeaker()
    microphone = Microphone("front", Beeps(), board.component("microphone.front"), never_private("front"))
    speaker = Speaker("front", loudspeaker, board.component("speaker.front"))
    async with scene() as stage, background(("microphone", microphone.run), ("speaker", speaker.run)):
        stage.pipeline.microphone, stage.pipeline.speaker = microphone, speaker
        yield stage, microphone, speaker, loudspeaker


class Listener(Viewer):
    """Also listens, and counts packets of sound that hold something."""

    def __init__(self) -> None:
        super().__init__()
        self.sounds: list[Any] = []

    def _on_track(self, track: Any) -> None:
        if track.kind == "video":
            super()._on_track(track)
        else:
            self._tasks.append(asyncio.create_task(self._listen(track), name="listener"))

    async def _listen(self, track: Any) -> None:
        while True:
            self.sounds.append(await track.recv())
            async with self._arrived:
                self._arrived.notify_all()

    async def heard(self, count: int) -> None:
        async with asyncio.timeout(10):
            async with self._arrived:
                await self._arrived.wait_for(lambda: len(self.sounds) >= count)


@pytest.mark.parametrize("talks", [False, True])
def test_sound_goes_both_ways(talks: bool) -> None:
    async def scenario() -> None:
        async with sounding() as (stage, microphone, speaker, loudspeaker), Listener() as viewer:
            audio = viewer.pc.addTransceiver(AudioStreamTrack() if talks else "audio", direction="sendrecv" if talks else "recvonly")
            answer = await stage.viewers.answer(stage.key(), await viewer.offer())
            await viewer.accept(answer)
            await viewer.decoded(3)
            await viewer.heard(60)
            times = [frame.pts for frame in viewer.sounds[10:60]]
            assert {later - earlier for earlier, later in pairwise(times)} == {960}
            assert max(max(abs(sample) for sample in memoryview(bytes(frame.planes[0])).cast("h")) for frame in viewer.sounds) > 3000
            assert microphone.listeners == 1
            assert audio.currentDirection == ("sendrecv" if talks else "recvonly")
            if talks:
                assert len(loudspeaker.played) > 20
                numbers = [speech.sequence for speech in loudspeaker.played]
                assert numbers == [(numbers[0] + n) & 0xFFFF for n in range(len(numbers))]
                assert speaker.talker is not None
            else:
                assert loudspeaker.played == []
            (session,) = stage.viewers
            session.end("the test is over")
            await session.ended()
            async with asyncio.timeout(5):
                while microphone.listeners:  # noqa: ASYNC110 - nothing says so
                    await asyncio.sleep(0.02)

    asyncio.run(scenario())


def test_an_offer_from_the_camera_has_its_sound() -> None:
    async def scenario() -> None:
        async with sounding() as (stage, *_), Listener() as viewer:
            answer = await viewer.answer(await stage.viewers.offer(stage.key()))
            await stage.viewers.accept_answer(stage.key(), answer)
            await viewer.decoded(3)
            await viewer.heard(20)

    asyncio.run(scenario())


def test_a_camera_without_sound_answers_audio_with_nothing() -> None:
    async def scenario() -> None:
        async with scene() as stage, Listener() as viewer:
            audio = viewer.pc.addTransceiver(AudioStreamTrack(), direction="sendrecv")
            await viewer.accept(await stage.viewers.answer(stage.key(), await viewer.offer()))
            await viewer.decoded(3)
            assert audio.currentDirection == "inactive"
            assert viewer.sounds == []

    asyncio.run(scenario())


def test_one_viewer_talks_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    loudspeaker = Loudspeaker()
    speaker = Speaker("front", loudspeaker, HealthBoard().component("speaker.front"))
    speech = Speech(1, b"x")
    assert speaker.say("ann", speech)
    assert not speaker.say("bob", speech)
    now += 0.9
    assert speaker.say("ann", speech)
    now += 0.9
    assert not speaker.say("bob", speech)
    now += 0.2
    assert speaker.say("bob", speech)
    speaker.left("bob")
    assert speaker.say("ann", speech)
    assert speaker.refused == 2


@pytest.mark.parametrize(
    ("packet", "payload"),
    [
        (b"\x80\x6f" + bytes(10) + b"opus", b"opus"),
        (b"\x90\x6f" + bytes(10) + b"\xbe\xde\x00\x01abcd" + b"opus", b"opus"),
        (b"\xa1\x6f" + bytes(10) + b"csrc" + b"opus\x00\x02", b"opus"),
        (b"\x80\x6f", None),
        (b"\x40\x6f" + bytes(20), None),
        (b"\x90\x6f" + bytes(10) + b"\xbe\xde\xff\xff", None),
        (b"\xa0\x6f" + bytes(10) + b"\xff", None),
        (b"\x8f\x6f" + bytes(10), None),
        (b"\x80\x6f" + bytes(10) + bytes(3000), None),
    ],
)
def test_speech_is_what_an_rtp_packet_carries(packet: bytes, payload: bytes | None) -> None:
    found = speech_of(packet)
    assert (found.data if found else None) == payload
