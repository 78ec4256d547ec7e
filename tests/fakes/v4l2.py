"""The fake V4L2 camera: built once, plugged in and broken at will."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av

from tests.fakes.library import build_library

SOURCE = Path(__file__).with_name("fakev4l2.c")


def build_fake_v4l2(cache_dir: Path) -> Path:
    """The shared object for LD_PRELOAD, compiled into `cache_dir` unless it is there. Raises when it cannot be."""
    return build_library(SOURCE, cache_dir, "apt-get install gcc libc6-dev linux-libc-dev")


@dataclass(frozen=True, slots=True)
class FakeV4l2:
    """A camera at `device`. Processes started with `env` see it; its state is in the file of that name."""

    library: Path
    device: Path
    extra: dict[str, str] = field(default_factory=dict)

    def plug(self) -> None:
        """Plug the camera in, healthy."""
        self.set("ok")

    def unplug(self) -> None:
        """Pull it out: a running capture gets ENODEV, the node is gone."""
        self.device.unlink(missing_ok=True)

    def set(self, state: str) -> None:
        """ok, dark, frozen, sticks, black, grey, hang, hang-open, eio, enodev, busy, streaming, denied, corrupt; see fakev4l2.c."""
        fresh = self.device.with_name(f".{self.device.name}.new")
        fresh.write_text(state)
        fresh.replace(self.device)  # at once: a half-written word is no state

    @property
    def env(self) -> dict[str, str]:
        """What a process needs in its environment, besides the rest of it."""
        return {"LD_PRELOAD": str(self.library), "FAKE_V4L2": str(self.device), **self.extra}


def write_jpegs(directory: Path, width: int, height: int, lumas: Iterable[int]) -> None:
    """Flat JPEG pictures (full range 4:2:2, as webcams send), one for each luma 0…255, for FAKE_V4L2_JPEGS."""
    for number, luma in enumerate(lumas):
        encoder = av.CodecContext.create("mjpeg", "w")
        encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj422p"
        encoder.time_base = Fraction(1, 30)
        frame = av.VideoFrame(width, height, "yuvj422p")
        for plane, value in zip(frame.planes, (luma, 128, 128), strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        (packet,) = encoder.encode(frame)
        (directory / f"{width}x{height}-{number}.jpg").write_bytes(bytes(packet))
