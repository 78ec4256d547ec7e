"""Who is measured, and how each is started: same stream, same receivers, one process whose processor time counts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import stream
from tests.bench.references import janus
from tests.harness.daemons import Daemon

ROOT = Path(__file__).resolve().parents[2]
GSTREAMER = ROOT / "tests" / "bench" / "references" / "gstreamer_whep.py"
DEBIANS_PYTHON = "/usr/bin/python3"
QUIET = {"level": "warning", "format": "json"}
START_WITHIN = 20.0  # seconds


class UnavailableError(Exception):
    """A reference that is not to be had here; says why."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A sender that waits for viewers. `kind` and `url` are for the receivers."""

    pid: int
    kind: str
    url: str


@dataclass(frozen=True, slots=True)
class Contestant:
    """`most` is the number of viewers beyond which it cannot keep up on this class of machine."""

    name: str
    title: str
    start: Callable[[Path], AbstractContextManager[Serving]]
    most: int = 1000


class ReplayedDaemon(Daemon):
    """The daemon, whose capture process replays the common stream."""

    module = "tests.bench.replaying"


def edgecam_daemon(directory: Path, **options: Any) -> ReplayedDaemon:
    """Ready for a thousand viewers at /whep/front."""
    camera = {"source": "test", "max_viewers": 1000, "bitrate_kbps": 2000, "min_bitrate_kbps": 2000}
    return ReplayedDaemon({"log": QUIET, "viewers": {"max": 1000}, "camera": {"front": camera}}, directory, **options)


@contextmanager
def _edgecam(directory: Path) -> Iterator[Serving]:
    with edgecam_daemon(directory) as daemon:
        daemon.wait_ready()
        yield Serving(daemon.pid, "whep", f"{daemon.url}/whep/front")


@contextmanager
def program(*command: str | Path, stdin: int = subprocess.DEVNULL) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A reference that prints the address on which it listens. Raises UnavailableError when it prints none."""
    process = subprocess.Popen(
        list(map(str, command)), cwd=ROOT, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().strip()
        if not url:
            words = process.stderr.read().strip().splitlines()
            raise UnavailableError(words[-1] if words else f"{command[0]} ended without a word")
        yield process, url
    finally:
        process.kill()
        process.wait()
        for pipe in filter(None, (process.stdin, process.stdout, process.stderr)):
            pipe.close()


@contextmanager
def _aiortc(mode: str) -> Iterator[Serving]:
    with program(sys.executable, "-m", "tests.bench.references.aiortc_whep", mode) as (process, url):
        yield Serving(process.pid, "whep", url)


@contextmanager
def _gstreamer(_directory: Path) -> Iterator[Serving]:
    with program(DEBIANS_PYTHON, GSTREAMER, stream.FILE) as (process, url):
        yield Serving(process.pid, "whep", url)


@contextmanager
def _janus(directory: Path) -> Iterator[Serving]:
    if not janus.BINARY.exists():
        raise UnavailableError("Debian's package janus is not installed")
    with janus.running(directory) as (pid, url):
        yield Serving(pid, "janus", url)


EDGECAM = Contestant("edgecam", "edgecam", _edgecam)
SHARED = Contestant("aiortc-shared", "aiortc, one encoder, shared `av.Packet`s", lambda _: _aiortc("shared"))
ENCODE = Contestant("aiortc-encode", "aiortc, one encoder per viewer", lambda _: _aiortc("encode"), most=2)
GST = Contestant("gstreamer", "GStreamer `webrtcbin`", _gstreamer)
JANUS = Contestant("janus", "Janus, streaming plugin", _janus)
ALL = (EDGECAM, SHARED, JANUS, GST, ENCODE)
