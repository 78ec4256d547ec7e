"""Text as man(7) roff."""

from __future__ import annotations

import re


def escaped(text: str) -> str:
    """`text` as it should be read, whatever is in it: backslashes, hyphens that are hyphens, no line that is a request."""
    safe = (
        text.replace("\\", "\\(rs")
        .replace("-", "\\-")
        .replace("^", "\\(ha")
        .replace("~", "\\(ti")
        .replace("`", "\\(ga")
    )
    safe = safe.replace("'", "\\(aq")
    return re.sub(r"(?m)^(?=\.)", r"\\&", safe)


def prose(text: str) -> str:
    """The same, with what stands in `backquotes` in bold, as Markdown and docstrings have it."""
    return "".join(bold(part) if number % 2 else escaped(part) for number, part in enumerate(text.split("`")))


def breakable(text: str) -> str:
    """The same for what has few spaces, such as patterns and lists: a line may end behind each of their signs."""
    return re.sub(r"[],|/}]+", r"\g<0>\:", escaped(text))


def bold(text: str) -> str:
    return f"\\fB{escaped(text)}\\fP"


def italic(text: str) -> str:
    return f"\\fI{escaped(text)}\\fP"


def paragraph(tag: str, body: str) -> str:
    """A tagged paragraph; both are roff already."""
    return f".TP\n{tag}\n{body}\n"


def example(text: str) -> str:
    """Lines that are kept as they are."""
    return f".PP\n.in +4n\n.EX\n{escaped(text.rstrip())}\n.EE\n.in\n"
