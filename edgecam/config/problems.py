"""pydantic's complaints in our words: one line each, with where to look and what would be right."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from edgecam.config import schema
from edgecam.config.schema import KeyPath
from edgecam.config.sources import Origin, dotted, nearest
from edgecam.redaction import SECRET_KEY, mask_text
from edgecam.settings import Settings

# Longer values are cut: the line is for finding the key, not for reading the value.
LONGEST_SHOWN = 60


def describe(
    error: ValidationError, tree: dict[str, Any], responsible: Callable[[KeyPath], Origin | None]
) -> list[str]:
    """One line a problem, in the order of the file. `tree` is what was validated. No secret's value is shown."""
    lines: dict[str, int] = {}
    for problem in error.errors(include_url=False, include_context=True, include_input=False):
        path = _real_path(problem["loc"], tree)
        message = _message(problem, path, tree)
        if problem["type"] == "value_error" and not path:
            path = _path_named_in(message, tree)
            text = message
        else:
            text = f"{dotted(path)}: {message}" if path else message
        origin = responsible(path)
        lines.setdefault(mask_text(f"{origin}: {text}" if origin else text), origin.line if origin else 0)
    return sorted(lines, key=lambda line: lines[line])


def _real_path(loc: tuple[str | int, ...], tree: object) -> KeyPath:
    """pydantic's location without the marks that are no keys: `[key]`, and the tag of a union's member."""
    path: KeyPath = ()
    annotation: schema.Annotation | None = Settings
    node: Any = tree
    for part in loc:
        if part == "[key]":
            continue
        annotation = schema.narrowed(annotation, node)
        inside = None if annotation is None else schema.child(annotation, part)
        present = part in node if isinstance(node, dict) else isinstance(node, list) and isinstance(part, int)
        if inside is None and not present and part in _tags(annotation):
            continue
        path = (*path, part)
        annotation = inside
        node = node[part] if present and not (isinstance(node, list) and int(part) >= len(node)) else None
    return path


def _tags(annotation: schema.Annotation | None) -> set[str]:
    models = schema.models_of(annotation)
    return {
        tag for m in models if "type" in m.model_fields for tag in schema.choices(m.model_fields["type"].annotation)
    }


def _message(problem: Any, path: KeyPath, tree: object) -> str:
    kind = problem["type"]
    if kind == "extra_forbidden":
        return _unknown(path, tree)
    if kind == "dialect_unknown":
        return str(problem["msg"])
    if kind in {"value_error", "assertion_error"}:
        return str(problem["ctx"]["error"])
    annotation = _type_at(path, tree)
    if kind == "missing":
        return f"missing; it must be {schema.words(annotation)}"
    if problem["loc"][-1:] == ("[key]",):
        return f"not a name; write {schema.NAME_IN_WORDS}"
    value = _at(path, tree)
    if schema.models_of(annotation) and not isinstance(value, dict):
        return _not_a_table(path, tree)
    right = schema.words(annotation)
    wrong = _shown(value, secret=schema.is_secret(annotation) or bool(SECRET_KEY.search(str(path[-1]))))
    choice = nearest(value, schema.choices(annotation)) if isinstance(value, str) else ""
    return f"{wrong} is not {right}" + (f'; did you mean "{choice}"?' if choice else "")


def _unknown(path: KeyPath, tree: object) -> str:
    """An unknown key or section, with the nearest known one, else all there are."""
    known = schema.fields_of(_type_at(path[:-1], tree))
    value = _at(path, tree)
    inside = value[0] if value and isinstance(value, list) else value
    what = "section" if isinstance(inside, dict) else "key"
    if guess := nearest(str(path[-1]), known):
        return f"unknown {what}; did you mean '{guess}'?"
    return f"unknown {what}; known here: {', '.join(known)}"


def _not_a_table(path: KeyPath, tree: object) -> str:
    holder = dotted(path[:-1])
    if schema.member_type(_type_at(path[:-1], tree)) is None:
        return f"must be a table; write [{dotted(path)}]"
    belongs = path[-1] in schema.fields_of(_type_at(path, tree))
    remark = f"'{path[-1]}' belongs to one" if belongs else "give each its own table"
    return f"{remark}; write [{holder}.NAME] above it, with a name of your choice"


def _type_at(path: KeyPath, tree: object) -> schema.Annotation | None:
    """The type of what stands at `path`; of a section of several dialects, of the one that it says it is."""
    annotation: schema.Annotation | None = Settings
    for depth, part in enumerate(path):
        annotation = schema.narrowed(annotation, _at(path[:depth], tree))
        annotation = None if annotation is None else schema.child(annotation, part)
    return schema.narrowed(annotation, _at(path, tree))


def _at(path: KeyPath, tree: object) -> Any:
    node: Any = tree
    for part in path:
        if isinstance(node, str):
            return node  # one value where a list of them may stand
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            return None
    return node


def _shown(value: object, *, secret: bool) -> str:
    if secret:
        return "this value"
    text = mask_text(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"


def _path_named_in(message: str, tree: object) -> KeyPath:
    """The key that a complaint about the whole file begins with (`signaling.home.cameras names …`), or ()."""
    match = re.match(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+", message)
    path: KeyPath = tuple(match[0].split(".")) if match else ()
    return path if path and _at(path, tree) is not None else ()
