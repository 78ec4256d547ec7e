"""What `check-config --show` prints: every key's effective value and where it came from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, SecretStr

from edgecam.config.loading import LoadedConfig
from edgecam.config.schema import KeyPath
from edgecam.config.sources import dotted
from edgecam.redaction import MASK, mask_text
from edgecam.settings import CameraSettings


def render_effective(loaded: LoadedConfig) -> str:
    """`key = value  # origin`, one line a key, in the order of the models; secrets masked."""
    lines: list[str] = []
    for path, value in _values(loaded.settings, ()):
        if isinstance(value, _Derived):
            lines.append(f"{dotted(path)} = {literal(value.value)}  # {value.reason}")
        else:
            lines.append(f"{dotted(path)} = {literal(value)}  # {loaded.origin(path) or 'default'}")
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class _Derived:
    """A value that is not set, but follows from others."""

    value: float
    reason: str


def _values(value: object, path: KeyPath) -> Iterator[tuple[KeyPath, object]]:
    """Every leaf below `value`; empty tables and lists count as leaves."""
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _values(_derived(value, name), (*path, name))
    elif isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _values(inner, (*path, name))
    elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        for index, inner in enumerate(value):
            yield from _values(inner, (*path, index))
    else:
        yield path, value


def _derived(section: BaseModel, name: str) -> object:
    """The key's own value, or for a camera's unset numbers those that its quality stands for."""
    value: object = getattr(section, name)
    if value is not None or not isinstance(section, CameraSettings):
        return value
    if name == "min_bitrate_kbps":
        return _Derived(section.floor_bps // 1000, "the smallest rendition's share of the ceiling")
    preset = getattr(section.effective, name, None)
    return value if preset is None else _Derived(preset, f'from quality = "{section.quality}"')


def literal(value: object) -> str:
    """The value as TOML writes it; `(unset)` for None, asterisks for a secret."""
    if value is None:
        return "(unset)"
    if isinstance(value, SecretStr):
        return f'"{MASK}"' if value.get_secret_value() else '""'
    if value == {}:
        return "(none)"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {literal(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, tuple):
        return "[" + ", ".join(literal(inner) for inner in value) + "]"
    if isinstance(value, Path):
        value = str(value)
    return json.dumps(mask_text(value) if isinstance(value, str) else value, ensure_ascii=False)
