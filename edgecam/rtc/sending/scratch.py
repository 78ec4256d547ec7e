"""The memory in which packets are encrypted: one piece per camera, written and sent again for every viewer."""

from __future__ import annotations

from itertools import repeat
from typing import Any

from edgecam.rtc import aiortc_private

SIZE = 1 << 16  # bytes: no UDP send is longer, segmented by the kernel or not
MAX_PACKETS = 64


class Scratch:
    """Writable bytes with a C address. Whatever a send leaves in it is dead as soon as the send has returned.

    `view` takes packets, each with room for its tag; `lengths`, bytes of native C ints, takes how long they are without;
    `length_pointers` are C pointers to each of these.
    """

    __slots__ = ("_array", "_base", "length_pointers", "lengths", "view")

    def __init__(self) -> None:
        self.view = memoryview(bytearray(SIZE))
        self._base = aiortc_private.address_of(self.view)
        self._array, self.lengths = aiortc_private.c_integers(MAX_PACKETS)
        self.length_pointers = [self._array + index for index in range(MAX_PACKETS)]

    def pointers(self, stride: int, count: int) -> list[Any]:
        """C pointers to `count` packets that begin `stride` bytes after each other."""
        return [self._base + offset for offset in range(0, count * stride, stride)]

    def protect(self, context: Any, pointers: list[Any]) -> None:
        """Encrypt the packets at `pointers` in place, whose lengths are in `lengths`. Raises RuntimeError."""
        # Without a loop in Python: it would cost a third of what encrypting itself does.
        if any(map(aiortc_private.srtp_protect, repeat(context), pointers, self.length_pointers)):
            raise RuntimeError("libsrtp cannot encrypt")

    def protect_one(self, context: Any, packet: bytes | bytearray) -> memoryview:
        """One packet, encrypted. Raises RuntimeError."""
        self.view[: len(packet)] = packet
        self._array[0] = len(packet)
        self.protect(context, [self._base])
        return self.view[: self._array[0]]
