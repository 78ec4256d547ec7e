"""A camera's controls as people write them, by its driver's own names. Whether it has them, and takes the value, only it knows."""

from __future__ import annotations

import json
import math
import re
from typing import Annotated, Any

from pydantic import AfterValidator, WithJsonSchema

NAME = r"[A-Za-z0-9_]{1,64}"
MOST = 64  # controls, and numbers in a list
LONGEST = 200  # characters of a value
LARGEST = 2**53  # what JSON carries exactly
SHAPES = "true, false, a number, text, or a list of numbers"


def checked_controls(values: Any) -> dict[str, Any]:
    """Those values, by name. Raises ValueError for what no camera's controls look like."""
    if not isinstance(values, dict):
        raise ValueError("controls is a table of names and values")  # noqa: TRY004 - of what was written
    if len(values) > MOST:
        raise ValueError(f"there are {len(values)} controls; {MOST} are allowed")
    for name, value in values.items():
        if not isinstance(name, str) or not re.fullmatch(NAME, name):
            raise ValueError(f"{str(name)[:LONGEST]!r} is no control's name; it has letters, digits and _, at most 64")
        if not _in_shape(value):
            raise ValueError(f"{name} cannot be that; it may be {SHAPES}")
    return values


def control(text: str) -> tuple[str, Any]:
    """Name and value of text such as `brightness=10`; what is not JSON is text. Raises ValueError."""
    name, equals, given = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} gives no value; say NAME=VALUE")
    try:
        value = json.loads(given)
    except (ValueError, RecursionError):
        value = given
    return name, checked_controls({name: value})[name]


def _in_shape(value: Any) -> bool:
    if isinstance(value, list):
        return 0 < len(value) <= MOST and all(_is_number(each) for each in value)
    if isinstance(value, str):
        return 0 < len(value) <= LONGEST and value.isprintable()
    return isinstance(value, bool) or _is_number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and abs(value) <= LARGEST


_VALUE = {"type": ["boolean", "number", "string", "array"], "maxLength": LONGEST, "items": {"type": "number"}, "maxItems": MOST}
_TABLE = {"type": "object", "maxProperties": MOST, "propertyNames": {"pattern": f"^{NAME}$"}, "additionalProperties": _VALUE}
Controls = Annotated[dict[str, Any], AfterValidator(checked_controls), WithJsonSchema(_TABLE)]
