"""A file that makes a camera private by being there: for scripts, home automation, a switch with a udev rule."""

from __future__ import annotations

import os
from pathlib import Path


class SwitchFile:
    """Private while `path` exists, whatever it is, and while nobody can say whether it does. Implements PrivacySource."""

    kind = "file"

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def look(self) -> str | None:
        try:
            self._path.lstat()
        except FileNotFoundError:
            return self._missing()
        except OSError as error:
            return f"{self._path} cannot be looked for: {error.strerror or error}"
        return f"{self._path} exists"

    def _missing(self) -> str | None:
        """A directory that is gone, not yet mounted or closed to us says nothing about what may be in it."""
        directory = self._path.parent
        try:
            readable = os.access(directory, os.R_OK | os.X_OK)
            directory.stat()
        except OSError as error:
            return f"{directory}, where its privacy_file would be, cannot be read: {error.strerror or error}"
        return None if readable else f"{directory}, where its privacy_file would be, cannot be read"
