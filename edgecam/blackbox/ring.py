"""A ring of lines in shared memory: bounded, written without a system call, readable after its writer's death.

Layout: a header of HEADER_BYTES, then the lines as one circle of bytes. `written` counts every byte ever written, so
that the place of the next one and whether the circle has closed both follow from it.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

MAGIC = b"edgecam ring 1\n\0"
HEADER_BYTES = 64
_HEADER = struct.Struct("<16sQQQ")  # magic, bytes of the circle, written, clean
_WRITTEN_AT, _CLEAN_AT = 24, 32
_MOST_EVER = 1 << 60  # bytes; who claims to have written more is damaged
LONGEST_LINE = 4096  # bytes; a longer one is cut


class Ring:
    """The last lines written, oldest first, in as many bytes as given.

    With a path the memory is that file's, which should lie in a tmpfs: what a process wrote there is there after any
    death but the machine's. A file of another size or kind is begun anew. Raises OSError when it cannot be had.
    """

    def __init__(self, size: int, path: Path | None = None) -> None:
        self.path = path
        self._size = size
        self._memory = mmap.mmap(-1, HEADER_BYTES + size) if path is None else _mapped(path, HEADER_BYTES + size)
        magic, there, self._written, clean = _HEADER.unpack_from(self._memory)
        is_ours = (magic, there) == (MAGIC, size) and self._written < _MOST_EVER
        self.was_clean = not is_ours or bool(clean)
        """Whether whoever wrote here before ended in an orderly way."""
        if not is_ours:
            self._written = 0
            _HEADER.pack_into(self._memory, 0, MAGIC, size, 0, 1)

    def append(self, line: str) -> None:
        """Add a line. A line that is too long is cut; line ends inside become spaces."""
        data = line.replace("\n", " ").encode("utf-8", "replace")[: LONGEST_LINE - 1] + b"\n"
        at = self._written % self._size
        first = data[: self._size - at]
        self._memory[HEADER_BYTES + at : HEADER_BYTES + at + len(first)] = first
        rest = data[len(first) :]
        self._memory[HEADER_BYTES : HEADER_BYTES + len(rest)] = rest
        self._written += len(data)
        # Last: a death in between loses this line and damages at most the oldest one, which `lines` leaves out.
        struct.pack_into("<Q", self._memory, _WRITTEN_AT, self._written)

    def lines(self) -> list[str]:
        """What is there, oldest first."""
        at = self._written % self._size
        circle = self._memory[HEADER_BYTES : HEADER_BYTES + self._size]
        if self._written <= self._size:
            return circle[: self._written].decode("utf-8", "replace").splitlines()
        data = (circle[at:] + circle[:at]).partition(b"\n")[2]  # the oldest line is damaged
        return data.decode("utf-8", "replace").splitlines()

    def mark(self, *, clean: bool) -> None:
        """Say whether an end from now on would be an orderly one."""
        struct.pack_into("<Q", self._memory, _CLEAN_AT, int(clean))

    def close(self) -> None:
        self._memory.close()


def read(path: Path) -> list[str]:
    """The lines of another process's ring. Raises OSError, or ValueError when it is none."""
    data = path.read_bytes()
    if len(data) <= HEADER_BYTES or not data.startswith(MAGIC):
        raise ValueError(f"{path} is no ring of edgecam")
    ring = Ring(len(data) - HEADER_BYTES)
    ring._memory[:] = data
    ring._written = _HEADER.unpack_from(data)[2]
    return ring.lines()


def _mapped(path: Path, size: int) -> mmap.mmap:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(descriptor).st_size != size:
            os.ftruncate(descriptor, 0)
            os.posix_fallocate(descriptor, 0, size)  # no SIGBUS later, should the tmpfs fill up
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)
