"""The figures for people: a table, and docs/performance-server.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.load.crowd import ANSWER_BYTES, CAMERA_CANDIDATES, OFFER_BYTES, RELAYED, STAY, VIEWER_CANDIDATES
from tests.load.measure import Result

_ROWS: tuple[tuple[str, Callable[[Result], str]], ...] = (
    ("cameras registered and idle", lambda r: f"{r.cameras}"),
    ("joins asked for, a second", lambda r: f"{r.rate:g}"),
    ("joins answered", lambda r: f"{r.joined} in {r.seconds:.1f} s"),
    ("joins lost", lambda r: f"{r.lost}"),
    ("messages relayed", lambda r: f"{r.relayed}"),
    ("relay delay, median", lambda r: f"{r.relay_p50:.2f} ms"),
    ("**relay delay, 99 %**", lambda r: f"**{r.relay_p99:.1f} ms**"),
    ("relay delay, longest", lambda r: f"{r.relay_max:.0f} ms"),
    ("connecting to answer, median and 99 %", lambda r: f"{r.join_p50:.2f}, {r.join_p99:.1f} ms"),
    ("lateness of the load generator itself, 99 %", lambda r: f"{r.late_p99:.1f} ms"),
    ("**memory a connection, resident**", lambda r: f"**{r.resident:.1f} kB**"),
    ("the same, shared pages in part (PSS)", lambda r: f"{r.proportional:.1f} kB"),
    ("all cameras registered within", lambda r: f"{r.register_s:.1f} s"),
    ("processor while all are idle, of one core", lambda r: f"{r.idle_cpu:.1f} %"),
    ("processor during the joins, of one core", lambda r: f"{r.cpu:.0f} %"),
    ("processor that others used meanwhile, the kernel's network included", lambda r: f"{r.others:.0f} %"),
)

_TARGETS: tuple[tuple[str, str, float, Callable[[Result], float]], ...] = (
    ("relay delay, 99 %", "ms", 20.0, lambda r: r.relay_p99),
    ("memory a connection, resident", "kB", 40.0, lambda r: r.resident),
)


def table(results: Sequence[Result]) -> str:
    lines = ["| | " + " | ".join(result.server for result in results) + " |", "|---|" + "--:|" * len(results)]
    lines += [f"| {name} | " + " | ".join(show(result) for result in results) + " |" for name, show in _ROWS]
    return "\n".join(lines) + "\n"


def _targets(ours: Result) -> str:
    lines = ["| | at most | measured | |", "|---|--:|--:|---|"]
    for name, unit, most, read in _TARGETS:
        value = read(ours)
        lines.append(f"| {name} | {most:g} {unit} | {value:.1f} {unit} | {'reached' if value <= most else '**missed**'} |")
    return "\n".join(lines) + "\n"


def page(results: Sequence[Result], conditions: Sequence[str]) -> str:
    """The whole page. The first result is ours."""
    listed = "\n".join(f"* {line}" for line in conditions)
    return f"""# Performance of the signaling server

Written by `make load ARGS=--write-docs`; all figures are of one run, and its conditions are at the end.

{table(results)}
## What was aimed at, with {results[0].cameras} idle cameras and {results[0].rate:g} joins a second

{_targets(results[0])}
## What a join is

A viewer connects over TCP, opens a WebSocket, sends `register`, an `offer` of {OFFER_BYTES} bytes and {VIEWER_CANDIDATES}
candidates; the camera, drawn by lot from all of them, sends an `answer` of {ANSWER_BYTES} bytes and {CAMERA_CANDIDATES} candidates.
{RELAYED} messages are relayed, and five more are the server's own. The viewer leaves {STAY:g} s after its answer.
Joins begin on a schedule, whether those before have ended or not. The relay delay is the time from a message's being handed to the
kernel at one end to its being read at the other, in one process and by one clock: the lateness of that process is part of it.

Memory is what the server's resident size grew by while the cameras registered, divided by their number. Buffers in the
kernel are not in it.

The relay to compare with, `tests/load/relay.mjs`, is the least that could be written on Node's `ws`: it authenticates nobody,
checks no message, limits nothing, keeps no audit log and resumes no session. edgecam's server does all of that here; its audit
log goes to a file.

## What it takes

* A WebSocket costs no task, no queue and no timer: `server/websocket.py` sits on the connection that aiohttp has accepted, one
  wheel pings all of them, and what is sent within one round of the event loop goes out in one write.
* Python's cycle collector is kept from walking through everything that all clients hold (`server/garbage.py`): it stopped the
  server for 0.3 s every few seconds.
* The list of cameras goes to every viewer only while it is short; with thousands of cameras it goes to those that ask.

## Limits to raise

Each client is a descriptor: `LimitNOFILE=` of the unit must be a third above `[server] max_cameras` + `max_viewers`. A load
balancer in front needs as many ports to it; 28,000 is what Linux has for one pair of addresses.

## Conditions

{listed}
"""
