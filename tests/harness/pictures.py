"""Looking at pictures without an imaging library: luma only, plain bytes."""

from __future__ import annotations

import io
from dataclasses import dataclass

import av


@dataclass(frozen=True, slots=True)
class Gray:
    """Luma, 0…255, row by row without padding."""

    width: int
    height: int
    pixels: bytes


def decode(data: bytes) -> Gray:
    """A PNG or JPEG file. Raises av.FFmpegError when it is none."""
    with av.open(io.BytesIO(data), "r") as container:
        (frame, *_rest) = container.decode(video=0)
    gray = frame.reformat(format="gray")
    plane = gray.planes[0]
    raw, stride = bytes(plane), plane.line_size
    return Gray(
        gray.width,
        gray.height,
        b"".join(raw[y * stride : y * stride + gray.width] for y in range(gray.height)),
    )


def middle(picture: Gray, share: float = 0.6) -> Gray:
    """The part around the centre, `share` of each side."""
    width, height = int(picture.width * share), int(picture.height * share)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    rows = (
        picture.pixels[y * picture.width + left : y * picture.width + left + width] for y in range(top, top + height)
    )
    return Gray(width, height, b"".join(rows))


def difference(one: Gray, other: Gray, threshold: int = 16) -> float:
    """The share of pixels whose luma differs by more than `threshold`."""
    assert (one.width, one.height) == (other.width, other.height), "the picture has changed its size"
    changed = sum(abs(a - b) > threshold for a, b in zip(one.pixels, other.pixels, strict=True))
    return changed / len(one.pixels)


def contrast(picture: Gray) -> int:
    """The distance between dark and bright, outliers left out."""
    ranked = sorted(picture.pixels[::7])
    return ranked[int(len(ranked) * 0.98)] - ranked[int(len(ranked) * 0.02)]
