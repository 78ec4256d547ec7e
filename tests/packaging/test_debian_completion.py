"""Completion, asked for as a person does it: the installed package, a bash on a terminal, and the Tab key."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgecam.cli import command_parser
from tests.machines.chroot import said, shell, within
from tests.machines.package import installed

pytestmark = pytest.mark.timeout(300)  # the tree and the packages may have to be made first

CONFIG = """
[camera.front]
device = "/dev/video0"
  [camera."back-yard"]
device = "/dev/video2"
[signaling.home]
url = "wss://signal.example/ws"
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one Tab made of a line, what it listed, and how long that took in seconds."""

    line: str
    listed: list[str]
    seconds: float


def tab(*lines: str) -> list[Answer]:
    """An answer for each line, all in one bash, with CONFIG as the usual configuration."""
    here = Path(__file__).parent
    quoted = "\n".join(lines)
    script = f"cat >/etc/edgecam/edgecam.toml <<'END'\n{CONFIG}END\ncp /etc/edgecam/edgecam.toml /root/other.toml\n"
    script += f"sed -i s/front/porch/ /root/other.toml\npython3 /tests/tab_key.py <<'END'\n{quoted}\nEND\n"
    answers = said(within(installed(), *shell(script), shared={here: "/tests"})).splitlines()
    return [Answer(**json.loads(answer)) for answer in answers]


def test_the_tab_key() -> None:
    expected = {
        "edgecam che": "edgecam check-config ",
        "edgecam snapshot f": "edgecam snapshot front ",
        "edgecam snapshot -o x.jpg b": "edgecam snapshot -o x.jpg back-yard ",
        "edgecam snapshot --config /root/other.toml p": "edgecam snapshot --config /root/other.toml porch ",
        "edgecam snapshot --config=~/other.toml p": "edgecam snapshot --config=~/other.toml porch ",
        "edgecam call a@b --signaling h": "edgecam call a@b --signaling home ",
        "edgecam invite --camera=b": "edgecam invite --camera=back-yard ",
        "edgecam invite --role a": "edgecam invite --role admin ",
        "edgecam status --js": "edgecam status --json ",
        "edgecam run --config /root/oth": "edgecam run --config /root/other.toml ",
        "edgecam run --config=/root/oth": "edgecam run --config=/root/other.toml ",
        "edgecam check-config /root/oth": "edgecam check-config /root/other.toml ",
        "edgecam run --set web.lis": "edgecam run --set web.listen=",
        "edgecam run --set camera.back-yard.bitrate": "edgecam run --set camera.back-yard.bitrate_kbps=",
    }
    answers = tab(*expected)
    assert dict(zip(expected, (answer.line for answer in answers), strict=True)) == expected


def test_every_command_and_every_option_is_offered() -> None:
    (commands,) = (action for action in command_parser()._actions if isinstance(action, argparse._SubParsersAction))
    asked = ["edgecam ", *(f"edgecam {name} --" for name in commands.choices)]
    first, *others = tab(*asked)
    assert set(first.listed) == {*commands.choices, "--help", "--version"}
    for (name, parser), answer in zip(commands.choices.items(), others, strict=True):
        options = {option for action in parser._actions for option in action.option_strings if option.startswith("--")}
        assert set(answer.listed) == options, name


def test_names_of_cameras_and_words_are_listed() -> None:
    cameras, roles, none = tab("edgecam snapshot ", "edgecam invite --role ", "edgecam invite --name ")
    assert cameras.listed == ["back-yard", "front"]
    assert sorted(roles.listed) == ["admin", "camera", "viewer"]
    assert none.listed == []


def test_a_tab_starts_no_python() -> None:
    """That alone would take a second on a Raspberry Pi. The first Tab also loads the file."""
    answers = tab("edgecam snapshot f", "edgecam snapshot f", "edgecam run --set camera.")
    print([round(answer.seconds * 1000) for answer in answers], "ms")
    assert max(answer.seconds for answer in answers) < 1.0
