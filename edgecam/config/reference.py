"""docs/configuration.md, made from the models: `python -m edgecam.config.reference > docs/configuration.md`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from edgecam.config import schema
from edgecam.config.report import literal
from edgecam.settings import Settings

HEADING = """\
# Configuration

<!-- Generated from edgecam/settings by `make docs`; edit the models, not this page. -->

One TOML file, `/etc/edgecam/edgecam.toml` unless `--config` names another. [config/edgecam.toml](../config/edgecam.toml)
is an example with every key. Unknown keys are errors; `edgecam check-config` says where and what was probably meant, and
`edgecam check-config --show` prints every effective value and where it came from.

What stands earlier wins:

| source | how |
|---|---|
| command line | `--set web.listen=:8088`; lists as JSON |
| environment | `EDGECAM_WEB__LISTEN=:8088`, `EDGECAM_CAMERA__FRONT__FPS=25`, `EDGECAM_ICE__SERVERS__0__CREDENTIAL=…`; lists as JSON |
| systemd credentials | a file named like the key: `LoadCredential=signaling.home.token:/etc/edgecam/home.token` |
| file | `listen = ":8088"` below `[web]` |
| default | as listed here |

Tokens, passwords and other secrets are never printed.
"""

REQUIRED, UNSET = "required", "unset"
WORDS_FOR_NONE = (REQUIRED, UNSET)


@dataclass(frozen=True, slots=True)
class Row:
    """One key: what its value may be in words, its default as TOML, "unset" or "required", and its description."""

    key: str
    value: str
    default: str
    description: str


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the file, with its own keys. `header` is as written in the file, empty for the top."""

    header: str
    contract: str
    rows: tuple[Row, ...]


def tables(header: str = "", model: type[BaseModel] = Settings) -> Iterator[Table]:
    """The table itself, if it has keys of its own, then the tables inside it, in the models' order."""
    prefix = f"{header.strip('[]')}." if header else ""
    inner: list[tuple[str, type[BaseModel]]] = []
    rows: list[Row] = []
    for key, field in model.model_fields.items():
        found = list(_tables(prefix + key, field))
        inner += found
        if not found:
            rows.append(_row(key, field))
    if rows:
        yield Table(header, _contract(model) if header else "", tuple(rows))
    for name, table in inner:
        yield from tables(name, table)


def render() -> str:
    """The whole page."""
    return "\n".join([HEADING, *(_markdown(table) for table in tables())])


def _markdown(table: Table) -> str:
    lines = [f"## {f'`{table.header}`' if table.header else 'Top of the file'}", ""]
    if table.contract:
        lines += [table.contract, ""]
    lines.append("| key | value | default | |\n|---|---|---|---|")
    for row in table.rows:
        default = row.default if row.default in WORDS_FOR_NONE else f"`{row.default}`"
        cells = (f"`{row.key}`", row.value, default, row.description)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _tables(path: str, field: FieldInfo) -> Iterator[tuple[str, type[BaseModel]]]:
    """The tables that stand under `path`, with the header that each is written under; none for a plain value."""
    annotation = schema.field_type(field)
    if (member := schema.member_type(annotation)) is not None:
        yield from ((f"[{path}.NAME]", model) for model in schema.models_of(member))
    elif (element := schema.element_type(annotation)) is not None:
        yield from ((f"[[{path}]]", model) for model in schema.models_of(element))
    else:
        yield from ((f"[{path}]", model) for model in schema.models_of(annotation))


def _contract(model: type[BaseModel]) -> str:
    """What the models' docstrings say after `[section]:`."""
    first = inspect.cleandoc(model.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
    text = first.partition("]")[2].lstrip("]: ") if first.startswith("[") else first
    return text if "=" in text.partition(":")[0] else text[:1].upper() + text[1:]


def _row(key: str, field: FieldInfo) -> Row:
    annotation = schema.field_type(field)
    if field.is_required():
        default = REQUIRED
    elif field.default is None:
        default = UNSET
    else:
        default = literal(field.default)
    return Row(key, schema.words(annotation), default, field.description or "")


if __name__ == "__main__":
    sys.stdout.write(render())
