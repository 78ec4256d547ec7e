"""The messages between the daemon and a capture process: framing without I/O, shared by both ends.

A message is a header (kind, length of the payload) and the payload: JSON for everything small, and for an access
unit a fixed header in front of the Annex B bytes. Both ends run the same code on the same machine.
"""

from __future__ import annotations

import enum
import json
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from edgecam.media.types import CaptureReport, Control, ControlsNow, LowerRendition, StreamInfo

HEADER = struct.Struct("=BI")
SOUND = struct.Struct("=q")  # timestamp, in front of an Opus packet
SPEECH = struct.Struct("=H")  # RTP sequence number
UNIT = struct.Struct("=?Bq")  # keyframe, rendition, captured_ns
MAX_PAYLOAD = 16 << 20  # bytes; a 4096x4096 intra picture at the highest bitrate stays far below
MAX_JSON = 64 << 10  # bytes
MAX_CONTROLS = 256
MAX_LOWER = 8  # renditions below the full size
MAX_NUMBER = 2**63  # what no counter and no measure comes near; NaN and the infinities are no numbers either
PLAIN = {"str", "int", "float"}
CODE = re.compile(r"[a-z]+(-[a-z]+)*")
PROFILE = re.compile(r"[0-9a-f]{6}")


class Kind(enum.IntEnum):
    """What a message is."""

    CONFIG = 1  # daemon to child, once, first
    DEMAND = 2  # daemon to child: EncoderDemand's fields
    PHASE = 3  # child to daemon: {"phase": str}
    OPENED = 4  # child to daemon: StreamInfo's fields
    UNIT = 5  # child to daemon: UNIT, then the access unit
    REPORT = 6  # child to daemon: CaptureReport's fields
    SAY = 8  # daemon to a loudspeaker's process: SPEECH, then an Opus packet
    CONTROLS = 9  # daemon to child: {"id": int, "values": object}; child to daemon: {"id": int} and ControlsNow's fields
    FAILED = 7  # child to daemon, last: {"code": str, "message": str, "remedy": str}


class WireError(Exception):
    """The other end sent something that no version of this code sends."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A child's last words: an EdgecamError's parts."""

    code: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Phase:
    """What a child is about to do."""

    phase: str


Shape = TypeVar("Shape", StreamInfo, LowerRendition, CaptureReport, Failure, Phase)


def encode_json(kind: Kind, value: Mapping[str, object]) -> bytes:
    """A whole message with a JSON payload."""
    payload = json.dumps(value).encode()
    return HEADER.pack(kind, len(payload)) + payload


def encode_unit_header(size: int, keyframe: bool, captured_ns: int, rendition: int = 0) -> bytes:
    """All of a UNIT message but its last `size` bytes, so that the picture itself is never copied."""
    return HEADER.pack(Kind.UNIT, UNIT.size + size) + UNIT.pack(keyframe, rendition, captured_ns)


