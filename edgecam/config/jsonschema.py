"""config/edgecam.schema.json, made from the models: `edgecam check-config --schema > config/edgecam.schema.json`.

For editors, which complete keys and mark what is wrong while it is written. It says what can be said of one key at a time; what
keys have to do with each other only the models know (`edgecam check-config`).
"""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import BaseModel

from edgecam.config import schema
from edgecam.settings import IceServer, Settings, parse_duration

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DURATION = {"type": "string", "pattern": r"^[0-9]+([.][0-9]+)?\s*[smhd]$"}


def render() -> str:
    """The schema as it stands in the file."""
    return json.dumps(_whole(document()), indent=2, ensure_ascii=False) + "\n"


def document() -> dict[str, Any]:
    """The schema (draft 2020-12) of the whole file."""
    whole = Settings.model_json_schema()
    definitions = whole.pop("$defs")
    models = {model.__name__: model for model in _models(Settings)}
    for name, table in definitions.items():
        _tidy(table, models[name])
    _tidy(whole, Settings)
    return {
        "$schema": DIALECT,
        "title": "edgecam.toml",
        "description": "Configuration of edgecam; docs/configuration.md",
        **{key: value for key, value in whole.items() if key not in {"title", "description"}},
        "$defs": dict(sorted(definitions.items())),
    }


def _whole(value: Any) -> Any:
    """Whole numbers without a fraction, which some versions of pydantic give them: the file is the same with each."""
    if isinstance(value, dict):
        return {key: _whole(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _models(model: type[BaseModel]) -> set[type[BaseModel]]:
    """The table and all tables inside it."""
    found = {model}
    for field in model.model_fields.values():
        annotation = schema.field_type(field)
        held = schema.member_type(annotation) or schema.element_type(annotation) or annotation
        for inner in schema.models_of(held):
            found |= _models(inner)
    return found


def _tidy(table: dict[str, Any], model: type[BaseModel]) -> None:
    """As people write the table in TOML, which has no null, and as the models read it."""
    table.pop("title", None)
    if text := table.get("description"):
        table["description"] = re.sub(r"^\[+[^\]]*\]+:?\s*", "", text) or text
    for key, found in table.get("properties", {}).items():
        _tidy_key(found)
        if _is_duration(model, key):
            bounds = {name: found.pop(name) for name in ("type", "minimum", "maximum") if name in found}
            found["anyOf"] = [bounds, DURATION]
        if model is IceServer and key == "urls":  # one may stand alone
            found["anyOf"] = [{"type": "array", "items": found["items"]}, found.pop("items")]
            del found["type"]


def _tidy_key(found: dict[str, Any]) -> None:
    found.pop("title", None)
    found.pop("writeOnly", None)
    if found.pop("format", None) == "password":
        found.pop("default", None)
    if found.get("default", "") is None or "$ref" in found:
        found.pop("default", None)
    options = [option for option in found.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) == 1:
        del found["anyOf"]
        found.update({key: value for key, value in options[0].items() if key != "format"})
    if "patternProperties" in found:  # tables with names of people's choice
        found["additionalProperties"] = False


def _is_duration(model: type[BaseModel], key: str) -> bool:
    metadata = model.model_fields[key].metadata
    return any(getattr(item, "func", None) is parse_duration for item in metadata)
