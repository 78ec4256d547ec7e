"""What drivers write, raw: lines with something appended, too little, too much."""

from __future__ import annotations

import weakref

import pytest

from edgecam.capture.v4l2pictures import Decoder

WIDTH, HEIGHT, PAD = 48, 16, 24
# By format: bytes of a line to a pixel, and lines of the picture to one of the plane's, of each plane.
PLANES: dict[str, list[tuple[float, int]]] = {
    "yuyv422": [(2, 1)],
    "uyvy422": [(2, 1)],
    "nv12": [(1, 1), (1, 2)],
    "yuv420p": [(1, 1), (0.5, 2), (0.5, 2)],
}


def written(input_format: str, pad: int) -> tuple[bytes, list[bytes]]:
    """A picture as a driver writes it, whose first plane has `pad` bytes of rubbish behind each line; and its planes without."""
    whole, planes = b"", []
    for number, (across, down) in enumerate(PLANES[input_format]):
        size, behind = int(WIDTH * across), int(pad * across / PLANES[input_format][0][0])
        lines = [bytes((16 + number * 50 + line + at) % 220 for at in range(size)) for line in range(HEIGHT // down)]
        whole += b"".join(line + b"\xff" * behind for line in lines)
        planes.append(b"".join(lines))
    return whole, planes


@pytest.mark.parametrize("pad", [0, PAD])
@pytest.mark.parametrize("input_format", PLANES)
def test_every_byte_of_the_picture_arrives_and_nothing_else(input_format: str, pad: int) -> None:
    whole, planes = written(input_format, pad)
    first = int(WIDTH * PLANES[input_format][0][0])
    frame = Decoder(input_format, WIDTH, HEIGHT, first + pad).picture(memoryview(whole + b"more than there should be"))
    assert frame is not None
    assert (frame.width, frame.height, frame.format.name) == (WIDTH, HEIGHT, input_format)
    for plane, wanted, (_across, down) in zip(frame.planes, planes, PLANES[input_format], strict=True):
        size, data = len(wanted) // (HEIGHT // down), bytes(plane)
        assert b"".join(data[line * plane.line_size :][:size] for line in range(HEIGHT // down)) == wanted


@pytest.mark.parametrize("pad", [0, PAD])
@pytest.mark.parametrize("input_format", [*PLANES, "mjpeg"])
def test_too_little_is_a_damaged_picture_and_no_error(input_format: str, pad: int) -> None:
    whole, _planes = written(input_format, pad) if input_format in PLANES else (b"\xff\xd8\xff\xe0 and no more", [])
    decoder = Decoder(input_format, WIDTH, HEIGHT, 2 * WIDTH + pad)
    for length in (0, 1, len(whole) // 2):
        assert decoder.picture(memoryview(whole[:length])) is None


@pytest.mark.parametrize("input_format", ["nv12", "yuyv422"])
def test_a_buffer_is_free_when_the_last_picture_of_it_is_gone_and_not_before(input_format: str) -> None:
    whole, planes = written(input_format, 0)
    buffer, decoder = memoryview(bytearray(whole))[:], Decoder(input_format, WIDTH, HEIGHT, 0)
    freed: list[bool] = []
    weakref.finalize(buffer, freed.append, True)
    frame = decoder.picture(buffer)
    del buffer
    assert frame is not None
    for number in range(3):  # what the decoder keeps of it
        decoder.picture(memoryview(bytes([number]) * len(whole)))
    kept = bytes(frame.planes[0])[: len(planes[0])]
    assert kept == planes[0]
    del frame
    assert freed == [True]
