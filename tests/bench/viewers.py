"""What viewers cost each sender: processor time and memory of its whole process, receivers in another.

Processor time is the process' CPU clock (utime + stime of all its threads, to the nanosecond) over some seconds at each
number of viewers. What one more viewer costs is the slope between two numbers, so that what a sender does once for
everybody (reading the stream, cutting it into packets) is left out.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench import stream
from tests.bench.contestants import Contestant, Serving, UnavailableError
from tests.bench.crowd import Crowd
from tests.bench.figures import slope

SETTLE = 2.5  # seconds after the last viewer has joined: longer than a group of pictures
PIECE = stream.GROUP / stream.FPS  # seconds; shorter ones would hold a keyframe or not


def sloping(levels: Sequence[int]) -> tuple[int, ...]:
    """The numbers of viewers between which one viewer more is counted: from 4 to 16, all where these are fewer than two."""
    chosen = tuple(level for level in levels if 4 <= level <= 16)
    return chosen if len(chosen) > 1 else tuple(levels)


@dataclass(frozen=True, slots=True)
class Level:
    """One contestant at one number of viewers: percent of a core, packets a second to each, resident megabytes."""

    viewers: int
    cpu_pct: float
    packets: float
    rss_mb: float


@dataclass(frozen=True, slots=True)
class Result:
    """`missing` says why there are no levels."""

    name: str
    title: str
    levels: tuple[Level, ...] = ()
    missing: str = ""
    profile: str = ""  # of SRTP, as negotiated
    address: str = ""  # to which media went

    def per_viewer(self) -> float | None:
        """Percent of a core for one viewer more; None where one number of viewers was measured."""
        compared = sloping([level.viewers for level in self.levels])
        chosen = [level for level in self.levels if level.viewers in compared]
        return slope([(level.viewers, level.cpu_pct) for level in chosen]) if len(chosen) > 1 else None

    def per_packet_us(self) -> float | None:
        """What one packet more costs, microseconds, over all levels."""
        points = [(level.viewers * level.packets, level.cpu_pct * 1e4) for level in self.levels]
        return slope(points) if len(points) > 1 else None

    def memory_mb(self, low: int = 4) -> float | None:
        """Resident megabytes for one viewer more, between `low` viewers and the most."""
        points = [(level.viewers, level.rss_mb) for level in self.levels if level.viewers >= low]
        return slope(points) if len(points) > 1 else None


def processor_seconds(pid: int) -> float:
    """utime + stime of a whole process; clock_getcpuclockid(3)."""
    return time.clock_gettime(~pid << 3 | 2)


def resident_mb(pid: int) -> float:
    """VmRSS, proc(5)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def measure(contestant: Contestant, levels: tuple[int, ...], seconds: float) -> Result:
    """`seconds` at each level, viewers only ever added."""
    possible = tuple(level for level in levels if level <= contestant.most) or levels[:1]
    if contestant.most < levels[-1]:
        possible = tuple(range(1, contestant.most + 1))
    try:
        with TemporaryDirectory(prefix="edgecam-bench-") as name, contestant.start(Path(name)) as serving:
            with Crowd(serving) as crowd:
                found = [_level(serving, crowd, viewers, seconds) for viewers in possible]
                profile, address = crowd.profile(), crowd.address()
    except UnavailableError as error:
        return Result(contestant.name, contestant.title, missing=str(error))
    return Result(contestant.name, contestant.title, tuple(found), profile=profile, address=address)


def _level(serving: Serving, crowd: Crowd, viewers: int, seconds: float) -> Level:
    crowd.raise_to(viewers)
    time.sleep(SETTLE)
    pieces = [_piece(serving, crowd, viewers) for _ in range(max(1, round(seconds / PIECE)))]
    # The median: one moment in which the machine did something else must not decide.
    cpu, packets = (statistics.median(each) for each in zip(*pieces, strict=True))
    return Level(viewers, cpu, packets, resident_mb(serving.pid))


def _piece(serving: Serving, crowd: Crowd, viewers: int) -> tuple[float, float]:
    """Percent of a core and packets a second to each viewer, over one group of pictures."""
    packets, begun, used = crowd.packets(), time.monotonic(), processor_seconds(serving.pid)
    time.sleep(PIECE)
    used, took, packets = processor_seconds(serving.pid) - used, time.monotonic() - begun, crowd.packets() - packets
    return 100 * used / took, packets / took / viewers
