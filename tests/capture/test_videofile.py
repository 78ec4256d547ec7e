"""Video files as cameras."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from pathlib import Path

import av
import pytest

from edgecam.capture.process import CaptureProcess
from edgecam.capture.videofile import fit
from edgecam.errors import CaptureError
from edgecam.settings import CameraSettings
from tests.capture.watching import Recorder, decode, running


def write_video(path: Path, size: tuple[int, int], fps: int, lumas: list[int]) -> None:
    """Flat pictures, one a frame, so that each can be told from the others."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "qp": "10"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number, luma in enumerate(lumas):
            frame = av.VideoFrame(*size, "yuv420p")
            for plane, value in zip(frame.planes, (luma, 128, 128), strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def play(path: Path, units: int, **settings: object) -> Recorder:
    async def watch() -> Recorder:
        sink = Recorder()
        values: dict[str, object] = {"source": "file", "path": str(path)} | settings
        async with running(CaptureProcess("clip", CameraSettings.model_validate(values)), sink):
            await sink.has_units(units)
        return sink

    return asyncio.run(watch())


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_a_file_goes_on_past_its_end_in_real_time(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip.{suffix}"
    write_video(path, (320, 240), 25, [40, 80, 120, 160, 200] * 2)  # 0.4 s
    sink = play(path, 30)
    stamps = [unit.timestamp for unit in sink.units]
    assert stamps == sorted(set(stamps))
    assert stamps[-1] - stamps[0] >= 0.9 * 29 / 25 * 90_000
    lumas = [memoryview(picture.planes[0])[5000] for picture in decode(unit.data for unit in sink.units)]
    shown = [round(luma / 40) - 1 for luma in lumas]
    # Whatever a busy machine skips, what is shown is what is due at that time, counted from the first picture.
    phases = [
        (number - round((stamp - stamps[0]) * 25 / 90_000)) % 5 for number, stamp in zip(shown, stamps, strict=True)
    ]
    assert max(map(phases.count, phases)) >= 24


def test_a_larger_file_is_scaled_to_fit_and_a_faster_one_thinned(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    write_video(path, (1280, 536), 50, [100] * 25)
    sink = play(path, 20, quality="low")
    (info,) = sink.infos
    assert (info.width, info.height, info.fps) == (640, 268, 15)
    span = (sink.units[-1].timestamp - sink.units[5].timestamp) / 90_000
    assert 14 / 15 - 0.1 < span < 14 / 15 + 1  # never faster; a busy machine may lose some


def test_a_smaller_file_keeps_its_size(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    write_video(path, (320, 180), 25, [100] * 10)
    (info,) = play(path, 3).infos
    assert (info.width, info.height) == (320, 180)


@pytest.mark.parametrize("content", [None, b"", b"this is no video at all", b"\x00\x00\x00\x18ftypisom"])
def test_a_file_that_cannot_be_played_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CaptureError, match=r"cannot play .*clip\.mp4") as caught:
        play(path, 1)
    assert caught.value.code == "file-unreadable"


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(1920, 1080, (1280, 720)), (720, 1280, (404, 720)), (768, 576, (768, 576)), (101, 51, (100, 50))],
)
def test_sizes_are_even_and_inside_the_limits(width: int, height: int, expected: tuple[int, int]) -> None:
    assert fit(width, height, 1280, 720) == expected
