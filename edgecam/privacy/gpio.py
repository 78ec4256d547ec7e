"""A switch on a GPIO line, through libgpiod's Python bindings, version 2 (Debian: python3-libgpiod).

Not verified on hardware: no GPIO simulator was at hand. Everything that knows libgpiod is in this file.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from edgecam.settings.privacy import GpioLine

INSTALL = "install python3-libgpiod"


class GpioSwitch:
    """Private while the line is active, and while it cannot be read. Implements PrivacySource.

    The line is asked for when it is first looked at, and again after it could not be read: a chip may come late.
    """

    kind = "gpio"

    def __init__(self, line: GpioLine) -> None:
        self._line = line
        self._request: Any = None

    def look(self) -> str | None:
        line = self._line
        try:
            active = self._read()
        except ImportError:
            return f"its GPIO switch cannot be read: {INSTALL}"
        except Exception as error:  # noqa: BLE001 - the line is to be given back, and asked for again
            self.close()
            return f"{line.chip} line {line.offset} cannot be read: {getattr(error, 'strerror', None) or error}"
        return f"GPIO {line.chip.removeprefix('/dev/')} line {line.offset}" if active else None

    def close(self) -> None:
        """Give the line back."""
        request, self._request = self._request, None
        if request is not None:
            with suppress(Exception):
                request.release()

    def _read(self) -> bool:
        import gpiod
        from gpiod.line import Direction, Value

        if self._request is None:
            settings = gpiod.LineSettings(direction=Direction.INPUT, active_low=self._line.active_low)
            self._request = gpiod.request_lines(self._line.chip, consumer="edgecam-privacy", config={self._line.offset: settings})
        return bool(self._request.get_value(self._line.offset) == Value.ACTIVE)
