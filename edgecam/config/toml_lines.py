"""On which line of a TOML text each key stands: tomllib does not tell, and an error without a line helps little."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

from edgecam.config.schema import KeyPath


def key_lines(text: str) -> dict[KeyPath, int]:
    """Line number (from 1) of every key, table and array element in `text`, which must be valid TOML.

    Elements of an array that is written as one value all have the line where the value begins.
    """
    lines: dict[KeyPath, int] = {}
    table: KeyPath = ()
    array_lengths: dict[KeyPath, int] = {}
    for number, statement in _statements(text):
        tree = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            table = _table_path(tree, array_lengths)
            for length in range(1, len(table) + 1):
                lines.setdefault(table[:length], number)
            continue
        for path in _paths(tree):
            lines.setdefault(table + path, number)
    return lines


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each header or assignment with its first line's number: the fewest lines that tomllib accepts as a whole."""
    pending: list[str] = []
    start = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if not pending:
            start = number
        pending.append(line)
        statement = "\n".join(pending)
        try:
            tree = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue  # an array or a multi-line string goes on
        pending = []
        if tree:
            yield start, statement


def _table_path(header: dict[str, Any], array_lengths: dict[KeyPath, int]) -> KeyPath:
    """`[a.b]` → (a, b); the second `[[a.b]]` → (a, b, 1); tables inside an array get its last index."""
    path: KeyPath = ()
    node: Any = header
    while node:
        if isinstance(node, list):
            index = array_lengths.get(path, 0)
            array_lengths[path] = index + 1
            return (*path, index)
        (name, node), *_ = node.items()
        path = (*path, name)
        if path in array_lengths and not isinstance(node, list):
            path = (*path, array_lengths[path] - 1)
    return path


def _paths(node: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """`path` itself and everything below it."""
    if path:
        yield path
    members = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, inner in members:
        yield from _paths(inner, (*path, name))
