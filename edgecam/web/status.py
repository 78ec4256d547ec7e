"""The status document: one truth for the status page, `edgecam status`, metrics and other people's scripts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from edgecam import __version__
from edgecam.governors import report
from edgecam.health import Component, Condition
from edgecam.media.microphone import Microphone
from edgecam.media.pipeline import Pipeline
from edgecam.media.rendition import Rendition
from edgecam.media.speaker import Speaker
from edgecam.rtc.session import ViewerSession
from edgecam.rtc.viewers import Viewers
from edgecam.web.context import SignalingLine, WebContext


async def status_document(context: WebContext) -> dict[str, Any]:
    """Everything `/api/v1/status` says. Times in seconds, rates in bit/s; numbers that are not known are None."""
    board = context.board
    reasons = board.reasons
    sessions = [(session, await _viewer(session)) for session in context.viewers if not session.waits_for_answer]
    return {
        "id": context.device.id,
        "name": context.device.name,
        "location": context.device.location,
        "version": __version__,
        "uptime_s": round(time.monotonic() - board.started, 1),
        "ready": not reasons,
        "reasons": reasons,
        "warnings": board.warnings,
        "summary": board.summary,
        "configuration": context.configuration.as_dict() if context.configuration is not None else None,
        "components": [{"name": c.name, **_state(c), "failures": c.failures} for c in board],
        "cameras": [
            {**_camera(pipeline, context.viewers), "sent": _sent(pipeline, context.viewers, [shown for _, shown in sessions])}
            for pipeline in context.pipelines.values()
        ],
        "viewers": [shown for session, shown in sessions if not session.publishes],
        "publications": [shown for session, shown in sessions if session.publishes],
        "viewers_served": context.viewers.served,
        "viewers_refused": context.viewers.admission.refused,
        "governor": report.as_dict(context.governor) if context.governor is not None else None,
        "relay": context.viewers.relay_status(),
        "ice": context.viewers.ice_status(),
        "relay_ok": context.relay_check.ok if context.relay_check is not None else None,
        "relay_check": context.relay_check.as_dict() if context.relay_check is not None else None,
        "signaling": [_signaling(line, context) for line in context.signaling.values()],
    }


def _state(component: Component) -> dict[str, Any]:
    state = component.state
    return {
        "condition": str(state.condition),
        "ready": state.ready,
        "code": state.code,
        "detail": state.detail,
        "since_s": round(time.monotonic() - state.since, 1),
    }


def _microphone(microphone: Microphone) -> dict[str, Any]:
    return {
        **_state(microphone.component),
        "source": microphone.source_name or None,
        "listeners": microphone.listeners,
        "packets": microphone.packets,
    }


def _speaker(speaker: Speaker) -> dict[str, Any]:
    return {**_state(speaker.component), "talker": speaker.talker, "refused": speaker.refused}


def _camera(pipeline: Pipeline, viewers: Viewers) -> dict[str, Any]:
    info, report, settings = pipeline.info, pipeline.last_report, pipeline.settings
    best = pipeline.best
    published = [s.rendition for s in viewers if s.publishes and s.key.camera == pipeline.name and s.rendition is not None]
    fps, bitrate = best.measured()
    wanted = settings.effective
    resting = pipeline.component.state.condition is Condition.RESTING  # no pictures are expected, so none are late
    age = (time.monotonic_ns() - pipeline.last_unit_ns) / 1e9 if pipeline.last_unit_ns and not resting else None
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
        "keyframes_on_request": info.keyframes_on_request if info else None,
        "encoder_reason": info.reason if info else None,
        "profile_level_id": pipeline.profile_level_id,
        "bitrate_bps": round(bitrate),
        "target_bps": best.applied_bps,
        "floor_bps": best.rung.floor_bps,
        "ceiling_bps": best.rung.ceiling_bps,
        "renditions": [_rendition(rendition, published, pipeline.first) for rendition in pipeline.renditions],
        "every": pipeline.every,
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
        "viewers": max(0, pipeline.subscribers - len(published)),
        "max_viewers": settings.max_viewers,
        "publications": len(published),
        "microphone": _microphone(pipeline.microphone) if pipeline.microphone is not None else None,
        "speaker": _speaker(pipeline.speaker) if pipeline.speaker is not None else None,
        "capture": settings.capture,
        "device": pipeline.shutter.device,
        "open": pipeline.shutter.device == "open",
        "private": pipeline.privacy.private,
        "privacy": pipeline.privacy.as_dict(),
        "send_delay": viewers.fanouts[pipeline.name].delays.as_dict(),
        **_ladder(pipeline.component),
    }


def _ladder(component: Component) -> dict[str, Any]:
    ladder = component.ladder
    steps = {str(step): count for step, count in ladder.steps.items()} if ladder is not None else {}
    return {"escalations": steps, "next_escalation": ladder.next if ladder is not None else ""}


def _sent(pipeline: Pipeline, viewers: Viewers, sessions: Sequence[dict[str, Any]]) -> dict[str, int]:
    """What the camera's viewers and media servers were sent, those that have left included: none of it ever shrinks."""
    past = viewers.fanouts[pipeline.name].totals
    now = [each for each in sessions if each["camera"] == pipeline.name]
    return {
        "sessions": past.sessions + sum(each["state"] == "connected" for each in now),
        "packets": past.packets + sum(each["sent_packets"] or 0 for each in now),
        "bytes": past.bytes + sum(each["sent_bytes"] or 0 for each in now),
        "units": past.units + sum(each["sent_units"] for each in now),
        "lost_packets": past.lost_packets + sum(each["lost_packets"] for each in now),
        "dropped_units": past.dropped_units + sum(each["dropped_units"] for each in now),
    }


