"""config/edgecam.schema.json: what editors are told agrees with what the models say."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from edgecam.config.jsonschema import render
from edgecam.settings import Settings
from tests.settings.test_example import EVERYTHING_ON, EXAMPLE, ROOT

FILE = ROOT / "config" / "edgecam.schema.json"
SCHEMA = json.loads(FILE.read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def complaints(text: str) -> list[str]:
    return [f"{error.json_path}: {error.message[:200]}" for error in VALIDATOR.iter_errors(tomllib.loads(text))]


def documented() -> list[tuple[str, str]]:
    """The configurations that the documents show: TOML that has at least one table of ours."""
    found = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for number, block in enumerate(re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)):
            if re.search(r"^\[", block, re.MULTILINE):
                found.append((f"{page.name}:{number}", block))
    return found


def test_the_schema_is_one_and_is_current() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert FILE.read_text() == render(), "run `make docs`"


def test_the_example_names_the_schema_for_editors() -> None:
    assert EXAMPLE.read_text().startswith("#:schema edgecam.schema.json\n")


def test_the_example_holds() -> None:
    assert complaints(EXAMPLE.read_text()) == []
    assert complaints(EVERYTHING_ON) == []


@pytest.mark.parametrize(("place", "text"), documented(), ids=[place for place, _ in documented()])
def test_what_the_documents_show_holds(place: str, text: str) -> None:
    assert complaints(text) == [], place


@pytest.mark.parametrize(
    "text",
    [
        "sauce = 1",
        "[web]\nlisten = 8088",
        "[viewers]\nmax = -1",
        "[viewers]\nmax = 'many'",
        "[camera.front]\nsauce = 'test'",
        "[camera.front]\nsource = 'v4l3'",
        "[camera.front]\nwidth = 641",
        "[camera.front]\nfps = [30]",
        "[camera.'Front Door']\nsource = 'test'",
        "[camera]\nsource = 'test'",
        "[signaling.home]\ntype = 'whisp'",
        "[signaling.home]\nurl = 'http://a'",
        "[signaling.media]\ntype = 'whip'",
        "[[ice.servers]]\nurls = 'stun'",
        "[ice.servers]\nurls = 'stun:a:1'",
        "[doctor]\nrelay_every = '6 weeks'",
        "[doctor]\nrelay_every = -1",
    ],
)
def test_what_is_wrong_for_the_models_is_wrong_for_editors(text: str) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(tomllib.loads(text))
    assert complaints(text)


@pytest.mark.parametrize(
    "text",
    [
        "[[ice.servers]]\nurls = 'stun:a:1'",
        "[[ice.servers]]\nurls = ['stun:a:1', 'stun:b']",
        "[doctor]\nrelay_every = '6h'",
        "[doctor]\nrelay_every = 90",
        "[signaling.home]\n",
        "[signaling.media]\ntype = 'whip'\nurl = 'https://media.example/whip'",
    ],
)
def test_what_the_models_read_more_than_one_way_editors_do_too(text: str) -> None:
    Settings.model_validate(tomllib.loads(text))
    assert complaints(text) == []


def test_every_key_has_a_description_and_no_secret_a_default() -> None:
    def keys(node: Any) -> None:
        for name, found in node.get("properties", {}).items():
            assert "$ref" in found or "patternProperties" in found or found.get("items", {}).get("$ref") or found["description"], name
            assert not re.search("token|secret|password|credential$", name) or found.get("default", "") in ("", [], {}), name

    for table in (SCHEMA, *SCHEMA["$defs"].values()):
        keys(table)
