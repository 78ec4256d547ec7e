"""config/edgecam.toml and docs/configuration.md say what the models say."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edgecam.config import load, schema
from edgecam.config.reference import render
from edgecam.config.schema import KeyPath
from edgecam.settings import Settings

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config" / "edgecam.toml"
EVERYTHING_ON = re.sub(r"(?m)^#(?=[a-z_]+ = |\[)", "", EXAMPLE.read_text())


def known_keys(annotation: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Every key that may be written, with NAME and 0 for the members of tables and lists of tables."""
    inner = schema.member_type(annotation)
    element = schema.element_type(annotation)
    if schema.fields_of(annotation):
        for name, field in schema.fields_of(annotation).items():
            yield from known_keys(schema.field_type(field), (*path, name))
    elif inner is not None and schema.models_of(inner):
        yield from known_keys(inner, (*path, "NAME"))
    elif element is not None and schema.models_of(element):
        yield from known_keys(element, (*path, 0))
    else:
        yield path


def written_keys(node: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    if isinstance(node, dict) and node:
        for name, inner in node.items():
            yield from written_keys(inner, (*path, "NAME" if path in {("camera",), ("signaling",)} else name))
    elif isinstance(node, list) and node and isinstance(node[0], dict):
        for entry in node:
            yield from written_keys(entry, (*path, 0))
    else:
        yield path


def test_the_example_is_safe_to_start_as_it_is() -> None:
    settings = load(EXAMPLE, environ={}).settings
    assert [camera.source for camera in settings.camera.values()] == ["test"]
    assert settings.web.address.is_loopback
    assert settings.server.address.is_loopback
    assert settings.signaling == {}
    assert settings.ice.servers == ()


def test_the_example_has_every_key() -> None:
    assert set(known_keys(Settings)) == set(written_keys(tomllib.loads(EVERYTHING_ON)))


def test_the_example_is_right_with_every_key_switched_on(tmp_path: Path) -> None:
    file = tmp_path / "edgecam.toml"
    file.write_text(EVERYTHING_ON)
    assert set(load(file, environ={}).settings.camera) == {"demo", "front"}


@pytest.mark.parametrize("section", ["log", "web", "ice", "doctor", "viewers", "server"])
def test_what_the_example_sets_is_the_default(section: str) -> None:
    assert getattr(load(EXAMPLE, environ={}).settings, section) == getattr(Settings(), section)


def test_a_camera_in_the_example_has_the_default_values(tmp_path: Path) -> None:
    file = tmp_path / "edgecam.toml"
    file.write_text(EVERYTHING_ON)
    shown = load(file, environ={}).settings.camera["front"]
    default = type(shown)()
    assert shown.effective == default.effective
    assert shown.floor_bps == default.floor_bps
    unset: dict[str, object] = {"width": None, "height": None, "fps": None, "bitrate_kbps": None, "min_bitrate_kbps": None}
    assert shown.model_copy(update=unset) == default


def test_each_key_of_the_example_has_a_comment_above_it() -> None:
    lines = EXAMPLE.read_text().splitlines()
    groups = {"height", "credential"}  # explained with the key before them
    for above, line in pairwise(lines):
        key = re.match(r"#?([a-z_]+) = ", line)
        if key and key[1] not in groups and not above.startswith(("#[[", "#urls")):
            assert above.startswith("# "), line


def test_the_reference_page_is_current() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text() == render(), "run `make docs`"
