"""`python -m tests.load`: the load on the bundled server, then on a plain relay; prints the table and may write the page."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.conditions import commit
from tests.load import attacks, servers
from tests.load.measure import Result, measure, pin
from tests.load.page import page, table

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "performance-server.md"
ATTACKS = ROOT / "docs" / "attacks.md"
MARK = "## Floods"
FLOOD = 200.0  # connections a second
INTRODUCTION = """Written by `make load ARGS="--attacks --write-docs"`. A good pair has 40 calls a second, by turns in peace and while one
address (a network namespace of its own) floods the server; both halves are of the same run. The good pair's side has a core
of its own, which it shares with the attacker. `tests/load/test_attacks.py` sees to it that no good call is lost.
"""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.load", description="Load the bundled signaling server and a plain Node relay, on loopback."
    )
    parser.add_argument("--cameras", type=int, default=5000, help="registered and idle (default 5000)")
    parser.add_argument("--rate", type=float, default=500.0, help="joins a second (default 500)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of joins (default 20)")
    parser.add_argument("--idle", type=float, default=10.0, help="seconds of nothing but heartbeats (default 10)")
    parser.add_argument("--only", choices=("edgecam", "relay"), help="one of the two")
    parser.add_argument("--attacks", action="store_true", help="instead: floods from another address, and what a good pair notices")
    parser.add_argument("--write-docs", action="store_true", help="write docs/performance-server.md, or the floods of docs/attacks.md, too")
    return parser.parse_args()


@contextmanager
def _ours(options: argparse.Namespace) -> Iterator[servers.Running]:
    clients = options.cameras + int(options.rate * 20)
    with TemporaryDirectory(prefix="edgecam-load-") as directory, servers.edgecam(Path(directory), clients=clients) as running:
        yield running


STARTS: dict[str, Callable[[argparse.Namespace], AbstractContextManager[servers.Running]]] = {
    "edgecam": _ours,
    "relay": lambda _options: servers.node_relay(),
}


def _conditions() -> list[str]:
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return [
        f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores: one for the server, one for the load",
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, aiohttp {version('aiohttp')}",
        f"run begun {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, {commit()}, load average {os.getloadavg()[0]:.1f} before it",
    ]


def main() -> int:
    options, conditions = _options(), _conditions()
    return _attacks(options, conditions) if options.attacks else _load(options, conditions)


def _attacks(options: argparse.Namespace, conditions: list[str]) -> int:
    results = []
    with TemporaryDirectory(prefix="edgecam-load-") as directory, ExitStack() as stack:
        machine = stack.enter_context(attacks.other_machine())
        server = servers.edgecam(Path(directory), clients=3000, host="0.0.0.0", allow_anonymous=True)
        running = stack.enter_context(server)
        pin(running.pid, 0)
        pin(os.getpid(), 1)
        for kind in attacks.KINDS:
            print(f"flood: {kind}", file=sys.stderr, flush=True)
            attacked = attacks.slowing(running, machine, kind, rate=FLOOD, seconds=2.5, rounds=2)
            results.append(asyncio.run(attacked))
    found = attacks.table(results, FLOOD)
    print(found)
    if options.write_docs:
        listed = "\n".join(f"* {line}" for line in conditions)
        before, mark, _ = ATTACKS.read_text().partition(MARK)
        ATTACKS.write_text(f"{before}{mark}\n\n{INTRODUCTION}\n{found}\n{listed}\n")
    return 0


def _load(options: argparse.Namespace, conditions: list[str]) -> int:
    results: list[Result] = []
    for name, start in STARTS.items():
        if options.only not in (None, name):
            continue
        with start(options) as running:
            pin(running.pid, 0)
            pin(os.getpid(), 1)
            print(f"{running.name}: {options.cameras} cameras, {options.rate:g} joins a second", file=sys.stderr, flush=True)
            gc.collect()
            gc.disable()  # the load generator must not pause
            run = measure(running, cameras=options.cameras, rate=options.rate, seconds=options.seconds, idle=options.idle)
            results.append(asyncio.run(run))
            gc.enable()
    print(table(results))
    if options.write_docs:
        PAGE.write_text(page(results, conditions))
    return 0


if __name__ == "__main__":
    sys.exit(main())
