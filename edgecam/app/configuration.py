"""Where the daemon's configuration comes from, which one it begins with, and which one it could go back to."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgecam.app.lastgood import LastGood, digest_of
from edgecam.app.plan import back
from edgecam.config import DEFAULT_FILE, LoadedConfig, load
from edgecam.errors import ConfigError, EdgecamError
from edgecam.http.tokens import state_dir_of
from edgecam.settings import Settings

_STATE_DIR = re.compile(r"""^\s*state_dir\s*=\s*["']([^"']+)["']""", re.MULTILINE)  # of a file that may not be TOML


@dataclass(frozen=True, slots=True)
class Beginning:
    """What the daemon begins with. `problem`: why that is not what the file says, empty when it is."""

    loaded: LoadedConfig
    problem: str = ""


class Configuration:
    """One file, with what `overrides` (the command line), environment and credentials lay over it each time it is read.

    The last good one is kept in `state_dir`; without, where the file or its surroundings say.
    """

    def __init__(
        self,
        file: Path | None,
        overrides: Mapping[str, object],
        environ: Mapping[str, str] = os.environ,
        *,
        state_dir: Path | None = None,
    ) -> None:
        self.file = file or DEFAULT_FILE
        self._asked = file
        self._overrides = overrides
        self._environ = environ
        self.last_good = LastGood(state_dir or self._state_dir(), self.file)

    def load(self) -> LoadedConfig:
        """What holds according to the file now. Raises ConfigError."""
        loaded = load(self._asked, self._overrides, self._environ)
        if not loaded.settings.camera:
            raise ConfigError(f"{loaded.path} names no camera", remedy='add one, e.g. [camera.front] with source = "test"')
        return loaded

    def begin(self) -> Beginning:
        """What to begin with: the file; or the last good one, where nobody is there to mend the file. Raises ConfigError."""
        try:
            loaded = self.load()
        except ConfigError as error:
            instead = self.instead_of(error) if self.last_good.unasked else None
            if instead is None:
                raise
            return instead
        known = self.last_good.known
        if known is not None and known.refused == digest_of(loaded.text) and self.last_good.unasked:
            return self._go_back("it made health worse before, and was rolled back", loaded.settings) or Beginning(loaded)
        return Beginning(loaded)

    def instead_of(self, error: EdgecamError) -> Beginning | None:
        """The last good one instead of a file that does not work because of `error`; None when there is none, or it is the same."""
        try:
            refused = self.load().settings
        except ConfigError:
            return self._go_back(str(error))
        return self._go_back(str(error), refused)

    def load_last_good(self) -> LoadedConfig | None:
        """None when there is none, or it does not hold any more."""
        if self.last_good.known is None:
            return None
        try:
            return load(self.last_good.path, self._overrides, self._environ)
        except ConfigError:
            return None

    def _go_back(self, problem: str, refused: Settings | None = None) -> Beginning | None:
        """`refused`: what the file says, where that holds: what it locks stays locked, at the listener that was good."""
        loaded = self.load_last_good()
        if loaded is None or loaded.text == self._text():
            return None
        if refused is not None:
            settings = back(loaded.settings, refused)
            web = settings.web.model_copy(update={"listen": loaded.settings.web.listen})
            loaded = replace(loaded, settings=settings.model_copy(update={"web": web}))
        return Beginning(loaded, problem)

    def _text(self) -> str | None:
        try:
            return self.file.read_bytes().decode()
        except (OSError, UnicodeDecodeError):
            return None

    def _state_dir(self) -> Path:
        """Also of a file that does not hold: then as far as it, the environment and the command line let us see."""
        written = _STATE_DIR.search(self._text() or "")
        named = self._overrides.get("state_dir") or self._environ.get("EDGECAM_STATE_DIR") or (written and written[1])
        return state_dir_of(Settings(state_dir=Path(str(named)) if named else None))
