"""The status document: one truth for the status page, `edgecam status`, metrics and other people's scripts."""

from __future__ import annotations

import time
from typing import Any

from edgecam import __version__
from edgecam.health import Component, Condition
from edgecam.media.pipeline import Pipeline
from edgecam.rtc.session import ViewerSession
from edgecam.web.context import SignalingLine, WebContext


async def status_document(context: WebContext) -> dict[str, Any]:
    """Everything `/api/v1/status` says. Times in seconds, rates in bit/s; numbers that are not known are None."""
    board = context.board
    reasons = board.reasons
    return {
        "name": context.name,
        "version": __version__,
        "uptime_s": round(time.monotonic() - board.started, 1),
        "ready": not reasons,
        "reasons": reasons,
        "summary": board.summary,
        "components": [{"name": c.name, **_state(c), "failures": c.failures} for c in board],
        "cameras": [_camera(pipeline) for pipeline in context.pipelines.values()],
        "viewers": [await _viewer(session) for session in context.viewers],
        "viewers_served": context.viewers.served,
        "viewers_refused": context.viewers.refused,
        "relay": context.viewers.relay.as_dict(),
        "signaling": [_signaling(line, context) for line in context.signaling],
    }


def _state(component: Component) -> dict[str, Any]:
    state = component.state
    return {
        "condition": str(state.condition),
        "code": state.code,
        "detail": state.detail,
        "since_s": round(time.monotonic() - state.since, 1),
    }


def _camera(pipeline: Pipeline) -> dict[str, Any]:
    info, report, settings = pipeline.info, pipeline.last_report, pipeline.settings
    fps, bitrate = pipeline.measured()
    wanted = settings.effective
    age = (time.monotonic_ns() - pipeline.last_unit_ns) / 1e9 if pipeline.last_unit_ns else None
    return {
        "name": pipeline.name,
        "title": pipeline.title,
        **_state(pipeline.component),
        "source": info.source if info else settings.source,
        "pixel_format": info.pixel_format if info else None,
        "width": info.width if info else wanted.width,
        "height": info.height if info else wanted.height,
        "fps": info.fps if info else wanted.fps,
        "measured_fps": round(fps, 2),
        "encoder": info.encoder if info else None,
        "encoder_reason": info.reason if info else None,
        "profile_level_id": pipeline.profile_level_id,
        "bitrate_bps": round(bitrate),
        "target_bps": pipeline.target_bps,
        "floor_bps": settings.floor_bps,
        "ceiling_bps": settings.ceiling_bps,
        "units": pipeline.units,
        "keyframes": pipeline.keyframes,
        "keyframes_asked": pipeline.keyframe_requests.asked,
        "keyframes_requested": pipeline.keyframe_requests.sent,
        "frames_captured": report.frames_captured if report else None,
        "frames_dropped": report.frames_dropped if report else None,
        "units_dropped": report.units_dropped if report else None,
        "encode_ms": round(report.encode_ms, 2) if report else None,
        "last_frame_age_s": round(age, 3) if age is not None else None,
        "restarts": max(0, pipeline.starts - 1),
        "viewers": pipeline.subscribers,
        "max_viewers": settings.max_viewers,
    }


async def _viewer(session: ViewerSession) -> dict[str, Any]:
    stats = await session.transport_stats()
    outbound, remote = stats.get("outbound-rtp"), stats.get("remote-inbound-rtp")
    round_trip = getattr(remote, "roundTripTime", None)
    path = session.path
    connected = session.connected_at
    return {
        "id": session.key.shown,
        "via": session.key.via,
        "camera": session.key.camera,
        "state": "connected" if connected is not None else "connecting",
        "path": path.kind if path else None,
        "remote": path.remote_address if path else None,
        "connected_s": round(time.monotonic() - connected, 1) if connected is not None else None,
        "sent_packets": getattr(outbound, "packetsSent", None),
        "sent_bytes": getattr(outbound, "bytesSent", None),
        "sent_units": session.sent_units,
        "dropped_units": session.dropped_units,
        "lost_packets": session.lost,
        "loss_pct": round(session.fraction_lost * 100, 1),
        "rtt_ms": round(round_trip * 1000, 1) if round_trip is not None else None,
        "jitter_ms": round(session.jitter_ms, 1) if session.jitter_ms is not None else None,
        "remb_bps": session.bandwidth_bps,
        "keyframe_requests": session.keyframe_requests,
    }



def _signaling(line: SignalingLine, context: WebContext) -> dict[str, Any]:
    parts = [context.board.component(name) for name in line.components]
    worst = next((c for c in parts if c.state.condition is not Condition.RUNNING), parts[0])
    return {"name": line.name, "type": line.type, "url": line.url, "cameras": list(line.cameras), **_state(worst)}
