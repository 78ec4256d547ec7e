"""A cpio archive of the kind that Linux unpacks as its first file system (Documentation/driver-api/early-userspace/buffer-format.rst)."""

from __future__ import annotations

import stat

MAGIC = "070701"


class Archive:
    """Grows in memory. Everything belongs to root."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._inode = 0

    def directory(self, name: str) -> None:
        self._entry(name, stat.S_IFDIR | 0o755, b"")

    def file(self, name: str, content: bytes, *, executable: bool = False) -> None:
        self._entry(name, stat.S_IFREG | (0o755 if executable else 0o644), content)

    def finished(self) -> bytes:
        """The whole archive. Nothing can be added after that."""
        self._entry("TRAILER!!!", 0, b"")
        return b"".join(self._parts)

    def _entry(self, name: str, mode: int, content: bytes) -> None:
        self._inode += 1
        raw = name.encode() + b"\0"
        # inode, mode, uid, gid, links, mtime, size, device numbers (4), length of the name, checksum
        fields = (self._inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(raw), 0)
        header = (MAGIC + "".join(f"{field:08x}" for field in fields)).encode()
        self._parts += [_padded(header + raw), _padded(content)]


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
