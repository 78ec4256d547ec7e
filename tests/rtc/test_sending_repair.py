"""NACKs are answered from what all viewers share, in both forms, and never more than is due."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from edgecam.rtc.sending.fanout import HISTORY_NS, HISTORY_PACKETS
from tests.rtc.sending_scene import RTX_PAYLOAD_TYPE, drained, link, start, unit


def test_a_lost_packet_comes_again_as_rtx() -> None:
    async def scenario() -> None:
        async with link() as viewer:
            start(viewer)
            for index in range(3):
                viewer.camera.broadcaster.publish(unit(index, 9000, keyframe=index == 0))
            media = viewer.receive().media
            lost = media[4:6] + media[-1:]
            viewer.repair.answer([packet.sequence_number for packet in lost])
            repeated = viewer.receive().repeated
            assert [(p.payload_type, p.marker, p.timestamp) for p in repeated] == [
                (RTX_PAYLOAD_TYPE, p.marker, p.timestamp) for p in lost
            ]
            assert [p.payload for p in repeated] == [p.sequence_number.to_bytes(2, "big") + p.payload for p in lost]
            numbers = [p.sequence_number for p in repeated]
            assert numbers == list(range(numbers[0], numbers[0] + 3))
            assert all(p.extensions.abs_send_time is not None for p in repeated)
            assert (viewer.repair.packets, viewer.repair.octets) == (3, sum(len(p.payload) for p in lost))

    asyncio.run(scenario())


@pytest.mark.parametrize("profile", ["SRTP_AEAD_AES_128_GCM", "SRTP_AES128_CM_SHA1_80"])
def test_without_rtx_the_very_same_packet_comes_again(profile: str) -> None:
    async def scenario() -> None:
        async with link(profile, rtx=False) as viewer:
            start(viewer)
            for index in range(3):
                viewer.camera.broadcaster.publish(unit(index, 9000, keyframe=index == 0))
            datagrams = viewer.datagrams()
            lost = [datagrams[0], datagrams[3], datagrams[-1]]
            assert len({len(datagram) for datagram in lost}) > 1
            viewer.repair.answer([int.from_bytes(datagram[2:4], "big") for datagram in lost])
            assert viewer.datagrams() == lost, "bit for bit: a sequence number must not encrypt two different things"

    asyncio.run(scenario())


def test_what_was_never_sent_or_is_long_gone_is_not_answered() -> None:
    async def scenario() -> None:
        async with link() as viewer:
            start(viewer)
            viewer.camera.broadcaster.publish(unit(0, 9000, keyframe=True))
            first = viewer.receive().media[0].sequence_number
            viewer.repair.answer([(first - 1) & 0xFFFF, viewer.sender.sequence & 0xFFFF, (first + 30_000) & 0xFFFF])
            assert viewer.receive().rtp == []
            for index in range(1, 300):
                viewer.camera.broadcaster.publish(unit(index, 9000))
                viewer.receive()
            viewer.repair.answer([first])
            assert viewer.receive().rtp == []

    asyncio.run(scenario())


def test_the_history_reaches_back_as_far_as_it_promises() -> None:
    async def scenario() -> None:
        async with link() as viewer:
            start(viewer)
            for index in range(300):
                made = unit(index, 9500, keyframe=index == 0)
                viewer.camera.broadcaster.publish(replace(made, received_ns=made.received_ns - HISTORY_NS))
                viewer.receive()
            wanted = (viewer.sender.sequence - HISTORY_PACKETS) & 0xFFFF
            viewer.repair.answer([wanted])
            (repeated,) = viewer.receive().repeated
            assert repeated.payload[:2] == wanted.to_bytes(2, "big")
            held = sum(len(each.data) for each in viewer.sender.fanout._history)
            assert held < 2_600_000, "and no further"

    asyncio.run(scenario())


def test_a_packet_is_not_sent_twice_within_a_round_trip() -> None:
    async def scenario() -> None:
        async with link() as viewer:
            start(viewer)
            viewer.camera.broadcaster.publish(unit(0, 9000, keyframe=True))
            wanted = viewer.receive().media[2].sequence_number
            viewer.repair.answer([wanted, wanted])
            viewer.repair.answer([wanted])
            assert len(viewer.receive().repeated) == 1

    asyncio.run(scenario())


def test_a_flood_of_nacks_is_bounded() -> None:
    async def scenario() -> None:
        async with link() as viewer:
            start(viewer)
            for index in range(100):
                viewer.camera.broadcaster.publish(unit(index, 14_000, keyframe=index == 0))
            numbers = [packet.sequence_number for packet in viewer.receive().media]
            assert len(numbers) > 1000
            for _ in range(10):
                viewer.repair.answer(numbers)
            assert len(viewer.receive().repeated) < 500

    asyncio.run(scenario())


def test_padding_repeats_the_newest_packets_in_the_rtx_stream() -> None:
    async def scenario() -> None:
        async with link() as viewer:
            start(viewer)
            assert viewer.repair.pad(10_000) == 0, "nothing was sent yet"
            viewer.camera.broadcaster.publish(unit(0, 3000, keyframe=True))
            await drained(viewer)
            viewer.receive()
            made = viewer.repair.pad(10_000)
            padding = viewer.receive().repeated
            assert 10_000 <= made < 12_000
            assert made == sum(len(packet.payload) - 2 for packet in padding)
        async with link(rtx=False) as viewer:
            start(viewer)
            viewer.camera.broadcaster.publish(unit(0, 3000, keyframe=True))
            assert viewer.repair.pad(10_000) == 0

    asyncio.run(scenario())
