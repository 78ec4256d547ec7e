"""libcamera's controls by their names: what a camera has, and whether a value is one of theirs.

A control is known by picamera2's `camera_ctrl_info`: name -> (libcamera.ControlId, libcamera.ControlInfo).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edgecam.media.types import Control

# picamera2's own, in frames per second instead of microseconds.
FRAME_RATE, FRAME_DURATION = "FrameRate", "FrameDurationLimits"
LARGEST = 1e15
SHAPES = {"Rectangle": 4, "Size": 2}


class RefusedError(Exception):
    """A value that the control does not take: what is wrong, and what would be right."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}; {remedy}")


def controls_of(known: Mapping[str, Any], values: Mapping[str, object]) -> tuple[Control, ...]:
    """Each control, with the value that was set: libcamera tells no other."""
    return tuple(
        Control(
            name, _type(identity), _plain(info.min), _plain(info.max), None, _plain(info.default), _plain(values.get(name)),
            _choices(identity),
        )
        for name, (identity, info) in sorted(known.items())
    )  # fmt: skip


def parsed(values: Mapping[str, object], known: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """What picamera2's `set_controls` takes, and of the names given those that are refused, and why."""
    right: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for name, value in values.items():
        try:
            if name == FRAME_RATE and FRAME_DURATION in known:
                right[FRAME_DURATION] = _value(FRAME_DURATION, _durations(value), *known[FRAME_DURATION])
            elif name in known:
                right[name] = _value(name, value, *known[name])
            else:
                wrong[name] = f"there is no control {name}; there are {', '.join(sorted(known)) or 'none'}"
        except RefusedError as why:
            wrong[name] = str(why)
    return right, wrong


def _durations(rate: object) -> list[int]:
    rates: list[Any] = rate if isinstance(rate, list) and len(rate) == 2 else [rate, rate]
    if not all(_is_number(each) and each > 0 for each in rates):
        raise RefusedError(f"{FRAME_RATE} = {json.dumps(rate)} is no frame rate", "give frames per second, or the lowest and the highest")
    return [round(1e6 / each) for each in reversed(rates)]


def _value(name: str, value: object, identity: Any, info: Any) -> Any:
    kind = _type(identity)
    if isinstance(value, str) and kind != "String":
        value = _by_name(name, value, identity)
    shape = SHAPES.get(kind)
    if shape is not None:
        if not isinstance(value, list) or len(value) != shape or not all(_is_number(each) for each in value):
            raise RefusedError(f"{name} = {json.dumps(value)} is no {kind}", f"give {shape} numbers")
        return tuple(round(each) for each in value)
    if _is_array(identity):
        if not isinstance(value, list) or not value:
            raise RefusedError(f"{name} = {json.dumps(value)} is no list", "give several values")
        return tuple(_scalar(name, each, kind, info) for each in value)
    return _scalar(name, value, kind, info)


def _scalar(name: str, value: object, kind: str, info: Any) -> Any:
    right = {
        "Bool": isinstance(value, bool),
        "String": isinstance(value, str),
        "Float": _is_number(value),
    }.get(kind, isinstance(value, int) and not isinstance(value, bool))
    if not right:
        raise RefusedError(f"{name} = {json.dumps(value)} is not of type {kind}", f"it goes from {info.min} to {info.max}")
    if kind not in {"Bool", "String"} and not (_at_least(value, info.min) and _at_least(info.max, value)):
        raise RefusedError(f"{name} = {json.dumps(value)} is out of range", f"it goes from {info.min} to {info.max}")
    return float(value) if kind == "Float" and isinstance(value, int) else value


def _by_name(name: str, value: str, identity: Any) -> int:
    choices = _choices(identity)
    if value not in choices:
        raise RefusedError(f"{name} = {json.dumps(value)} is not one of its values", f"they are {', '.join(sorted(choices)) or 'numbers'}")
    return choices[value]


def _choices(identity: Any) -> dict[str, int]:
    """Names of an enumerated control's values, without the control's own in front: `Auto`, not `AwbAuto`."""
    numbers = getattr(identity, "enumerators", None) or {}  # libcamera's bindings have it since 0.4, as a method at first
    numbers = numbers() if callable(numbers) else numbers
    return {str(name).removeprefix(identity.name): int(number) for number, name in _pairs(numbers)}


def _pairs(numbers: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    """(number, name), whichever way round libcamera has them."""
    return [(key, value) if isinstance(key, int) else (value, key) for key, value in numbers.items()]


def _type(identity: Any) -> str:
    return str(identity.type).rpartition(".")[2]


def _is_array(identity: Any) -> bool:
    return bool(getattr(identity, "isArray", False)) or identity.name in {FRAME_DURATION, "ColourGains"}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _at_least(value: Any, bound: Any) -> bool:
    return not (_is_number(value) and _is_number(bound)) or value >= bound


def _plain(value: Any) -> object:
    """As JSON has it: rectangles, sizes and what is without bounds as text."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not abs(value) < LARGEST:
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
