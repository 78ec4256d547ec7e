"""The manual pages: `python3 man/pages.py DIRECTORY`. Options come from the command's own parser, keys from the settings' models.

What people write stands beside this, one file a page; a line `@WORD ARGUMENT` in it is replaced by what is made here.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import roff  # noqa: E402

from edgecam import __version__  # noqa: E402
from edgecam.cli import command_parser  # noqa: E402
from edgecam.config.reference import WORDS_FOR_NONE, Table, tables  # noqa: E402

PAGES = ("edgecam.1", "edgecam.toml.5", "edgecam-server.8")


def page(name: str) -> str:
    """One page as roff, ready for man(1)."""
    title, _, section = name.rpartition(".")
    head = f'.TH {title.upper()} {section} {_date()} "edgecam {__version__}" "{_volume(section)}"\n'
    # Lines with long words in them cannot be adjusted.
    head += ".ds AD l\n.ad l\n.nh\n"
    comment = f'.\\" Made by man/pages.py from man/{name}.in\n'
    return comment + head + "".join(_line(line) for line in (HERE / f"{name}.in").read_text().splitlines(keepends=True))


def _line(line: str) -> str:
    made = re.fullmatch(r"@([A-Z]+)(?: (.*))?\n", line)
    if made is None:
        return line
    match made[1], made[2]:
        case "COMMANDS", _:
            return "".join(_command(name, parser) for name, parser in subcommands().items())
        case "OPTIONS", command:
            return "".join(_options(subcommands()[command]))
        case "KEYS", None:
            return "".join(_table(table) for table in tables())
        case "KEYS", under:
            return "".join(_table(table) for table in tables() if table.header.startswith(under))
        case word, _:
            raise ValueError(f"nothing is known to stand for @{word}")


def subcommands() -> dict[str, argparse.ArgumentParser]:
    """Each command's own parser, in the order of `edgecam --help`."""
    (group,) = (action for action in command_parser()._actions if isinstance(action, argparse._SubParsersAction))
    return dict(group.choices)


def _command(name: str, parser: argparse.ArgumentParser) -> str:
    usage = [roff.bold(f"edgecam {name}")]
    usage += [
        f"[{_names(action)}]" if action.option_strings or action.nargs == "?" else _names(action)
        for action in _shown(parser)
    ]
    heading = f".SS {roff.escaped(name)}\n{' '.join(usage)}\n.PP\n{roff.prose(parser.description or '')}\n"
    return heading + "".join(_options(parser)) + (_more(parser.epilog) if parser.epilog else "")


def _more(epilog: str) -> str:
    """Lines set in are examples; others are prose."""
    made = []
    for block in re.split(r"\n\s*\n", epilog.strip("\n")):
        lines = block.splitlines()
        made.append(
            roff.example("\n".join(line[2:] for line in lines))
            if lines[0].startswith("  ")
            else f".PP\n{roff.prose(block)}\n"
        )
    return "".join(made)


def _shown(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [
        action
        for action in parser._actions
        if action.help is not argparse.SUPPRESS and "--help" not in action.option_strings
    ]


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in _shown(parser):
        yield roff.paragraph(_names(action), roff.prose(action.help or ""))


def _names(action: argparse.Action) -> str:
    """`-o, --output FILE`, or an argument's word."""
    value = action.metavar if isinstance(action.metavar, str) else ""
    if action.choices is not None and not value:
        value = "|".join(map(str, action.choices))
    if not action.option_strings:
        return roff.italic((value or action.dest).upper())
    if not value and action.nargs != 0:
        value = action.dest.upper()
    names = ", ".join(roff.bold(option) for option in action.option_strings)
    return f"{names} {roff.italic(value)}" if value else names


def _table(table: Table) -> str:
    heading = f".SS {roff.escaped(table.header)}\n" if table.header else ".SS Top of the file\n"
    contract = f"{roff.prose(table.contract)}\n" if table.contract else ""
    return heading + contract + "".join(_row(row.key, row.value, row.default, row.description) for row in table.rows)


def _row(key: str, value: str, default: str, description: str) -> str:
    default = default if default in WORDS_FOR_NONE else f"default \\fB{roff.breakable(default)}\\fP"
    return roff.paragraph(
        roff.bold(key), f"{roff.prose(description)}\n.br\n({roff.breakable(value)}; {default})"
    )


def _date() -> str:
    """When the package was made, as its builder says; today otherwise."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return (datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)).date().isoformat()


def _volume(section: str) -> str:
    return {"1": "User Commands", "5": "File Formats", "8": "System Administration"}[section]


if __name__ == "__main__":
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for name in PAGES:
        (directory / name).write_text(page(name), encoding="utf-8")
