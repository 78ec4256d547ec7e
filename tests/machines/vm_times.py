"""What was measured in an emulated machine, for whoever reads the tests' output."""

from __future__ import annotations

from dataclasses import dataclass, field

# Emulated, a capture process takes three seconds to load and the daemon thirteen; on real processors 0.15 and 0.6.
RESTART_WITHIN = 300.0  # seconds, of which a machine of its own takes forty


@dataclass(slots=True)
class Times:
    """Lines of text, in the order of the tests."""

    lines: list[str] = field(default_factory=list)

    def add(self, what: str, seconds: float) -> None:
        self.lines.append(f"{what:<76}{seconds:6.1f} s")
