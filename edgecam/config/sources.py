"""The places that settings come from, each read as a list of assignments: key path, value, origin."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource

from edgecam.config import schema
from edgecam.config.schema import KeyPath
from edgecam.config.toml_lines import key_lines
from edgecam.errors import ConfigError
from edgecam.redaction import register_secret
from edgecam.settings import Settings

ENV_PREFIX = "EDGECAM_"
ENV_DELIMITER = "__"
_UNIT_PREFIX = re.compile(r"^edgecam(-server|@[^.]*)?\.")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from; `name` is the file's path, the variable, or the credential; `line` counts from 1."""

    kind: Literal["file", "environment", "credential", "command line"]
    name: str = ""
    line: int = 0

    def __str__(self) -> str:
        match self.kind:
            case "file":
                return f"{self.name}:{self.line}" if self.line else self.name
            case "environment":
                return f"env {self.name}"
            case "credential":
                return f"credential {self.name}"
            case _:
                return self.kind


@dataclass(frozen=True, slots=True)
class Assignment:
    """One leaf (or empty table) and where it came from."""

    path: KeyPath
    value: object
    origin: Origin


@dataclass(frozen=True, slots=True)
class Source:
    """What one place says: its assignments, complaints about what it says (each a finished line), and where tables
    and array elements stand that are no assignments themselves."""

    assignments: tuple[Assignment, ...] = ()
    problems: tuple[str, ...] = ()
    origins: Mapping[KeyPath, Origin] = field(default_factory=dict)


def dotted(path: Iterable[str | int]) -> str:
    """`("ice", "servers", 0, "urls")` → `ice.servers[0].urls`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def leaves(value: object, path: KeyPath = ()) -> Iterator[tuple[KeyPath, object]]:
    """Every value below tables; lists are values of their own."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from leaves(inner, (*path, str(name)))
    else:
        yield path, value


def from_toml(file: Path, text: str) -> Source:
    """The assignments of the file, which says `text`. Raises ConfigError when that is not TOML."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        where = re.search(r" \(at line (\d+), column (\d+)\)$", message)
        line = int(where[1]) if where else text.count("\n") + 1
        what = message[: where.start()] if where else message.replace(" (at end", "; the file ends too early (at end")
        raise ConfigError(f"{file}:{line}: not valid TOML: {what}") from None
    origins = {path: Origin("file", str(file), line) for path, line in key_lines(text).items()}
    nowhere = Origin("file", str(file))
    assignments = (Assignment(path, value, origins.get(path, nowhere)) for path, value in leaves(tree) if path)
    return Source(tuple(assignments), origins=origins)


def text_of(file: Path) -> str:
    """What the file says, line ends as they are. Raises ConfigError when it cannot be read."""
    try:
        return file.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 text: byte {error.start} cannot be read") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None


def from_mapping(overrides: Mapping[str, object]) -> Source:
    """Values by dotted key (`web.listen`), or whole tables, from the command line; lists given as text are JSON."""
    origin = Origin("command line")
    assignments: list[Assignment] = []
    problems: list[str] = []
    for key, given in overrides.items():
        start, annotation = resolve(key.split("."))
        try:
            value = _decode(annotation, given) if isinstance(given, str) else given
        except ValueError:
            problems.append(_not_json(origin, start, annotation))
            continue
        assignments += [Assignment(path, inner, origin) for path, inner in leaves(value, start)]
    return Source(tuple(assignments), tuple(problems))


def from_environment(environ: Mapping[str, str]) -> Source:
    """`EDGECAM_WEB__LISTEN=…` and the like; lists and tables as JSON. Single-part names that are no key are not ours."""
    assignments: list[Assignment] = []
    problems: list[str] = []
    for name, text in sorted(environ.items()):
        if not name.upper().startswith(ENV_PREFIX):
            continue
        parts = name[len(ENV_PREFIX) :].lower().split(ENV_DELIMITER)
        if len(parts) == 1 and parts[0] not in Settings.model_fields:
            continue  # EDGECAM_SOMETHING of somebody's own script
        origin = Origin("environment", name)
        path, annotation = resolve(parts)
        try:
            value = _decode(annotation, text)
        except ValueError:
            problems.append(_not_json(origin, path, annotation))
            continue
        assignments += [Assignment(leaf, inner, origin) for leaf, inner in leaves(value, path)]
    return Source(tuple(assignments), tuple(problems))


def _not_json(origin: Origin, path: KeyPath, annotation: schema.Annotation) -> str:
    example = '["one", "two"]' if schema.element_type(annotation) is not None else '{"key": "value"}'
    return f"{origin}: {dotted(path)}: not valid JSON; write {schema.words(annotation)}, as in {example}"


def _decode(annotation: schema.Annotation, text: str) -> Any:
    """What the variable's text means: JSON where the key takes a list or a table, itself otherwise.

    pydantic-settings decides what is complex and decodes it; its walk along the nested name is not used, because
    2.8 takes the text of every key in a named table for JSON, which turns a title of digits into a number.
    """
    source = EnvSettingsSource(BaseSettings, env_prefix=ENV_PREFIX, env_nested_delimiter=ENV_DELIMITER)
    if annotation is None:
        return text
    info = FieldInfo.from_annotation(annotation)
    is_table = bool(schema.models_of(annotation))
    return source.decode_complex_value("", info, text) if is_table or source.field_is_complex(info) else text


def from_credentials(environ: Mapping[str, str]) -> Source:
    """The files in systemd's $CREDENTIALS_DIRECTORY named like keys: `web.token`, `ice.servers.0.credential`.

    The unit's name may stand before the key, as in `edgecam.web.token`: so they are called where systemd looks for them.
    """
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        return Source()
    assignments: list[Assignment] = []
    problems: list[str] = []
    for file in sorted(Path(directory).glob("*.*")):
        origin = Origin("credential", file.name)
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            problems.append(f"{origin}: cannot be read: {reason}")
            continue
        path, _ = resolve(_UNIT_PREFIX.sub("", file.name).split("."))
        value = text.removesuffix("\n").removesuffix("\r")
        register_secret(value)  # whatever key it is for: a name that is mistaken must not show it
        assignments.append(Assignment(path, value, origin))
    return Source(tuple(assignments), tuple(problems))


def resolve(parts: Iterable[str]) -> tuple[KeyPath, schema.Annotation | None]:
    """The key path that a name's parts mean, digits as indices where a list stands, and its type if there is one."""
    path: KeyPath = ()
    annotation: schema.Annotation | None = Settings
    for part in parts:
        is_index = annotation is not None and schema.element_type(annotation) is not None and part.isdigit()
        step = int(part) if is_index else part
        path = (*path, step)
        annotation = None if annotation is None else schema.child(annotation, step)
    return path, annotation


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that `word` was probably meant to be, or ''."""
    return next(iter(difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)), "")
