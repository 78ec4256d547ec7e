"""Steps: each camera, and what encodes it; a running daemon is asked instead of fought for the device."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from edgecam.capture.process import CaptureProcess
from edgecam.doctor.findings import Finding, ok, problem, problem_of, skipped
from edgecam.errors import CaptureError
from edgecam.health import HealthBoard
from edgecam.media.pipeline import Pipeline
from edgecam.media.types import CaptureReport, StreamInfo
from edgecam.settings import CameraSettings

MEASURED = 1.5  # seconds of pictures
PATIENCE = 30.0  # seconds for a camera that opens slowly; its own deadlines are shorter
SLOW = 0.6  # of the frame rate that the camera promised
LOOK = 0.05
ANOTHER_ENCODER = "set another encoder for this camera, e.g. libx264"
# profile_idc that browsers decode (ITU-T H.264 annex A.2): baseline, main, extended, high. Not 10 bits, 4:2:2 or 4:4:4.
DECODED_PROFILES = {"42", "4d", "58", "64"}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a camera did within the trial. `first_s` is None when no picture came, `error` why the trial ended early."""

    info: StreamInfo | None
    report: CaptureReport | None
    first_s: float | None
    fps: float
    error: CaptureError | None


@asynccontextmanager
async def running(name: str, settings: CameraSettings) -> AsyncIterator[tuple[Pipeline, asyncio.Task[None]]]:
    """The daemon's own pipeline for that camera, run once; the task ends with what broke it."""
    settings = settings.model_copy(update={"capture": "always"})
    pipeline = Pipeline(name, settings, CaptureProcess(name, settings), HealthBoard().component(f"camera.{name}"))
    task = asyncio.create_task(pipeline.run(), name=f"doctor camera {name}")
    try:
        yield pipeline, task
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()


async def try_camera(name: str, settings: CameraSettings) -> tuple[Finding, Finding]:
    """Open it, take pictures for MEASURED seconds, close it: what the camera and what the encoder did."""
    seen = await _look(name, settings)
    if seen.error is not None:
        return _broken(name, seen.error)
    assert seen.info is not None
    return _camera(name, seen), _encoder(name, seen)


async def _look(name: str, settings: CameraSettings) -> Seen:
    started = time.monotonic()
    first: float | None = None
    async with running(name, settings) as (pipeline, task):
        while not task.done() and time.monotonic() - started < PATIENCE:
            if first is None and pipeline.units:
                first = time.monotonic() - started
            if first is not None and pipeline.last_report is not None and time.monotonic() - started > first + MEASURED:
                break
            await asyncio.wait([task], timeout=LOOK)
        fps, _ = pipeline.renditions[0].measured()
        return Seen(pipeline.info, pipeline.last_report, first, fps, _error_of(name, task, first))


def _error_of(name: str, task: asyncio.Task[None], first: float | None) -> CaptureError | None:
    if task.done() and not task.cancelled():
        error = task.exception()
        if isinstance(error, CaptureError):
            return error
        if error is not None:
            raise error
    if first is None:
        return CaptureError(
            f"camera {name} gave no picture within {PATIENCE:g} s", remedy="see dmesg", code="camera-stalled"
        )
    return None


def _broken(name: str, error: CaptureError) -> tuple[Finding, Finding]:
    if error.code.startswith("encoder-"):  # the camera is opened before encoders are tried
        return ok("camera", name, "opens"), problem_of("encoder", name, error)
    return problem_of("camera", name, error), skipped("encoder", name, "there is no picture to encode")


def _camera(name: str, seen: Seen) -> Finding:
    assert seen.info is not None
    assert seen.first_s is not None
    info = seen.info
    facts = {"source": info.source, "width": info.width, "height": info.height, "fps": round(seen.fps, 1)}
    detail = (
        f"{info.source}, {info.width}x{info.height}, {seen.fps:.1f} frames/s, first picture after {seen.first_s:.2f} s"
    )
    if seen.fps < SLOW * info.fps and not _encoder_is_slow(seen):
        return problem(
            "camera",
            name,
            f"{detail}: it promised {info.fps:g}",
            code="camera-slow",
            remedy="more light, another input_format, or a lower fps",
            **facts,
        )
    return ok("camera", name, detail, first_ms=round(seen.first_s * 1000), **facts)


def _encoder_is_slow(seen: Seen) -> bool:
    return seen.info is not None and seen.report is not None and seen.report.encode_ms > 1000 / seen.info.fps


def _encoder(name: str, seen: Seen) -> Finding:
    assert seen.info is not None
    info = seen.info
    encode_ms = seen.report.encode_ms if seen.report is not None else None
    return encoder_finding(name, info.encoder, info.profile_level_id, encode_ms, info.fps, reason=info.reason)


def encoder_finding(
    name: str, encoder: str, profile_level_id: str, encode_ms: float | None, fps: float, **more: object
) -> Finding:
    """What an encoder that runs is worth. `profile_level_id` is that of the real SPS (RFC 6184 section 8.1)."""
    facts = {"encoder": encoder, "profile_level_id": profile_level_id, "encode_ms": encode_ms, **more}
    cost = f", {encode_ms:.1f} ms a frame" if encode_ms is not None else ""
    detail = f"{encoder}{cost}, H.264 profile-level-id {profile_level_id}"
    if encode_ms is not None and encode_ms > 1000 / fps:
        detail += f": too slow for {fps:g} frames/s"
        remedy = "lower quality, width and height, or fps"
        return problem("encoder", name, detail, code="encoder-slow", remedy=remedy, **facts)
    if profile_level_id[:2].lower() not in DECODED_PROFILES:
        detail += ": browsers decode no such profile"
        return problem("encoder", name, detail, code="codec-mismatch", remedy=ANOTHER_ENCODER, **facts)
    return ok("encoder", name, detail, **facts)


def private_findings(name: str, why: str) -> tuple[Finding, Finding]:
    """Of a camera that nobody may open now, not even to see whether it works."""
    return skipped("camera", name, f"not opened: {why}"), skipped("encoder", name, "the camera is private")


def daemon_findings(status: dict[str, Any]) -> Iterator[Finding]:
    """Cameras and encoders as the running daemon has them."""
    for camera in status["cameras"]:
        name = camera["name"]
        if camera["private"]:
            yield from private_findings(name, camera["detail"])
            continue
        if camera["condition"] == "resting":
            yield ok("camera", name, f"captured on demand, {camera['detail'] or 'closed'}: its device is there")
            yield skipped("encoder", name, "there is nothing to encode while nobody watches")
            continue
        if camera["condition"] != "running":
            said = f"the running daemon says: {camera['detail'] or camera['condition']}"
            yield from _broken(
                name, CaptureError(said, remedy="see the daemon's log", code=camera["code"] or "camera-stalled")
            )
            continue
        size = f"{camera['width']}x{camera['height']}"
        yield ok(
            "camera",
            name,
            f"the running daemon has it: {size}, {camera['measured_fps']:.1f} frames/s",
            fps=camera["measured_fps"],
        )
        yield encoder_finding(name, camera["encoder"], camera["profile_level_id"], camera["encode_ms"], camera["fps"])