def _rendition(rendition: Rendition, published: Sequence[int], first: int) -> dict[str, Any]:
    fps, bitrate = rendition.measured()
    rung = rendition.rung
    return {
        "index": rendition.index,
        "width": rung.width,
        "height": rung.height,
        "fps": rung.fps,
        "running": rendition.running,
        "withheld": rendition.index < first,
        "viewers": max(0, rendition.viewers - published.count(rendition.index)),
        "measured_fps": round(fps, 2),
        "bitrate_bps": round(bitrate),
        "target_bps": rendition.applied_bps if rendition.running else None,
        "floor_bps": rung.floor_bps,
        "ceiling_bps": rung.ceiling_bps,
        "units": rendition.units,
        "keyframes": rendition.keyframes,
    }


async def _viewer(session: ViewerSession) -> dict[str, Any]:
    stats = await session.transport_stats()
    outbound, remote = stats.get("outbound-rtp"), stats.get("remote-inbound-rtp")
    round_trip = getattr(remote, "roundTripTime", None)
    path = session.path
    connected = session.connected_at
    latency, reports = session.latency.current, session.reports
    return {
        "id": session.key.shown,
        "via": session.key.via,
        "camera": session.key.camera,
        "state": "connected" if connected is not None else "connecting",
        "media_path": session.media_path,
        "path": path.kind if path else None,
        "remote": path.remote_address if path else None,
        "connected_s": round(time.monotonic() - connected, 1) if connected is not None else None,
        "rendition": session.rendition,
        "sent_packets": getattr(outbound, "packetsSent", None),
        "sent_bytes": getattr(outbound, "bytesSent", None),
        "sent_units": session.sent_units,
        "dropped_units": session.dropped_units,
        "lost_packets": reports.lost,
        "loss_pct": round(reports.fraction_lost * 100, 1),
        "rtt_ms": round(round_trip * 1000, 1) if round_trip is not None else None,
        "jitter_ms": round(reports.jitter_ms, 1) if reports.jitter_ms is not None else None,
        "latency_p50_ms": round(latency.p50_ms, 1) if latency is not None else None,
        "latency_p95_ms": round(latency.p95_ms, 1) if latency is not None else None,
        "remb_bps": reports.bandwidth_bps,
        "available_bps": session.available_bps,
        "queueing_ms": round(session.queueing_ms, 1) if session.queueing_ms is not None else None,
        "keyframe_requests": reports.keyframe_requests,
    }


def _signaling(line: SignalingLine, context: WebContext) -> dict[str, Any]:
    parts = [context.board.component(name) for name in line.components]
    worst = next((c for c in parts if c.state.condition is not Condition.RUNNING), parts[0])
    return {"name": line.name, "type": line.type, "url": line.url, "cameras": list(line.cameras), **_state(worst)}
