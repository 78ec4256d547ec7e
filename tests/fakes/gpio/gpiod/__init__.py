"""As much of libgpiod's Python bindings (version 2) as edgecam uses. The line is high while the file $FAKE_GPIO_LINE holds `1`,
and cannot be read while there is none. The signatures are those of the bindings' documentation."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gpiod.line import Direction, Value


@dataclass
class LineSettings:
    direction: Direction = Direction.AS_IS
    active_low: bool = False


class LineRequest:
    def __init__(self, lines: Mapping[int, LineSettings]) -> None:
        self._lines = dict(lines)

    def get_value(self, line: int) -> Value:
        high = _read() == "1"
        return Value.ACTIVE if high != self._lines[line].active_low else Value.INACTIVE

    def release(self) -> None:
        self._lines.clear()


def request_lines(path: str, config: Mapping[int, LineSettings], consumer: str | None = None) -> LineRequest:
    assert path.startswith("/dev/gpiochip")
    assert consumer
    _read()
    return LineRequest(config)


def _read() -> str:
    try:
        return Path(os.environ["FAKE_GPIO_LINE"]).read_text().strip()
    except FileNotFoundError:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from None
