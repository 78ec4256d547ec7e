"""The framing between the daemon and its capture processes."""

from __future__ import annotations

import random
from dataclasses import asdict

import pytest

from edgecam.capture import wire
from edgecam.capture.wire import Kind, MessageBuffer, WireError
from edgecam.media.types import CaptureReport, Control, ControlsNow, LowerRendition, StreamInfo

LOWER = (LowerRendition(320, 240, 29.7, "libx264", "42c00d"),)
INFO = StreamInfo("test picture", "yuv420p", 640, 480, 29.7, "libx264", "libx264 encodes", "42c01e", LOWER)


def unit_message(data: bytes, keyframe: bool = False, captured_ns: int = 7, rendition: int = 0) -> bytes:
    return wire.encode_unit_header(len(data), keyframe, captured_ns, rendition) + data


def feed(buffer: MessageBuffer, data: bytes, step: int) -> list[tuple[Kind, bytes]]:
    """Deliver bytes as a socket would, at most `step` at a time."""
    messages = []
    while data:
        room = buffer.free()
        count = min(step, len(room), len(data))
        room[:count] = data[:count]
        data = data[count:]
        messages += [(kind, bytes(payload)) for kind, payload in buffer.received(count)]
    return messages


@pytest.mark.parametrize("step", [1, 3, 64, 100_000])
def test_messages_survive_any_fragmentation(step: int) -> None:
    rng = random.Random(1)
    pictures = [rng.randbytes(rng.choice((1, 10, 900, 5000))) for _ in range(20)]
    received = feed(MessageBuffer(1024), b"".join(map(unit_message, pictures)), step)
    assert [wire.decode_unit(memoryview(payload))[3] for _kind, payload in received] == pictures


def test_a_unit_keeps_its_flag_its_rendition_and_its_time() -> None:
    ((kind, payload),) = feed(
        MessageBuffer(), unit_message(b"picture", keyframe=True, captured_ns=2**62, rendition=2), 4096
    )
    assert kind is Kind.UNIT
    assert wire.decode_unit(memoryview(payload)) == (True, 2, 2**62, b"picture")


def test_stream_info_and_reports_come_back_as_they_were() -> None:
    report = CaptureReport(10, 1, 9, 0, 2.5)
    data = wire.encode_json(Kind.OPENED, asdict(INFO)) + wire.encode_json(Kind.REPORT, asdict(report))
    (_, first), (_, second) = feed(MessageBuffer(), data, 4096)
    assert wire.decode_info(memoryview(first)) == INFO
    assert wire.decode_report(memoryview(second)) == report


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\xff" * 16,
        wire.HEADER.pack(Kind.UNIT, wire.MAX_PAYLOAD + 1),
        wire.HEADER.pack(Kind.REPORT, wire.MAX_JSON + 1),
    ],
)
def test_an_unknown_kind_or_an_excessive_length_is_refused(nonsense: bytes) -> None:
    with pytest.raises(WireError):
        feed(MessageBuffer(), nonsense, 4096)


def test_payloads_of_the_wrong_shape_are_refused() -> None:
    for payload in (b"{", b"[]", b'{"source": 1}'):
        with pytest.raises(WireError):
            wire.decode_info(memoryview(payload))
    with pytest.raises(WireError):
        wire.decode_unit(memoryview(bytes(wire.UNIT.size)))


CONTROLS = ControlsNow(
    {"Zoom": "there is no control Zoom"},
    (
        Control("auto_exposure", "menu", 0, 3, 1, 3, 1, {"Manual Mode": 1, "Aperture Priority Mode": 3}),
        Control("ColourGains", "Float", 0.0, 32.0, None, None, [1.5, 2.0], {}),
        Control("AeEnable", "Bool", False, True, None, True, None, {}),
    ),
)


def test_controls_of_both_kinds_of_cameras_arrive_as_they_were_sent() -> None:
    payload = wire.encode_json(Kind.CONTROLS, {"id": 7, **asdict(CONTROLS)})[wire.HEADER.size :]
    assert wire.decode_controls(memoryview(payload)) == (7, CONTROLS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "7"},
        {"refused": "everything"},
        {"refused": {"Zoom": 1}},
        {"controls": {}},
        {"controls": [{"name": "Zoom"}]},
        {"controls": 257 * [asdict(CONTROLS.controls[0])]},
        {"controls": [{**asdict(CONTROLS.controls[0]), "name": 1}]},
        {"controls": [{**asdict(CONTROLS.controls[0]), "value": float("inf")}]},
        {"controls": [{**asdict(CONTROLS.controls[0]), "value": [[[1]]]}]},
        {"controls": [{**asdict(CONTROLS.controls[0]), "choices": {"Manual Mode": "1"}}]},
        {"more": 1},
    ],
)
def test_controls_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    payload = wire.encode_json(Kind.CONTROLS, {"id": 7, **asdict(CONTROLS), **wrong})[wire.HEADER.size :]
    with pytest.raises(WireError):
        wire.decode_controls(memoryview(payload))
