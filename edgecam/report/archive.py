"""The archive: everything goes through the same two nets, for secrets and for public addresses."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import time
from pathlib import Path

from edgecam.redaction import mask_text
from edgecam.report.addresses import Pseudonyms

LARGEST = 8_000_000  # bytes of one file; of more, the end counts


class Archive:
    """A .tar.gz in the making. `missing` says why something is not in it."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._files: dict[str, bytes] = {}
        self._pseudonyms = Pseudonyms()
        self.missing: list[str] = []

    def add(self, name: str, text: str, *, absent: str = "") -> None:
        """A text file; when there is no text, `absent` says why."""
        if not text.strip():
            self.missing.append(f"{name}: {absent or 'nothing there'}")
            return
        # By lines: a pattern never runs over a line's end, and one huge text would be slow.
        safe = "\n".join(self._pseudonyms.applied(mask_text(line)) for line in text[-LARGEST:].splitlines())
        self._files[name] = (safe + "\n").encode("utf-8", "replace")

    def add_death(self, name: str, compressed: bytes) -> None:
        """A death's file, which was compressed."""
        try:
            text = gzip.decompress(compressed).decode("utf-8", "replace")
        except (OSError, EOFError) as error:
            self.missing.append(f"{name}: {error}")
            return
        self.add(f"deaths/{name.removesuffix('.gz')}", text)

    def contents(self) -> list[str]:
        return [f"{name} ({len(data) // 1000 + 1} kB)" for name, data in self._files.items()]

    def write(self, path: Path) -> None:
        """Mode 0600, all under one folder, named like the file. Raises OSError."""
        folder = path.name.removesuffix(".gz").removesuffix(".tar")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        os.fchmod(descriptor, 0o600)  # also of a file that was there
        with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as tar:
            for name, data in {"README.txt": self._readme().encode(), **self._files}.items():
                entry = tarfile.TarInfo(f"{folder}/{name}")
                entry.size, entry.mtime, entry.mode = len(data), int(time.time()), 0o644
                tar.addfile(entry, io.BytesIO(data))

    def _readme(self) -> str:
        missing = [f"- {line}" for line in self.missing] or ["- nothing"]
        return "\n".join([
            self._title, "",
            "Secrets are masked (********), public addresses have names (public-1). Read it before you send it all the same.", "",
            "in it:", *(f"- {line}" for line in self.contents()), "",
            "not in it:", *missing, "",
        ])  # fmt: skip
