"""What a V4L2 driver has written, as pictures: raw ones where they are, JPEG and H.264 decoded."""

from __future__ import annotations

from typing import Any

import av

# Of the formats of 8 bits in which lines may be padded: how many bytes a line of each plane has, in pixels, and how many lines.
_PLANES: dict[str, tuple[tuple[float, float], ...]] = {
    "yuv420p": ((1, 1), (1 / 2, 1 / 2), (1 / 2, 1 / 2)),
    "nv12": ((1, 1), (1, 1 / 2)),
    "yuyv422": ((2, 1),),
    "uyvy422": ((2, 1),),
}


class Decoder:
    """Turns buffers of one format, by FFmpeg's name, into pictures. `line_bytes`: from one line of the first plane to the next."""

    def __init__(self, input_format: str, width: int, height: int, line_bytes: int) -> None:
        shares = _PLANES.get(input_format, ())
        self._planes = [(int(across * width), int(down * height)) for across, down in shares]
        self._bytes = sum(across * down for across, down in self._planes)  # of a raw picture
        self._line_bytes = line_bytes if self._planes and line_bytes > self._planes[0][0] else 0
        self.each_alone = input_format != "h264"
        """Whether a picture may be left out without harm to those that follow."""
        context = av.CodecContext.create("rawvideo" if shares else input_format, "r")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height = width, height
        context.thread_count = 1  # frame threads would hold pictures back
        if shares:
            context.pix_fmt = input_format
        self._context = context

    def picture(self, data: memoryview) -> av.VideoFrame | None:
        """A picture, None when it is damaged. Of raw `data` it is a view; an older PyAV (14) copies once."""
        if self._line_bytes:
            data = memoryview(unpadded(data, self._line_bytes, self._planes))
        if not data or len(data) < self._bytes:  # nothing is to FFmpeg the end of everything
            return None
        try:
            frames = self._context.decode(self._packet(data))
        except av.FFmpegError:
            return None
        return frames[0] if frames and not frames[0].is_corrupt else None

    def _packet(self, data: memoryview) -> Any:
        if self._planes:
            return av.Packet(data)  # type: ignore[arg-type]  # any buffer will do
        # FFmpeg's decoders read beyond the end, which PyAV has room for only where it copies.
        packet = av.Packet(len(data))
        packet.update(data)  # type: ignore[arg-type]
        return packet


def unpadded(data: memoryview, line_bytes: int, planes: list[tuple[int, int]]) -> bytes:
    """A raw picture without what drivers append to its lines. `planes`: bytes of a line and lines of each; where those of the first
    are `line_bytes` apart, those of the others are in the same proportion."""
    lines, at = [], 0
    for across, down in planes:
        stride = line_bytes * across // planes[0][0]
        lines += [data[at + line * stride :][:across] for line in range(down)]
        at += stride * down
    return b"".join(lines)