def decode_json(payload: bytes | memoryview) -> dict[str, Any]:
    """The JSON object of a payload. Raises WireError."""
    try:
        value = json.loads(bytes(payload))
    except (ValueError, RecursionError) as error:
        raise WireError(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise WireError("not a JSON object")
    return value


def decode_unit(payload: memoryview) -> tuple[bool, int, int, bytes]:
    """(keyframe, rendition, captured_ns, Annex B bytes); the one copy on the way. Raises WireError."""
    if len(payload) <= UNIT.size:
        raise WireError("access unit without a picture")
    keyframe, rendition, captured_ns = UNIT.unpack_from(payload)
    return keyframe, rendition, captured_ns, bytes(payload[UNIT.size :])


def decode_info(payload: memoryview) -> StreamInfo:
    """The StreamInfo of an OPENED message. Raises WireError."""
    value = decode_json(payload)
    lower = value.pop("lower", None)
    if not isinstance(lower, list) or len(lower) > MAX_LOWER:
        raise WireError("not a StreamInfo: lower")
    on_request = value.pop("keyframes_on_request", None)
    if not isinstance(on_request, bool):
        raise WireError("not a StreamInfo: keyframes_on_request")
    lower = tuple(_shaped(LowerRendition, each) for each in lower)
    info = replace(_shaped(StreamInfo, value), lower=lower, keyframes_on_request=on_request)
    streams: list[StreamInfo | LowerRendition] = [info, *info.lower]
    for stream in streams:
        if min(stream.width, stream.height, stream.fps) <= 0 or not PROFILE.fullmatch(stream.profile_level_id):
            raise WireError("not a StreamInfo: impossible values")
    return info


def decode_report(payload: memoryview) -> CaptureReport:
    """The CaptureReport of a REPORT message. Raises WireError."""
    return _decode(CaptureReport, payload)


def decode_controls(payload: memoryview) -> tuple[int, ControlsNow]:
    """The number of the question that a CONTROLS message answers, 0 for none, and the answer. Raises WireError."""
    value = decode_json(payload)
    number, refused, controls = value.get("id"), value.get("refused"), value.get("controls")
    if len(value) != 3 or not _is("int", number) or not isinstance(controls, list) or len(controls) > MAX_CONTROLS:
        raise WireError("not a ControlsNow")
    if not isinstance(refused, dict) or not all(isinstance(why, str) for why in refused.values()):
        raise WireError("not a ControlsNow: refused")
    refused = {_writable(name): _writable(why) for name, why in refused.items()}
    return int(value["id"]), ControlsNow(refused, tuple(_control(each) for each in controls))


def _control(value: object) -> Control:
    if not isinstance(value, dict) or value.keys() != {field.name for field in fields(Control)}:
        raise WireError("not a Control")
    choices = value["choices"]
    if not isinstance(choices, dict) or not all(_is("int", number) for number in choices.values()):
        raise WireError("not a Control: choices")
    if not isinstance(value["name"], str) or not isinstance(value["kind"], str) or not all(map(_is_plain, value.values())):
        raise WireError("not a Control: impossible values")
    return Control(**{key: _writable(each) for key, each in value.items()})


def _is_plain(value: object, depth: int = 2) -> bool:
    """Whether it is what a control may be, or its limits: text, a number, or few of them."""
    if isinstance(value, list | dict):
        return depth > 0 and all(_is_plain(each, depth - 1) for each in (value.values() if isinstance(value, dict) else value))
    return value is None or isinstance(value, bool | str) or _is("float", value)


def decode_failure(payload: memoryview) -> Failure:
    """The Failure of a FAILED message. Raises WireError."""
    failure = _decode(Failure, payload)
    if not CODE.fullmatch(failure.code):
        raise WireError("not a Failure: code")
    return failure


def decode_phase(payload: memoryview) -> str:
    """The phase of a PHASE message. Raises WireError."""
    return _decode(Phase, payload).phase


def _decode(shape: type[Shape], payload: memoryview) -> Shape:
    """A dataclass of text and numbers, and nothing else in it. Raises WireError."""
    return _shaped(shape, decode_json(payload))


def _shaped(shape: type[Shape], value: object) -> Shape:
    """Fields that are neither text nor numbers are no business of this; all others are to be there."""
    kinds = {field.name: str(field.type) for field in fields(shape) if str(field.type) in PLAIN}
    if not isinstance(value, dict):
        raise WireError(f"not a {shape.__name__}")
    wrong = [name for name, kind in kinds.items() if not _is(kind, value.get(name))]
    if wrong or len(value) != len(kinds):
        raise WireError(f"not a {shape.__name__}: {', '.join(wrong) or 'unknown fields'}")
    return shape(**{name: _writable(value[name]) for name in kinds})


def _is(kind: str, value: object) -> bool:
    if kind == "str":
        return isinstance(value, str)
    numbers = (int, float) if kind == "float" else (int,)
    return isinstance(value, numbers) and not isinstance(value, bool) and -MAX_NUMBER < value < MAX_NUMBER


def _writable(value: Any) -> Any:
    """Half a surrogate pair, which JSON can spell, would fail wherever the text is written later."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_writable(key): _writable(each) for key, each in value.items()}
    return [_writable(each) for each in value] if isinstance(value, list) else value


class MessageBuffer:
    """Cuts a byte stream into messages; bytes are received straight into it.

    Write into `free()`, then iterate over `received(count)`. Payloads are views into the buffer, good until the
    iteration goes on. Raises WireError for an unknown kind or an excessive length.
    """

    def __init__(self, size: int = 512 << 10) -> None:
        self._data = bytearray(size)
        self._start = 0  # first byte not yet handed out
        self._end = 0  # first free byte

    def free(self) -> memoryview:
        """Room to receive into, never empty."""
        return memoryview(self._data)[self._end :]

    def received(self, count: int) -> Iterator[tuple[Kind, memoryview]]:
        """The messages that are complete now that `count` more bytes stand in `free()`."""
        self._end += count
        view = memoryview(self._data)
        needed = HEADER.size
        while self._end - self._start >= HEADER.size:
            kind, length = self._header()
            needed = HEADER.size + length
            if self._end - self._start < needed:
                break
            begin = self._start + HEADER.size
            self._start += needed
            yield kind, view[begin : begin + length]
            needed = HEADER.size
        self._make_room(needed)

    def _header(self) -> tuple[Kind, int]:
        kind, length = HEADER.unpack_from(self._data, self._start)
        try:
            known = Kind(kind)
        except ValueError as error:
            raise WireError(f"unknown message kind {kind}") from error
        if length > (MAX_PAYLOAD if known is Kind.UNIT else MAX_JSON):
            raise WireError(f"{known.name} message of {length} bytes")
        return known, length

    def _make_room(self, needed: int) -> None:
        """Move what is left to the front when the message that has begun would not fit behind it."""
        if self._start == self._end:
            self._start = self._end = 0
        if self._start + needed >= len(self._data):
            rest = bytes(memoryview(self._data)[self._start : self._end])
            if needed >= len(self._data):
                self._data = bytearray(needed * 2)  # a new one: views of the old one may still be about
            self._data[: len(rest)] = rest
            self._start, self._end = 0, len(rest)
