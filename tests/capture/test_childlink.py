"""What a capture process sends that has lost its mind: an error of its camera, whatever it is, and never another one."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from edgecam.capture import wire
from edgecam.capture.childlink import ChildLink, Limits, Timestamps
from edgecam.capture.process import CaptureProcess
from edgecam.capture.wire import Kind
from edgecam.errors import CaptureError
from edgecam.media.types import CaptureReport, LowerRendition, StreamInfo
from edgecam.settings import CameraSettings
from tests.capture.watching import Recorder, child_pids, open_fds

LOWER = LowerRendition(320, 240, 29.7, "libx264", "42c00d")
INFO = asdict(StreamInfo("test picture", "yuv420p", 640, 480, 29.7, "libx264", "libx264 encodes", "42c01e", (LOWER,)))
REPORT = asdict(CaptureReport(30, 1, 29, 0, 2.5))
FAILURE = {"code": "camera-io", "message": "the source ended", "remedy": "start it again"}
SMALL: dict[Kind, dict[str, object]] = {
    Kind.PHASE: {"phase": "probing libx264"},
    Kind.OPENED: INFO,
    Kind.REPORT: REPORT,
    Kind.FAILED: dict(FAILURE),
}
ODD_VALUES: tuple[object, ...] = (
    *(None, True, "", "\ud800", "x" * 50_000, [], {}, {"a": [1]}),
    *(0, -1, 0.0, 1e-320, 2**31, 2**63, 10**400, float("nan"), float("inf"), -float("inf")),
)


def unit(captured_ns: int, data: bytes = b"picture", rendition: int = 0) -> bytes:
    return wire.encode_unit_header(len(data), True, captured_ns, rendition) + data


def raw(kind: Kind, payload: bytes) -> bytes:
    return wire.HEADER.pack(kind, len(payload)) + payload


def conversation() -> list[bytes]:
    """What a healthy child says, message by message, in the end that it has failed."""
    phase, opened, report, failed = (wire.encode_json(kind, value) for kind, value in SMALL.items())
    return [phase, opened, unit(1), unit(1, rendition=1), report, unit(3, bytes(3000)), report, failed]


def hear(data: bytes, step: int = 4096) -> tuple[Recorder, CaptureError | None]:
    """Deliver bytes to a link as a socket would, until it breaks: what the sink got, and how it broke."""

    async def run() -> tuple[Recorder, CaptureError | None]:
        sink, rest = Recorder(), data
        link = ChildLink("front", b"", Limits(3, 2), sink, Timestamps())
        while rest and not link.broken.done():
            room = link.get_buffer(-1)
            count = min(step, len(room), len(rest))
            room[:count] = rest[:count]
            rest = rest[count:]
            link.buffer_updated(count)
        error = link.broken.result() if link.broken.done() else None
        link.close()
        return sink, error

    return asyncio.run(run())


def assert_harmless(sink: Recorder, error: CaptureError | None) -> None:
    """Whatever was believed can be shown, counted with and written into a session description."""
    for info in sink.infos:
        json.dumps(asdict(info), allow_nan=False, ensure_ascii=False).encode()
        streams: list[StreamInfo | LowerRendition] = [info, *info.lower]
        assert all(stream.fps > 0 for stream in streams)
        assert all(len(bytes.fromhex(stream.profile_level_id)) == 3 for stream in streams)
    for report in sink.reports:
        assert all(isinstance(value, int | float | str) for value in asdict(report).values())
        json.dumps(asdict(report), allow_nan=False)
    for index in {unit.rendition for unit in sink.units}:
        stamps = [unit.timestamp for unit in sink.units if unit.rendition == index]
        assert stamps == sorted(set(stamps))
    assert all(
        unit.rendition <= len(sink.infos[-1].lower) if sink.infos else unit.rendition == 0 for unit in sink.units
    )
    assert all(unit.timestamp < 2**62 for unit in sink.units)
    if error is not None:
        f"{error.code} {error}".encode()


def test_a_healthy_conversation_is_understood_to_its_end() -> None:
    sink, error = hear(b"".join(conversation()))
    assert (len(sink.infos), len(sink.units), len(sink.reports)) == (1, 3, 2)
    assert error is not None
    assert (error.code, error.message, error.remedy) == tuple(FAILURE.values())


def flip(rng: random.Random, data: bytearray) -> None:
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def lose(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data))
    del data[at : at + rng.randint(1, 40)]


def repeat(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data))
    data[at:at] = data[at : at + rng.randint(1, 400)]


def scribble(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data))
    data[at : at + rng.randint(0, 20)] = rng.randbytes(rng.randint(1, 20))


DAMAGES: tuple[Callable[[random.Random, bytearray], None], ...] = (flip, lose, repeat, scribble)


@pytest.mark.parametrize("seed", range(4))
def test_no_damage_to_the_bytes_raises_anything(seed: int) -> None:
    rng = random.Random(seed)
    healthy = b"".join(conversation())
    broken = 0
    for _ in range(750):
        data = bytearray(healthy)
        for _ in range(rng.choice((1, 1, 2, 5))):
            rng.choice(DAMAGES)(rng, data)
        sink, error = hear(bytes(data), rng.choice((1, 7, 4096)))
        assert_harmless(sink, error)
        broken += error is not None
    assert broken > 375  # most damage is seen


def test_no_value_in_any_message_raises_anything() -> None:
    for kind, value in SMALL.items():
        for name in (*value, "unknown"):
            for odd in ODD_VALUES:
                sink, error = hear(wire.encode_json(kind, value | {name: odd}) + unit(1))
                assert_harmless(sink, error)
        for name in value:
            sink, error = hear(wire.encode_json(kind, {key: value[key] for key in value if key != name}))
            assert error is not None, f"{kind.name} without {name}"
            assert_harmless(sink, error)


NONSENSE = {
    "no JSON": raw(Kind.REPORT, b"{"),
    "no object": raw(Kind.PHASE, b"[]"),
    "no text": raw(Kind.FAILED, b'{"message": "\xff"}'),
    "an abyss": raw(Kind.PHASE, b"[" * 60_000),
    "a number of many digits": raw(Kind.REPORT, b'{"frames_captured": ' + b"9" * 20_000 + b"}"),
    "no frame rate": wire.encode_json(Kind.OPENED, INFO | {"fps": 0}),
    "text for a number": wire.encode_json(Kind.OPENED, INFO | {"fps": "fast"}),
    "counters that cannot be compared": wire.encode_json(Kind.REPORT, REPORT | {"frames_captured": None}) * 2,
    "a profile that is none": wire.encode_json(Kind.OPENED, INFO | {"profile_level_id": "high"}),
    "a code that is no word": wire.encode_json(Kind.FAILED, FAILURE | {"code": "it broke\n"}),
    "a rendition that there is not": unit(1, rendition=1),
    "no list of renditions": wire.encode_json(Kind.OPENED, INFO | {"lower": 1}),
    "a rendition of another shape": wire.encode_json(Kind.OPENED, INFO | {"lower": [{"width": 1}]}),
    "a rendition without a size": wire.encode_json(Kind.OPENED, INFO | {"lower": [asdict(LOWER) | {"width": 0}]}),
    "an empty picture": raw(Kind.UNIT, bytes(wire.UNIT.size)),
    "a message for the child": wire.encode_json(Kind.DEMAND, {}),
    "an unknown kind": b"\xee" * 16,
    "a length beyond all bounds": wire.HEADER.pack(Kind.UNIT, 2**32 - 1),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_nonsense_is_called_nonsense(what: str) -> None:
    sink, error = hear(NONSENSE[what])
    assert error is not None
    assert (error.code, "sent nonsense" in error.message) == ("capture-crashed", True)
    assert not sink.infos


def test_a_picture_from_the_future_does_not_spoil_the_clock_for_those_to_come() -> None:
    sink, error = hear(unit(time.monotonic_ns() + 3600 * 10**9))
    assert error is not None
    assert "future" in error.message
    assert not sink.units


def test_letters_that_cannot_be_written_are_replaced_and_the_reason_is_kept() -> None:
    _sink, error = hear(wire.encode_json(Kind.FAILED, FAILURE | {"message": "caf\udce9 is not there"}))
    assert error is not None
    assert error.message == "caf? is not there"


CHILD = """
import signal, socket, sys
from pathlib import Path
sock = socket.socket(fileno=int(sys.argv[-1]))
nonsense = Path(sys.argv[1]).read_bytes()
try:
    while True:
        sock.sendall(nonsense)
except OSError:
    signal.pause()
"""


@pytest.mark.parametrize("what", NONSENSE)
def test_a_process_that_babbles_is_ended_and_costs_the_daemon_nothing(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, nonsense, python = tmp_path / "child.py", tmp_path / "nonsense", tmp_path / "python"
    script.write_text(CHILD)
    nonsense.write_bytes(NONSENSE[what])
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {script} {nonsense} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    unhandled: list[dict[str, object]] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unhandled.append(context))
        before = open_fds(), child_pids()
        with pytest.raises(CaptureError, match="sent nonsense") as caught:
            await CaptureProcess("front", CameraSettings(source="test")).run(Recorder())
        assert caught.value.code == "capture-crashed"
        assert (open_fds(), child_pids()) == before

    asyncio.run(run())
    assert not unhandled
