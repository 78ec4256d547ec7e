"""`edgecam bench`: what this device can encode, what a packet costs on it, and so how many viewers a core carries."""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

from edgecam import logs
from edgecam.capture.process import CaptureProcess
from edgecam.errors import CaptureError, EdgecamError
from edgecam.media.h264 import START_CODE
from edgecam.media.packetize import MAX_PAYLOAD
from edgecam.media.types import AccessUnit, CaptureReport, StreamInfo
from edgecam.rtc import aiortc_private
from edgecam.rtc.sending.cost import PacketCosts, packet_costs
from edgecam.rtc.sending.selftest import self_test
from edgecam.settings import QUALITIES, CameraSettings, LogSettings, Quality

MODES = {"480p15": "low", "720p30": "high", "1080p30": "hd"}
REPORTS = 3  # of the capture process, one a second; the first one holds what starting cost
ATTEMPTS = 3  # an encoder that hangs or crashes is left out of the next one
MODE_WITHIN = 25.0  # seconds
PACKETS_SECONDS = 1.0  # for each SRTP profile
# What the daemon needs for a viewer besides packets (ICE consent, RTCP, waking up with cold caches), as a multiple of
# what packets cost in a tight loop: `make bench` measures it, docs/performance.md shows it.
DAEMON_FACTOR = 4.5
PLANNED = 0.7  # of a core: what one should plan with


@dataclass(frozen=True, slots=True)
class Encoding:
    """One mode. `encode_ms` and `fps` are None when nothing encodes; `reason` says why this encoder, or what failed."""

    mode: str
    bitrate_kbps: int
    encoder: str
    reason: str
    encode_ms: float | None
    fps: float | None


def bench(*, as_json: bool) -> int:
    """Measure, and print a table or JSON. Raises EdgecamError when the fast path cannot run at all."""
    logs.configure(LogSettings(level="error", format="auto"))
    encodings = []
    for mode, quality in MODES.items():
        _progress(f"encoding {mode}")
        encodings.append(asyncio.run(_encoding(mode, QUALITIES[quality])))
    costs = _packets()
    capacity = {mode: _viewers(costs[0], QUALITIES[quality]) for mode, quality in MODES.items()}
    document = {
        "encodings": [asdict(each) for each in encodings],
        "packets": [asdict(each) | {"each_viewer": each.each_viewer} for each in costs],
        "viewers_per_core": capacity,
        "cores": os.cpu_count(),
    }
    print(json.dumps(document, indent=2) if as_json else _table(encodings, costs, capacity))
    return 0


def _progress(what: str) -> None:
    print(f"measuring: {what}", file=sys.stderr, flush=True)


class _Watcher:
    """Implements media.types.UnitSink: keeps what is told until enough has been."""

    def __init__(self) -> None:
        self.info: StreamInfo | None = None
        self.reports: list[CaptureReport] = []
        self.enough = asyncio.Event()

    def opened(self, info: StreamInfo) -> None:
        self.info = info

    def unit(self, unit: AccessUnit) -> None: ...

    def report(self, report: CaptureReport) -> None:
        self.reports.append(report)
        if len(self.reports) > REPORTS:
            self.enough.set()


async def _encoding(mode: str, quality: Quality) -> Encoding:
    """The generated picture through a real capture process, which is replaced when its encoder hangs."""
    settings = CameraSettings(
        source="test", width=quality.width, height=quality.height, fps=quality.fps, bitrate_kbps=quality.bitrate_kbps
    )
    source = CaptureProcess("bench", settings)
    error = "no answer in time"
    with suppress(TimeoutError):
        async with asyncio.timeout(MODE_WITHIN):
            for _ in range(ATTEMPTS):
                watcher = _Watcher()
                try:
                    await _watch(source, watcher)
                except CaptureError as failure:
                    error = failure.message
                    continue
                return _summary(mode, quality, watcher)
    return Encoding(mode, quality.bitrate_kbps, "none", error, None, None)


async def _watch(source: CaptureProcess, watcher: _Watcher) -> None:
    """Until enough has been seen. Raises CaptureError."""
    running = asyncio.create_task(source.run(watcher), name="capture")
    enough = asyncio.create_task(watcher.enough.wait(), name="enough")
    try:
        await asyncio.wait({running, enough}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    finally:
        for task in (running, enough):
            task.cancel()
        await asyncio.gather(running, enough, return_exceptions=True)


def _summary(mode: str, quality: Quality, watcher: _Watcher) -> Encoding:
    assert watcher.info is not None
    later = watcher.reports[1:]
    units = later[-1].units_encoded - watcher.reports[0].units_encoded
    return Encoding(
        mode,
        quality.bitrate_kbps,
        watcher.info.encoder,
        watcher.info.reason,
        round(sum(report.encode_ms for report in later) / len(later), 2),
        round(units / len(later), 1),
    )


def _packets() -> list[PacketCosts]:
    """The cheapest SRTP profile first."""
    capabilities = self_test()
    if not capabilities.usable:
        raise EdgecamError(
            "packets cannot be encrypted in place here, so every viewer takes aiortc's own, slower path",
            remedy="install the aiortc and pylibsrtp versions that edgecam was tested with",
            code="fast-path-unusable",
        )
    quality = QUALITIES["high"]
    size = quality.bitrate_kbps * 1000 / 8 / quality.fps
    unit = START_CODE + b"\x41" + bytes(range(1, 251)) * math.ceil(size / 250)
    found = []
    for profile in aiortc_private.srtp_profiles():
        _progress(f"packets with {profile.name}")
        found.append(packet_costs(profile, [unit], PACKETS_SECONDS, gso=capabilities.gso))
    return sorted(found, key=lambda costs: costs.each_viewer)


def _viewers(costs: PacketCosts, quality: Quality) -> int:
    """How many viewers of that quality should be planned for one core."""
    unit = quality.bitrate_kbps * 1000 / 8 / quality.fps  # bytes
    packets = quality.fps * math.ceil(unit / MAX_PAYLOAD)
    return int(PLANNED * 1e6 / (packets * costs.each_viewer * DAEMON_FACTOR))


def _table(encodings: Sequence[Encoding], costs: Sequence[PacketCosts], capacity: dict[str, int]) -> str:
    lines = ["mode      encoder        ms/frame    fps   viewers per core"]
    for each in encodings:
        timing = "       -      -" if each.encode_ms is None else f"{each.encode_ms:8.1f} {each.fps:6.1f}"
        lines.append(f"{each.mode:<9} {each.encoder:<14} {timing}   {capacity[each.mode]:>5}  ({each.bitrate_kbps / 1000:g} Mbit/s)")
    lines += [f"because   {reason}" for reason in dict.fromkeys(each.reason for each in encodings)]
    lines += ["", "µs of CPU a packet         copy  protect  send   in all   send without GSO"]
    for cost in costs:
        send = "  -  " if cost.gso is None else f"{cost.gso:5.2f}"
        lines.append(f"{cost.profile:<25}{cost.copy:6.2f} {cost.protect:8.2f} {send}  {cost.each_viewer:7.2f}   {cost.plain:14.2f}")
    once = f"{costs[0].packetize:.1f}"
    lines.append(f"Packetising costs {once} µs a packet once, however many watch. The first profile is what edgecam prefers.")
    lines.append(
        f"Viewers per core: {PLANNED:.0%} of a core, each packet {DAEMON_FACTOR:g} times the above for consent checks, RTCP and waking up."
    )
    return "\n".join(lines)
