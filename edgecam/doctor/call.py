"""Step: a call of the camera to itself, through each TURN server that works."""

from __future__ import annotations

from edgecam.doctor.findings import Finding, ok, problem, problem_of
from edgecam.doctor.servers import Endpoint
from edgecam.media.pipeline import Pipeline
from edgecam.rtc.selfcall import CallResult, call_through
from edgecam.settings import IceSettings

STEP = "call"
ENOUGH = 0.7  # of the camera's frame rate


async def try_call(endpoint: Endpoint, pipeline: Pipeline, ice: IceSettings) -> Finding:
    """Send the pipeline's video through `endpoint` and count what is decoded."""
    result = await call_through(pipeline, endpoint.alone, ice)
    wanted = pipeline.info.fps if pipeline.info is not None else pipeline.settings.effective.fps
    return call_finding(endpoint.shown, result, wanted)


def call_finding(name: str, result: CallResult, wanted_fps: float) -> Finding:
    facts: dict[str, object] = {
        "connected_ms": _ms(result.connected_s),
        "first_frame_ms": _ms(result.first_frame_s),
        "frames": result.frames,
        "fps": round(result.fps, 1),
        "packets": result.packets,
        "lost": result.lost,
        "path": result.path,
    }
    if result.error is not None:
        return problem_of(STEP, name, result.error)
    if not result.works:
        return _nothing_seen(name, result, facts)
    size = f"{result.width}x{result.height}"
    detail = f"{size} through the relay: first picture after {_ms(result.first_frame_s)} ms, {result.fps:.1f} frames/s"
    if result.fps < ENOUGH * wanted_fps:
        detail += f" of {wanted_fps:g}, {result.lost} of {result.packets + result.lost} packets lost"
        remedy = "the way to the TURN server or the server itself is too slow: lower bitrate_kbps, or use a nearer one"
        return problem(STEP, name, detail, code="relay-slow", remedy=remedy, **facts)
    return ok(STEP, name, detail, **facts)


def _nothing_seen(name: str, result: CallResult, facts: dict[str, object]) -> Finding:
    if result.connected_s is None:
        detail = "two addresses of this server do not reach each other: no connection (ICE or DTLS)"
        remedy = "let the server's relay ports through (coturn: min-port to max-port), and its own address as a peer (allowed-peer-ip)"
    elif result.packets and not result.lost:
        detail = f"{result.packets} packets arrived whole, but no picture could be decoded from them"
        remedy = "set another encoder for the camera: the stream is not what was negotiated"
        return problem(STEP, name, detail, code="codec-mismatch", remedy=remedy, **facts)
    else:
        detail = f"connected, but no picture: {result.packets} packets arrived"
        remedy = (
            "look for a bandwidth limit on the server (coturn: max-bps), and for a firewall that drops large packets"
        )
    return problem(STEP, name, detail, code="relay-no-media", remedy=remedy, **facts)


def _ms(seconds: float | None) -> int | None:
    return round(seconds * 1000) if seconds is not None else None
