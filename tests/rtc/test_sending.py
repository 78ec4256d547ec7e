"""The fast path's packets, on real sockets and real SRTP: what a viewer gets is the very access unit."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import replace
from itertools import pairwise
from unittest.mock import patch

import pytest
from aiortc.rtp import RtcpByePacket, RtcpSdesPacket, RtcpSrPacket
from structlog.testing import capture_logs

from edgecam.media.wallclock import WallClock
from edgecam.rtc import aiortc_private
from edgecam.rtc.extensions import ExtensionIds
from edgecam.rtc.sending.fanout import FanOut
from edgecam.rtc.sending.template import StreamFormat
from tests.rtc.sending_scene import (
    FRAME,
    PAYLOAD_TYPE,
    PROFILES,
    SO_NO_CHECK,
    SSRC,
    Camera,
    clogged,
    drained,
    expected,
    link,
    listening,
    pair_from,
    pair_to,
    start,
    unit,
    units_of,
)


@pytest.mark.parametrize("gso", [True, False])
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("shared", [True, False])
def test_a_viewer_gets_the_very_access_units(profile: str, gso: bool, host: str, shared: bool) -> None:
    async def scenario() -> None:
        async with link(profile, gso=gso, host=host, shared=shared) as viewer:
            start(viewer)
            sizes = [30_000, 8333, 100, 1130, 1200, 2300, 16_000, 7]
            units = [unit(index, size, keyframe=index == 0) for index, size in enumerate(sizes)]
            for each in units:
                viewer.camera.broadcaster.publish(each)
                await drained(viewer)
            arrived = viewer.receive()
            assert units_of(arrived.media) == expected(units)
            numbers = [packet.sequence_number for packet in arrived.media]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            assert {packet.payload_type for packet in arrived.media} == {PAYLOAD_TYPE}
            stamps = sorted({packet.timestamp for packet in arrived.media}, key=[p.timestamp for p in arrived.media].index)
            assert [(after - before) & 0xFFFFFFFF for before, after in pairwise(stamps)] == [FRAME] * 7
            assert max(arrived.sizes) <= 1200
            assert viewer.sender.path.gso is gso
            assert viewer.sender.packets == len(arrived.media)
            assert viewer.sender.octets == sum(len(packet.payload) for packet in arrived.media)
            assert viewer.broken == []

    asyncio.run(scenario())


@pytest.mark.parametrize("shared", [True, False])
def test_sequence_numbers_and_timestamps_wrap(shared: bool) -> None:
    async def scenario() -> None:
        async with link(shared=shared) as viewer:
            viewer.sender.fanout.origin = 0xFFFFFFFF - 2 * FRAME
            start(viewer)
            viewer.camera.broadcaster.publish(unit(0, 100, keyframe=True))
            viewer.receive()
            viewer.sender.go_alone()
            viewer.sender._sequence = viewer.sender.fanout._upcoming[0] = 65_530
            units = [unit(index, 9000) for index in range(1, 5)]
            for each in units:
                viewer.camera.broadcaster.publish(each)
            arrived = viewer.receive()
            assert units_of(arrived.media) == expected(units)
            numbers = [packet.sequence_number for packet in arrived.media]
            assert numbers == [(65_530 + index) & 0xFFFF for index in range(len(numbers))]
            assert {packet.timestamp for packet in arrived.media} == {0xFFFFFFFF - FRAME, 0xFFFFFFFF, FRAME - 1, 2 * FRAME - 1}
            viewer.repair.answer([65_533, 2])
            repeated = viewer.receive().repeated
            assert [packet.payload[:2] for packet in repeated] == [(65_533).to_bytes(2, "big"), (2).to_bytes(2, "big")]

    asyncio.run(scenario())


def test_viewers_of_a_camera_share_its_numbers_until_one_drops_something() -> None:
    async def scenario() -> None:
        fanout, camera = FanOut(WallClock.read()), Camera()
        fanout._upcoming[0] = 40_000  # in the upper half, where nobody may begin
        async with link(fanout=fanout, camera=camera) as one, link(fanout=fanout, camera=camera) as other:
            start(one)
            start(other)
            camera.broadcaster.publish(unit(0, 3000, keyframe=True))
            first = one.receive().media, other.receive().media
            assert [packet.sequence_number for packet in first[0]] == [7232, 7233, 7234, 7235]
            assert [packet.serialize() for packet in first[0]] == [packet.serialize() for packet in first[1]]
            await asyncio.sleep(0.4)  # the group of pictures is too old now for anybody to begin with it
            camera.broadcaster.publish(unit(1, 3000))
            one.sender.skip()
            camera.broadcaster.publish(unit(2, 3000))
            camera.broadcaster.publish(unit(3, 3000, keyframe=True))
            lagging, steady = one.receive().media, other.receive().media
            assert units_of(lagging) == expected([unit(1, 3000), unit(3, 3000, keyframe=True)])
            assert [packet.sequence_number for packet in lagging] == list(range(7236, 7243))
            assert [packet.sequence_number for packet in steady] == list(range(7236, 7246))
            async with link(fanout=fanout, camera=camera) as newcomer:
                start(newcomer)
                camera.broadcaster.publish(unit(4, 3000))
                assert [p.sequence_number for p in newcomer.receive().media] == list(range(7242, 7249))
                assert one.broken == other.broken == newcomer.broken == []

    asyncio.run(scenario())


def test_timestamps_grow_even_when_two_units_have_the_same() -> None:
    async def scenario() -> None:
        async with link() as viewer:
            start(viewer)
            for index, timestamp in enumerate([9000, 12_000, 12_000, 12_000, 15_000]):
                viewer.camera.broadcaster.publish(unit(index, 500, keyframe=index == 0, timestamp=timestamp))
            stamps = [packet.timestamp for packet in viewer.receive().media if packet.marker]
            assert [(stamp - stamps[0]) & 0xFFFFFFFF for stamp in stamps] == [0, 3000, 3001, 3002, 6000]

    asyncio.run(scenario())


def test_viewers_share_what_is_packetised_and_each_has_its_own_class() -> None:
    async def scenario() -> None:
        fanout = FanOut(WallClock.read())
        async with (
            link(fanout=fanout) as one,
            link(fanout=fanout, camera=one.camera) as two,
            link("SRTP_AES128_CM_SHA1_80", fanout=fanout, camera=one.camera, ids=ExtensionIds()) as three,
        ):
            for viewer in (one, two, three):
                start(viewer)
            units = [unit(index, 9000, keyframe=index == 0) for index in range(3)]
            for each in units:
                one.camera.broadcaster.publish(each)
            for viewer in (one, two, three):
                assert units_of(viewer.receive().media) == expected(units)
            assert one.sender.viewers is two.sender.viewers
            assert len(fanout.packetized(units[-1]).templates) == 2
            assert fanout.delays.count == 9

    asyncio.run(scenario())


def test_extensions_say_when_a_packet_was_sent_and_what_mid_it_has() -> None:
    async def scenario() -> None:
        async with link() as viewer:
            start(viewer)
            before = viewer.sender.fanout.clock.ntp(time.monotonic_ns()) >> 14 & 0xFFFFFF
            viewer.camera.broadcaster.publish(unit(0, 5000, keyframe=True))
            after = viewer.sender.fanout.clock.ntp(time.monotonic_ns()) >> 14 & 0xFFFFFF
            viewer.camera.broadcaster.publish(unit(1, 5000))
            headers = [packet.extensions for packet in viewer.receive().media]
            assert {header.mid for header in headers} == {"0", None}, "a delta has the short block"
            for header in headers[:3]:
                assert header.abs_send_time is not None
                assert (header.abs_send_time - before) & 0xFFFFFF <= (after - before) & 0xFFFFFF

    asyncio.run(scenario())


def test_the_first_report_follows_the_first_unit_and_the_last_word_is_bye() -> None:
    async def scenario() -> None:
        async with link() as viewer:
            start(viewer)
            made = unit(0, 3000, keyframe=True)
            first = replace(made, timestamp=made.captured_ns * 9 // 100_000)
            viewer.camera.broadcaster.publish(first)
            arrived = viewer.receive()
            report, description = arrived.reports
            assert isinstance(report, RtcpSrPacket)
            assert isinstance(description, RtcpSdesPacket)
            assert description.chunks[0].items == [(1, b"camera")]
            info = report.sender_info
            assert (report.ssrc, info.packet_count) == (SSRC, len(arrived.media))
            assert info.octet_count == sum(len(packet.payload) for packet in arrived.media)
            # The media clock and the wall clock of the report belong together.
            ticks = (info.rtp_timestamp - arrived.media[0].timestamp) & 0xFFFFFFFF
            seconds = info.ntp_timestamp / 2**32 - viewer.sender.fanout.clock.ntp(first.captured_ns) / 2**32
            assert ticks / 90_000 == pytest.approx(seconds, abs=0.001)
            viewer.sender.close()
            (bye,) = viewer.receive().reports
            assert isinstance(bye, RtcpByePacket)
            assert bye.sources == [SSRC]
            viewer.camera.broadcaster.publish(unit(1, 3000, keyframe=True))
            assert viewer.receive().rtp == []

    asyncio.run(scenario())


def test_a_new_nomination_is_followed_from_the_next_unit_on() -> None:
    async def scenario() -> None:
        async with link() as viewer:
            start(viewer)
            viewer.camera.broadcaster.publish(unit(0, 3000, keyframe=True))
            assert len(units_of(viewer.receive().media)) == 1
            with listening() as elsewhere:
                other = viewer.pairs[1] = pair_to(elsewhere)
                viewer.camera.broadcaster.publish(unit(1, 3000))
                assert viewer.receive().media == []
                assert units_of(viewer.receive(receiving=elsewhere).media) == expected([unit(1, 3000)])
                viewer.pairs.clear()  # as the agent does when it closes
                viewer.camera.broadcaster.publish(unit(2, 3000))
                assert viewer.receive(receiving=elsewhere).media == []
                assert viewer.broken == []
                await other.protocol.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("gso", [True, False])
def test_a_full_socket_drops_to_the_next_keyframe_and_asks_for_one(gso: bool) -> None:
    async def scenario() -> None:
        async with link(gso=gso) as viewer:
            start(viewer)
            viewer.camera.broadcaster.publish(unit(0, 3000, keyframe=True))
            asked, open_road = viewer.camera.asked, viewer.pairs[1]
            clog = viewer.pairs[1] = pair_from(*clogged())
            for index in range(1, 60):
                viewer.camera.broadcaster.publish(unit(index, 14_000))
            feed = viewer.sender.feed
            assert feed is not None
            assert feed.dropped == 1, "after the first one nothing is tried"
            assert viewer.camera.asked == asked + 1
            viewer.pairs[1] = open_road
            sent, sequence = viewer.sender.packets, viewer.sender.sequence
            keyframe = unit(100, 3000, keyframe=True)
            viewer.camera.broadcaster.publish(keyframe)
            arrived = viewer.receive().media
            assert units_of(arrived)[-1:] == expected([keyframe])
            assert arrived[-1].sequence_number == sequence + viewer.sender.packets - sent - 1
            assert viewer.broken == []
            await clog.protocol.close()

    asyncio.run(scenario())


def test_a_kernel_that_does_not_segment_is_asked_once() -> None:
    async def scenario() -> None:
        async with link() as viewer:
            # Segments need checksums: a socket without them is refused GSO by any kernel.
            sending = viewer.pairs[1].protocol.transport.get_extra_info("socket")
            sending.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
            start(viewer)
            units = [unit(index, 9000, keyframe=index == 0) for index in range(4)]
            with capture_logs() as logs:
                for each in units:
                    viewer.camera.broadcaster.publish(each)
            assert units_of(viewer.receive().media) == expected(units)
            assert [entry["event"] for entry in logs] == ["sending.plain"]
            assert viewer.sender.path.gso is False

    asyncio.run(scenario())


def test_an_unreachable_viewer_is_no_error() -> None:
    async def scenario() -> None:
        async with link() as viewer:
            start(viewer)
            viewer.receiving.close()  # port unreachable comes back as ECONNREFUSED
            for index in range(20):
                viewer.camera.broadcaster.publish(unit(index, 3000, keyframe=index == 0))
                await asyncio.sleep(0)
            assert viewer.broken == []

    asyncio.run(scenario())


def test_a_path_that_was_closed_leads_nowhere_and_one_without_descriptors_is_tried_again() -> None:
    async def scenario() -> None:
        async with link() as viewer:
            path = viewer.sender.path
            with patch.object(aiortc_private, "duplicate_socket", side_effect=OSError(24, "Too many open files")):
                assert not path.follow()
                assert path.send(b"nowhere")
            assert path.follow()
            path.close()
            assert not path.follow()

    asyncio.run(scenario())


def test_a_class_of_viewers_lives_as_long_as_one_of_them() -> None:
    fanout = FanOut(WallClock.read())
    formats = [StreamFormat(96, ExtensionIds(), str(number), 16) for number in range(100)]
    kept = fanout.viewer_class(formats[0])
    for each in formats:
        fanout.viewer_class(each)
    assert fanout.viewer_class(formats[0]) is kept
    assert len(fanout._classes) == 1
