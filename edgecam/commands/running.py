"""Where the running daemon listens, and how it is asked, while its file may say something else already."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from edgecam.app.configuration import Configuration
from edgecam.config import DEFAULT_FILE, load
from edgecam.errors import ConfigError
from edgecam.http.tokens import SERVICE_STATE_DIRS
from edgecam.settings import Settings


def client_settings(file: Path | None, overrides: Mapping[str, object]) -> Settings:
    """What a client needs to know: from the file, the default one if there is one, or the defaults. When the file is wrong, from
    the last one that was good; raises ConfigError when there is none."""
    try:
        return load(file, overrides, default_file=DEFAULT_FILE if DEFAULT_FILE.exists() else None).settings
    except ConfigError as error:
        good = next(last_good(file, overrides), None)
        if good is None:
            raise
        print(f"edgecam: {error}\nedgecam: asking the daemon as its last good configuration says", file=sys.stderr)
        return good


def last_good(file: Path | None, overrides: Mapping[str, object]) -> Iterator[Settings]:
    """The last good configuration of the daemon that has this file, from each place where it may be kept."""
    for place in (None, *SERVICE_STATE_DIRS):
        loaded = Configuration(file, overrides, state_dir=place).load_last_good()
        if loaded is not None:
            yield loaded.settings
