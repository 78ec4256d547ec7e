"""Heat and voltage: what the sensors say as a verdict, and the step that follows. Pure."""

from __future__ import annotations

import statistics
from collections import deque

from edgecam.governors.power import Power
from edgecam.governors.steps import WEAK_POWER, Steps, Verdict
from edgecam.governors.temperature import Temperature

URGENT = 6.0  # degrees above the limit: a Raspberry Pi slows down by itself there
SMOOTHED = 3  # readings, of which the middle one counts: sensors are noisy


class Heat:
    """`limit` in degrees Celsius, None for what is usual for the sensor."""

    def __init__(self, limit: float | None, hysteresis: float, steps: Steps) -> None:
        self.steps = steps
        self.celsius: float | None = None  # smoothed
        self.limit = limit
        self._configured = limit
        self._hysteresis = hysteresis
        self._readings: deque[float] = deque(maxlen=SMOOTHED)

    def apply(self, limit: float | None, hysteresis: float) -> None:
        """Other limits from now on."""
        self._configured, self._hysteresis = limit, hysteresis

    def judge(self, temperature: Temperature | None, power: Power | None, now: float) -> int:
        """The level of `steps` from now on."""
        verdict = max(self._hot(temperature), self._slowed(power))
        return self.steps.judge(verdict, now, WEAK_POWER if power is not None and power.low else 0)

    @property
    def hot(self) -> bool:
        return self.celsius is not None and self.limit is not None and self.celsius >= self.limit

    def _hot(self, temperature: Temperature | None) -> Verdict:
        if temperature is None:
            self._readings.clear()
            self.celsius = None
            return Verdict.GOOD
        self._readings.append(temperature.celsius)
        self.celsius = celsius = statistics.median_low(self._readings)
        self.limit = limit = self._configured if self._configured is not None else temperature.usual_limit
        if celsius >= limit + URGENT:
            return Verdict.URGENT
        if celsius >= limit:
            return Verdict.BAD
        return Verdict.FAIR if celsius > limit - self._hysteresis else Verdict.GOOD

    @staticmethod
    def _slowed(power: Power | None) -> Verdict:
        return Verdict.BAD if power is not None and power.slowed and not power.low else Verdict.GOOD
