"""Runs in the Debian 13 tree: an interactive bash on a terminal, where the Tab key is pressed behind each line of standard input.

For each line, one of JSON on standard output: the line as bash then has it, what was listed, and how long it took in seconds.
"""

import json
import os
import pty
import re
import select
import sys
import time

SETTINGS = r"""
PS1='ready> '
source /usr/share/bash-completion/bash_completion
bind 'set bell-style none' 'set enable-bracketed-paste off'
bind 'set show-all-if-ambiguous on'
bind 'set completion-query-items 0'
bind 'set completion-display-width 0'
bind 'set page-completions off'
bind 'set enable-bracketed-paste off'
bind -x '"\C-t": printf "\n<<%s>>\n" "$READLINE_LINE"'
cd /
"""


def until(terminal: int, pattern: str) -> re.Match[str]:
    said, deadline = "", time.monotonic() + 20
    while not (found := re.search(pattern, said, re.DOTALL)):
        if not select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]:
            sys.exit(f"bash said only {said!r}")
        said += os.read(terminal, 65536).decode(errors="replace")
    return found


def main() -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "dumb"
        os.environ["COLUMNS"] = "500"
        os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
    os.write(terminal, (SETTINGS + "echo set up | tr a-z A-Z\n").encode())
    until(terminal, "\nSET UP\r\n.*ready> $")
    for line in sys.stdin.read().splitlines():
        start = time.monotonic()
        # Tab, then the line as it is now.
        os.write(terminal, f"{line}\t\x14".encode())
        found = until(terminal, r"(.*)\r?\n<<(.*?)>>\r?\n.*ready> ")
        took = time.monotonic() - start
        os.write(terminal, b"\x15\n")  # away with it; what bash writes to erase it must not be read with the next one
        until(terminal, r"\nready> $")
        # Behind the line that was typed stands one word a row, then the prompt again.
        rows = [row.strip() for row in found[1].replace("\r", "").split("\n")]
        listed = [row for row in rows if row and row != line.strip() and "ready>" not in row]
        print(json.dumps({"line": found[2], "listed": listed, "seconds": took}), flush=True)
    os.close(terminal)


main()
