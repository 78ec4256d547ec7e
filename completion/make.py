"""Completion for bash: `python3 completion/make.py DIRECTORY` writes the file `edgecam` there, from the command's parser."""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from edgecam.cli import command_parser  # noqa: E402
from edgecam.config.reference import tables  # noqa: E402


def script() -> str:
    """The whole file."""
    commands = _commands()
    made = {
        "@COMMANDS@": " ".join(commands),
        "@VALUES@": "\n".join(line for name, parser in commands.items() for line in _values(name, parser)),
        "@OPTIONS@": "\n".join(
            f"        {name}) echo '{' '.join(_options(parser))}' ;;" for name, parser in commands.items()
        ),
        "@KEYS@": "\n".join(_keys()),
    }
    text = (HERE / "edgecam.bash.in").read_text()
    for place, content in made.items():
        text = text.replace(place, content)
    return text


def _commands() -> dict[str, argparse.ArgumentParser]:
    (group,) = (action for action in command_parser()._actions if isinstance(action, argparse._SubParsersAction))
    return dict(group.choices)


def _options(parser: argparse.ArgumentParser) -> list[str]:
    return [option for action in parser._actions for option in action.option_strings if option.startswith("--")]


def _values(command: str, parser: argparse.ArgumentParser) -> list[str]:
    """What each option takes, and each argument, which are numbered from 1."""
    arguments = itertools.count(1)
    return [
        f'        "{command} {name}") echo {_kind(action)} ;;'
        for action in parser._actions
        for name in action.option_strings or [str(next(arguments))]
    ]


def _kind(action: argparse.Action) -> str:
    """What bash should offer: see `_edgecam_reply`."""
    if action.nargs == 0:
        return "flag"
    if action.choices is not None:
        return f"words {' '.join(map(str, action.choices))}"
    if action.dest in ("camera", "signaling", "set", "source"):
        return action.dest
    return "file" if action.type is Path else "words"


def _keys() -> list[str]:
    """Every key that --set may name; not the elements of lists, which are written as JSON."""
    return [
        f"{table.header.strip('[]')}.{row.key}".lstrip(".")
        for table in tables()
        if not table.header.startswith("[[")
        for row in table.rows
    ]


if __name__ == "__main__":
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "edgecam").write_text(script(), encoding="utf-8")
