"""A video file as a camera: looped for ever in real time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

import av

from edgecam.capture.frames import Captured, SourceInfo
from edgecam.capture.pacing import RateCap, sleep_until
from edgecam.errors import CaptureError

# Further behind than this the schedule is moved instead of rushing through pictures nobody will see.
MAX_LATE = 1.0  # seconds


class VideoFile:
    """FrameSource of whatever file FFmpeg decodes. `width`, `height` and `fps` are limits: nothing is enlarged,
    the aspect ratio is kept, and no picture is shown twice to reach the rate."""

    def __init__(self, path: str, width: int, height: int, fps: float) -> None:
        self._path = path
        self._limits = (width, height)
        self._max_fps = fps
        self._period = 1.0 / fps  # seconds a picture is shown when the file does not say

    def open(self) -> SourceInfo:
        with self._container() as container:
            stream = container.streams.video[0]
            rate = float(stream.average_rate or stream.guessed_rate or self._max_fps)
            self._period = 1.0 / rate
            context = stream.codec_context
            aspect = float(stream.sample_aspect_ratio or 1) or 1.0
            width, height = fit(context.width * aspect, context.height, *self._limits)
            pixel_format = context.pix_fmt or "unknown"
        return SourceInfo(f"file {self._path}", pixel_format, width, height, min(rate, self._max_fps))

    def frames(self) -> Iterator[Captured | None]:
        cap = RateCap(self._max_fps)
        start_ns: int | None = None
        while True:
            shown, end = 0, 0.0
            for frame, seconds in self._pictures():
                shown, end = shown + 1, seconds + self._period
                start_ns = start_ns or time.monotonic_ns()  # opening took its time before
                due_ns = start_ns + int(seconds * 1e9)
                if not cap.passes(due_ns):
                    continue
                late_ns = sleep_until(due_ns)
                if late_ns > MAX_LATE * 1e9:
                    start_ns += late_ns
                yield Captured(frame, time.monotonic_ns())
            if start_ns is None or not shown:
                raise self._unreadable("no picture in it can be decoded")
            start_ns += int(end * 1e9)

    def close(self) -> None:
        """Nothing stays open between passes but what `frames` holds."""

    def _pictures(self) -> Iterator[tuple[av.VideoFrame, float]]:
        """One pass over the file: pictures and their times in seconds, from 0 and never backwards.

        The file is opened anew for each pass: seeking is not possible in every format.
        """
        with self._container() as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            first: float | None = None
            seconds = -self._period
            for packet in container.demux(stream):
                with suppress(av.error.InvalidDataError):  # a damaged spot is skipped
                    for frame in packet.decode():
                        if frame.time is None:
                            seconds += self._period
                        else:
                            first = frame.time if first is None else first
                            seconds = max(seconds, frame.time - first)
                        yield frame, max(0.0, seconds)

    def _container(self) -> av.container.InputContainer:
        try:
            container = av.open(self._path)
        except (OSError, av.FFmpegError) as error:
            raise self._unreadable(error.strerror or str(error)) from error
        if not container.streams.video:
            container.close()
            raise self._unreadable("there is no video in it")
        return container

    def _unreadable(self, why: str) -> CaptureError:
        return CaptureError(
            f"cannot play {self._path}: {why}",
            remedy="set path to a video file that this user may read",
            code="file-unreadable",
        )


def fit(width: float, height: float, max_width: int, max_height: int) -> tuple[int, int]:
    """The largest even size of that shape inside the limits, never larger than itself."""
    scale = min(1.0, max_width / width, max_height / height)
    return max(2, int(width * scale + 0.5) & ~1), max(2, int(height * scale + 0.5) & ~1)
