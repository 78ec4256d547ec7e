"""A capture process that replays: started by the daemon in the place of its own, it sends stream.py's units in time.

Run as `python -m tests.bench.replay FD`. The daemon reads units from a socket as ever and pays for that, but nobody
encodes. It may use every core, whatever core the daemon was put on: a camera's encoder is a process of its own too.
$REPLAY_LOG, when set, gets the CLOCK_MONOTONIC nanoseconds at which each unit was sent, 8 bytes each.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
import time
from dataclasses import asdict

from edgecam.capture.daemonlink import DaemonLink
from edgecam.capture.ending import die_with_parent
from edgecam.capture.wire import Kind
from edgecam.media import h264
from edgecam.media.types import CaptureReport, StreamInfo
from tests.bench import stream


def _end_with_the_daemon(sock: socket.socket) -> None:
    while sock.recv(65536):
        pass
    os._exit(0)


def main(fd: int) -> None:
    die_with_parent()
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    sock = socket.socket(fileno=fd)
    link = DaemonLink(sock)
    threading.Thread(target=_end_with_the_daemon, args=(sock,), daemon=True).start()
    units = stream.load()
    sps = h264.find_nal(units[0].data, h264.SPS)
    assert sps is not None
    profile = h264.profile_level_id(sps)
    info = StreamInfo("replay", "yuv420p", stream.WIDTH, stream.HEIGHT, stream.FPS, "replay", "a benchmark", profile)
    link.message(Kind.OPENED, asdict(info))
    log = open(os.environ["REPLAY_LOG"], "wb", buffering=0) if "REPLAY_LOG" in os.environ else None  # noqa: SIM115
    for number, unit in stream.played(units):
        now = time.monotonic_ns()
        link.unit(unit.data, unit.keyframe, now)
        if log is not None:
            log.write(struct.pack("=q", now))
        if number % 30 == 0:
            link.message(Kind.REPORT, asdict(CaptureReport(number, 0, number, 0, 0.0)))


if __name__ == "__main__":
    main(int(sys.argv[1]))
