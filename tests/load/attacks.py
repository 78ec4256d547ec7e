"""How much a good pair of camera and viewer is slowed while somebody at another address attacks: the same run, calm and attack by turns."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tests.load.crowd import Crowd, Figures, percentile
from tests.load.servers import Running
from tests.network.namespaces import Machine

KINDS = ("connections", "silence", "messages", "registrations", "garbage")
HERE, THERE = "10.199.77.1", "10.199.77.2"
CALLS = 40.0  # good joins a second
_CABLE = ("edgecam-atk0", "edgecam-atk1")


@contextmanager
def other_machine() -> Iterator[Machine]:
    """A network namespace at the end of a cable; its address is THERE, ours HERE."""
    machine = Machine(f"edgecam-attack-{os.getpid()}")
    commands = (
        ("ip", "netns", "add", machine.name),
        ("ip", "link", "add", _CABLE[0], "type", "veth", "peer", "name", _CABLE[1], "netns", machine.name),
        ("ip", "addr", "add", f"{HERE}/30", "dev", _CABLE[0]),
        ("ip", "link", "set", _CABLE[0], "up"),
    )
    subprocess.run(("ip", "link", "del", _CABLE[0]), capture_output=True)  # of a run that was killed
    try:
        for command in commands:
            subprocess.run(command, check=True, capture_output=True, text=True)
        machine.ip("addr", "add", f"{THERE}/30", "dev", _CABLE[1])
        machine.ip("link", "set", _CABLE[1], "up")
        yield machine
    finally:
        subprocess.run(("ip", "netns", "del", machine.name), capture_output=True)
        subprocess.run(("ip", "link", "del", _CABLE[0]), capture_output=True)


@contextmanager
def attack(machine: Machine, kind: str, port: int, rate: float) -> Iterator[None]:
    """An attacker at work, with less claim on the processor than whoever is measured."""
    command = ["nice", "-n", "19", sys.executable, "-m", "tests.load.attacker", kind, HERE, str(port), str(rate)]
    with machine.inside():
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            yield
        finally:
            process.kill()


@dataclass(frozen=True, slots=True)
class Slowing:
    """Of one kind of attack. Times in milliseconds, medians and 95 %."""

    kind: str
    calm_relay: tuple[float, float]
    relay: tuple[float, float]
    calm_join: tuple[float, float]
    join: tuple[float, float]
    lost: int  # good viewers without an answer
    cpu: float  # of the server under attack, percent of one core; the good calls are part of it

    @property
    def ratios(self) -> tuple[float, float]:
        """Relay and join, attacked to calm, medians."""
        return self.relay[0] / self.calm_relay[0], self.join[0] / self.calm_join[0]


def table(results: Sequence[Slowing], rate: float) -> str:
    """For docs/attacks.md."""
    explained = {
        "connections": f"opening WebSockets and closing them, {rate:g} a second",
        "silence": f"connecting and saying nothing, or half a request, {rate:g} a second",
        "messages": "candidates on 20 connections, as many as are taken",
        "registrations": "`register` with a new id each, on 20 connections, as many as are taken",
        "garbage": "60 kB of `[` on 20 connections, as many as are taken",
    }
    lines = ["| flood from one address | relay, median: calm → attacked | connecting to answer | good calls lost | server's processor |"]
    lines.append("|---|--:|--:|--:|--:|")
    for found in results:
        relay, join = found.ratios
        lines.append(
            f"| {explained[found.kind]} | {found.calm_relay[0]:.2f} → {found.relay[0]:.2f} ms ({relay - 1:+.0%})"
            f" | {found.calm_join[0]:.2f} → {found.join[0]:.2f} ms ({join - 1:+.0%}) | {found.lost} | {found.cpu:.0f} % |"
        )
    return "\n".join(lines) + "\n"


def _both(values: array[float]) -> tuple[float, float]:
    return percentile(values, 0.5), percentile(values, 0.95)


async def slowing(running: Running, machine: Machine, kind: str, *, rate: float, seconds: float, rounds: int) -> Slowing:
    """`rounds` times `seconds` of calm, then as many of attack; the good pair's calls go on all the time."""
    calm, attacked = Figures(), Figures()
    crowd = Crowd(running.port, stay=0.2)
    await crowd.register_cameras(1)
    spent = 0.0
    for _ in range(rounds):
        crowd.figures = calm
        await crowd.join(CALLS, seconds)
        crowd.figures = attacked
        with attack(machine, kind, running.port, rate):
            await asyncio.sleep(0.3)
            before = running.cpu_s
            await crowd.join(CALLS, seconds)
            spent += running.cpu_s - before
    await crowd.leave()
    under_attack = attacked.seconds * rounds  # of the last round, which are as long as the others
    return Slowing(
        kind, _both(calm.relay_ms), _both(attacked.relay_ms), _both(calm.join_ms), _both(attacked.join_ms),
        calm.lost + attacked.lost, spent / under_attack * 100,
    )  # fmt: skip
