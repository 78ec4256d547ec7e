"""What a capture process is told: plain values, so that it need not import the settings models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ChildConfig:
    """One camera's orders, sent as JSON.

    Sizes in pixels, `keyframe_interval` in seconds; `skip_encoders` maps encoders that must not be tried again to the
    reason, for example one that hung the process that tried it.
    """

    title: str
    source: str
    device: str
    input_format: str
    path: str
    width: int
    height: int
    fps: float
    bitrate_bps: int
    keyframe_interval: float
    encoder: str
    skip_encoders: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ChildConfig:
        """The config that `dataclasses.asdict` made. Raises TypeError when a field is missing or unknown."""
        return cls(**value)
