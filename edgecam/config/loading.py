"""Read all sources, lay them over each other, validate once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError

from edgecam.config import sources
from edgecam.config.problems import describe
from edgecam.config.schema import KeyPath
from edgecam.config.sources import Origin, Source, dotted
from edgecam.errors import ConfigError
from edgecam.redaction import register_secret
from edgecam.settings import Settings

DEFAULT_FILE = Path("/etc/edgecam/edgecam.toml")
NO_OVERRIDES: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """Validated settings, the file they came from if any, the origin of every key that is not a default, and what the file says:
    secrets may be in it."""

    settings: Settings
    path: Path | None
    origins: Mapping[KeyPath, Origin]
    text: str = field(default="", repr=False)

    def origin(self, path: KeyPath) -> Origin | None:
        """Where the value at `path` came from; None for a default."""
        if path in self.origins:
            return self.origins[path]
        # A list that came as one value (JSON in a variable) has one origin for all that is in it; in a file
        # every key has its own, so one without is a default.
        above = (self.origins.get(path[:length]) for length in range(len(path) - 1, 0, -1))
        return next((origin for origin in above if origin is not None and origin.kind != "file"), None)


def load(
    path: Path | None,
    overrides: Mapping[str, object] = NO_OVERRIDES,
    environ: Mapping[str, str] = os.environ,
    *,
    default_file: Path | None = DEFAULT_FILE,
) -> LoadedConfig:
    """Settings from command line > environment > systemd credentials > file > defaults.

    `path` is the file that was asked for; without one `default_file` must exist, or be None for no file at all.
    `overrides` has dotted keys. Raises ConfigError, one line a problem.
    """
    file = path or default_file
    if path is None and file is not None and not file.exists():
        raise ConfigError(
            f"{file} does not exist",
            remedy="copy the example config/edgecam.toml there, name another file with --config, "
            "or see it work without any: edgecam demo",
        )
    text = sources.text_of(file) if file else ""
    layers = [
        sources.from_toml(file, text) if file else Source(),
        sources.from_credentials(environ),
        sources.from_environment(environ),
        sources.from_mapping(overrides),
    ]
    merged = _Merged()
    for layer in layers:
        merged.lay(layer)
    problems = merged.problems
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(merged.tree)
    except ValidationError as error:
        problems += describe(error, merged.tree, lambda key: _responsible(merged.origins, key))
    if problems or settings is None:
        raise ConfigError("\n".join(problems))
    _register_secrets(settings)
    return LoadedConfig(settings, file, MappingProxyType(merged.origins), text)


def _register_secrets(value: object) -> None:
    """From now on no log line shows any of them, wherever it got it from."""
    if isinstance(value, SecretStr):
        register_secret(value)
    elif isinstance(value, BaseModel):
        _register_secrets(tuple(getattr(value, name) for name in type(value).model_fields))
    elif isinstance(value, dict | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            _register_secrets(inner)


class _Merged:
    """The tree that grows as sources are laid over each other, lowest precedence first."""

    def __init__(self) -> None:
        self.tree: dict[str, Any] = {}
        self.origins: dict[KeyPath, Origin] = {}
        self.problems: list[str] = []

    def lay(self, source: Source) -> None:
        """Lay the source over what is there; lists are replaced whole unless an index is named."""
        self.problems += source.problems
        for assignment in source.assignments:
            try:
                self._assign(assignment.path, assignment.value)
            except IndexError:
                self.problems.append(f"{assignment.origin}: {dotted(assignment.path)}: no such element; count from 0")
                continue
            for stale in [known for known in self.origins if known[: len(assignment.path)] == assignment.path]:
                del self.origins[stale]
            self.origins[assignment.path] = assignment.origin
        for path, origin in source.origins.items():
            self.origins.setdefault(path, origin)

    def _assign(self, path: KeyPath, value: object) -> None:
        """Raises IndexError for an element past the end of its list."""
        node: Any = self.tree
        for part, following in pairwise(path):
            fresh: object = [] if isinstance(following, int) else {}
            if isinstance(node, list) and part == len(node):
                node.append(fresh)
            try:
                inside = node[part]
            except KeyError:
                inside = None
            if not isinstance(inside, type(fresh)):
                node[part] = inside = fresh
            node = inside
        last = path[-1]
        if isinstance(node, list) and last == len(node):
            node.append(value)
        elif value != {} or isinstance(node, list) or not isinstance(node.get(last), dict):
            node[last] = value  # an empty table adds nothing to a table


def _responsible(origins: Mapping[KeyPath, Origin], path: KeyPath) -> Origin | None:
    """Who must change something about `path`: its origin, that of something below it, or of what holds it."""
    if path in origins:
        return origins[path]
    below = next((origin for known, origin in origins.items() if path and known[: len(path)] == path), None)
    if below is not None:
        return below
    above = (path[:length] for length in range(len(path) - 1, 0, -1))
    return next((origins[holder] for holder in above if holder in origins), None)
