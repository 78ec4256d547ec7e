"""What a capture process is told: plain values, so that it need not import the settings models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ChildConfig:
    """One camera's orders, sent as JSON.

    `controls` are the camera's, by its driver's names. `password` is the network camera's; `transcode`: decode and encode, whatever comes.
    Sizes in pixels, `keyframe_interval` and `stall_timeout` in seconds; `bitrate_bps` is the ceiling, `renditions` how many at most;
    `skip_encoders` maps encoders that must not be tried again to the reason, for example one that hung the process that
    tried it. `camera` and what follows it: see settings/camera.py.
    """

    title: str
    source: str
    device: str
    input_format: str
    path: str
    url: str
    username: str
    password: str = field(repr=False)
    transport: str
    transcode: bool
    width: int
    height: int
    fps: float
    bitrate_bps: int
    renditions: int
    keyframe_interval: float
    encoder: str
    stall_timeout: float
    controls: Mapping[str, Any] = field(default_factory=dict)
    overlay: str = ""
    overlay_corner: str = ""
    picture_check: bool = True
    skip_encoders: Mapping[str, str] = field(default_factory=dict)
    camera: str = ""
    rotation: int = 0
    hflip: bool = False
    vflip: bool = False
    roi: Sequence[float] = ()
    lores: bool = False

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ChildConfig:
        """The config that `dataclasses.asdict` made. Raises TypeError when a field is missing or unknown."""
        return cls(**value)
