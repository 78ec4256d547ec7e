"""One run of the load against one server."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path

from tests.load.crowd import RELAYED, Crowd, Figures, percentile
from tests.load.servers import Running

SETTLE = 3.0  # seconds after the last camera has registered: buffers of the handshakes are given back


@dataclass(frozen=True, slots=True)
class Result:
    """Times in milliseconds, memory in kB of 1000 bytes for each connection, processor in percent of one core."""

    server: str
    cameras: int
    rate: float  # joins a second that were asked for
    seconds: float
    joined: int
    lost: int
    relayed: int
    relay_p50: float
    relay_p99: float
    relay_max: float
    join_p50: float
    join_p99: float
    late_p99: float  # of the load generator itself
    resident: float
    proportional: float
    register_s: float  # all cameras, one after the other in batches
    idle_cpu: float
    cpu: float
    others: float  # what neither the server nor the load generator used meanwhile


async def measure(running: Running, *, cameras: int, rate: float, seconds: float, idle: float = 10.0) -> Result:
    """Register the cameras, look at the memory, have viewers join. `idle`: seconds in which nothing happens but heartbeats."""
    crowd, loop = Crowd(running.port), asyncio.get_running_loop()
    before = running.resident_kb, running.proportional_kb
    begun = loop.time()
    await crowd.register_cameras(cameras)
    registered = loop.time() - begun
    await asyncio.sleep(SETTLE)
    spent = running.cpu_s
    await asyncio.sleep(idle)
    idle_cpu = (running.cpu_s - spent) / idle * 100 if idle else 0.0
    resident, proportional = running.resident_kb - before[0], running.proportional_kb - before[1]
    spent, busy, own = running.cpu_s, machine_busy_s(), time.process_time()
    await crowd.join(rate, seconds)
    used, whole = running.cpu_s - spent, machine_busy_s() - busy
    cpu = used / seconds * 100
    others = max(0.0, whole - used - (time.process_time() - own)) / seconds * 100
    await crowd.leave()
    per_camera = 1.024 / max(cameras, 1)
    memory = resident * per_camera, proportional * per_camera
    return _result(running.name, cameras, rate, crowd.figures, memory, (registered, idle_cpu, cpu, others))


def _result(
    server: str, cameras: int, rate: float, figures: Figures, memory: tuple[float, float], costs: tuple[float, float, float, float]
) -> Result:
    relay = figures.relay_ms
    return Result(
        server, cameras, rate, figures.seconds, figures.answered, figures.lost, len(relay),
        percentile(relay, 0.5), percentile(relay, 0.99), max(relay, default=float("nan")),
        percentile(figures.join_ms, 0.5), percentile(figures.join_ms, 0.99), percentile(figures.late_ms, 0.99),
        *memory, *costs,
    )  # fmt: skip


def machine_busy_s() -> float:
    """Processor time that all cores together have spent, in seconds."""
    times = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(times) - times[3] - times[4]) / os.sysconf("SC_CLK_TCK")  # but idle, and waiting for a disk


def complete(result: Result) -> bool:
    """Whether every join got its answer, and every message arrived."""
    wanted = int(result.rate * result.seconds + 0.5)
    return result.lost == 0 and result.joined >= wanted - 1 and result.relayed == result.joined * RELAYED


def pin(pid: int, core: int) -> None:
    """Keep a process on one core, so that the load generator does not get in its way; where there are two."""
    if len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(pid, {core})
