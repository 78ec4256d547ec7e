"""The settings models seen as a tree of keys: what lies under a key, and in words what its value may be."""

from __future__ import annotations

import types
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from edgecam.settings import ICE_URL, STREAM_URL
from edgecam.settings.section import CAMERA_NAME

NAME_IN_WORDS = "a name of at most 32 lower-case letters, digits, - and _"

UNIONS = (Union, types.UnionType)

KeyPath = tuple[str | int, ...]

# What people need to read instead of a regular expression.
PATTERNS_IN_WORDS = {
    CAMERA_NAME: NAME_IN_WORDS,
    r"^wss?://\S+$": "an address that begins with ws:// or wss://",
    r"^https?://\S+$": "an address that begins with http:// or https://",
    r"^(https?://\S+)?$": "an address that begins with http:// or https://, or nothing",
    STREAM_URL: "an address such as rtsp://10.0.0.7/stream or http://10.0.0.7/video.mjpg; user and password have keys of their own",
    ICE_URL: "an address such as stun:stun.example:3478 or turn:turn.example:3478?transport=udp",
}

Annotation = Any  # what typing calls a "type form"; there is no static type for it before Python 3.15


def unwrap(annotation: Annotation) -> tuple[Any, tuple[Any, ...]]:
    """The bare type and its Annotated metadata; `X | None` counts as X."""
    metadata: tuple[Any, ...] = ()
    while True:
        origin: Any = get_origin(annotation)
        if origin is Annotated:
            annotation, *more = get_args(annotation)
            metadata += tuple(more)
            continue
        members = [member for member in get_args(annotation) if member is not type(None)]
        if origin in UNIONS and len(members) == 1:
            annotation = members[0]
            continue
        return annotation, metadata


def models_of(annotation: Annotation) -> tuple[type[BaseModel], ...]:
    """The tables that may stand here: one, several for a union of dialects, none for a plain value."""
    bare, _ = unwrap(annotation)
    if get_origin(bare) in UNIONS:
        return tuple(model for member in get_args(bare) for model in models_of(member))
    return (bare,) if isinstance(bare, type) and issubclass(bare, BaseModel) else ()


def narrowed(annotation: Annotation, table: object) -> Annotation:
    """Of a union of dialects the one that `table` says it is by its `type`; anything else as it is."""
    models = models_of(annotation)
    if len(models) < 2 or not isinstance(table, dict):
        return annotation
    tag = table.get(
        "type", next((m.model_fields["type"].default for m in models if not m.model_fields["type"].is_required()), None)
    )
    return next((m for m in models if tag in choices(field_type(m.model_fields["type"]))), annotation)


def fields_of(annotation: Annotation) -> dict[str, FieldInfo]:
    """The keys that the table knows; empty for anything that is not a table with fixed keys."""
    return {name: field for model in models_of(annotation) for name, field in model.model_fields.items()}


def member_type(annotation: Annotation) -> Annotation | None:
    """What each member of `[camera.NAME]`-like tables is, or None."""
    bare, _ = unwrap(annotation)
    return get_args(bare)[1] if get_origin(bare) is dict else None


def element_type(annotation: Annotation) -> Annotation | None:
    """What each element of a list is, or None."""
    bare, _ = unwrap(annotation)
    return get_args(bare)[0] if get_origin(bare) in (tuple, list) else None


def child(annotation: Annotation, part: str | int) -> Annotation | None:
    """The type of the value under `part`, with its constraints as Annotated; None when there is no such key."""
    if isinstance(part, int):
        return element_type(annotation)
    if (member := member_type(annotation)) is not None:
        return member
    field = fields_of(annotation).get(part)
    return None if field is None else field_type(field)


def field_type(field: FieldInfo) -> Annotation:
    """The field's type and constraints in one."""
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


def is_secret(annotation: Annotation) -> bool:
    return unwrap(annotation)[0] is SecretStr


def words(annotation: Annotation) -> str:
    """What values are right, for people: `a whole number from 64 to 4096`."""
    bare, metadata = unwrap(annotation)
    if models_of(annotation):
        return "a table"
    if (member := member_type(annotation)) is not None:
        return "tables, one a name" if models_of(member) else f"a table of {words(member)}"
    if (element := element_type(annotation)) is not None:
        return f"a list, each {words(element)}"
    if get_origin(bare) is Literal:
        allowed = [f'"{choice}"' if isinstance(choice, str) else str(choice) for choice in get_args(bare)]
        return allowed[0] if len(allowed) == 1 else "one of " + ", ".join(allowed)
    if bare is Any:
        return "values"
    if bare is bool:
        return "true or false"
    if bare in {int, float}:
        return ("a whole number" if bare is int else "a number") + _range(metadata)
    if bare is Path:
        return "a path"
    pattern, longest = _constraint(metadata, "pattern"), _constraint(metadata, "max_length")
    if pattern is not None:
        return PATTERNS_IN_WORDS.get(str(pattern), f"text that matches {pattern}")
    return "text" if longest is None else f"text of at most {longest} characters"


def _constraint(metadata: Iterable[Any], name: str) -> Any:
    """The constraint of that name from Field(...), StringConstraints or annotated_types; None when absent."""
    found = (getattr(item, name, None) for item in metadata)
    return next((value for value in found if value is not None), None)


def _range(metadata: tuple[Any, ...]) -> str:
    low, above = _constraint(metadata, "ge"), _constraint(metadata, "gt")
    high, below = _constraint(metadata, "le"), _constraint(metadata, "lt")
    multiple = _constraint(metadata, "multiple_of")
    text = ""
    if low is not None and high is not None:
        text = f" from {low} to {high}"
    else:
        bounds = [("at least", low), ("above", above), ("at most", high), ("below", below)]
        text = " and".join(f" {word} {bound}" for word, bound in bounds if bound is not None)
    if multiple is not None:
        text += ", even" if multiple == 2 else f", a multiple of {multiple}"
    return text


def choices(annotation: Annotation) -> tuple[str, ...]:
    """The words that a Literal allows; none for other types."""
    bare, _ = unwrap(annotation)
    return get_args(bare) if get_origin(bare) is Literal else ()
