"""A JPEG from a keyframe: works for every source, hardware-encoded ones included, and costs nothing until asked."""

from __future__ import annotations

from fractions import Fraction

import av

from edgecam.media.types import AccessUnit

QUANTISER = "3"  # of 2 (best) to 31: no visible loss on top of H.264's


def jpeg(keyframe: AccessUnit) -> bytes:
    """Decode one keyframe and encode it as JPEG; blocking, tens of milliseconds. Raises ValueError on a broken one."""
    decoder = av.CodecContext.create("h264", "r")
    try:
        frames = [*decoder.decode(av.Packet(keyframe.data)), *decoder.decode(None)]
    except av.FFmpegError as error:
        raise ValueError(f"the keyframe does not decode: {error}") from error
    if not frames:
        raise ValueError("the keyframe decodes to no picture")
    picture = frames[-1]
    assert isinstance(picture, av.VideoFrame)
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height = picture.width, picture.height
    encoder.pix_fmt = "yuvj420p"
    encoder.time_base = Fraction(1, 1)
    encoder.options = {"qmin": QUANTISER, "qmax": QUANTISER}
    converted = picture.reformat(format="yuvj420p")
    converted.pts = 0
    converted.time_base = Fraction(1, 1)
    packets = [*encoder.encode(converted), *encoder.encode(None)]
    return b"".join(bytes(packet) for packet in packets)
