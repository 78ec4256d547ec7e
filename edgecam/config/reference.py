"""docs/configuration.md, made from the models: `python -m edgecam.config.reference > docs/configuration.md`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from edgecam.config import schema
from edgecam.config.report import literal
from edgecam.settings import Settings

HEADING = """\
# Configuration

<!-- Generated from edgecam/settings.py by `make docs`; edit the models, not this page. -->

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


def render() -> str:
    """The whole page."""
    return "\n".join([HEADING, *_sections("", Settings)])


def _sections(name: str, model: type[BaseModel]) -> Iterator[str]:
    """This table's own keys, then the tables inside it."""
    prefix = f"{name.strip('[]')}." if name else ""
    inner: list[tuple[str, type[BaseModel]]] = []
    rows: list[str] = []
    for key, field in model.model_fields.items():
        tables = list(_tables(prefix + key, field))
        inner += tables
        if not tables:
            rows.append(_row(key, field))
    if rows:
        yield f"## {f'`{name}`' if name else 'Top of the file'}\n"
        if name and (contract := _contract(model)):
            yield f"{contract}\n"
        yield "| key | value | default | |\n|---|---|---|---|"
        yield "\n".join(rows) + "\n"
    for header, table in inner:
        yield from _sections(header, table)


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


def _row(key: str, field: FieldInfo) -> str:
    annotation = schema.field_type(field)
    if field.is_required():
        default = "required"
    elif field.default is None:
        default = "unset"
    else:
        default = f"`{literal(field.default)}`"
    cells = (f"`{key}`", schema.words(annotation), default, field.description or "")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.stdout.write(render())
