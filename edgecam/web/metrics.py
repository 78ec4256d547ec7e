"""/metrics: the status document in Prometheus' text format (version 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# (key in the status document, metric name, type, help)
_CAMERA = (
    ("measured_fps", "camera_fps", "gauge", "Access units a second over the last two seconds."),
    ("bitrate_bps", "camera_bitrate_bps", "gauge", "Encoded bits a second over the last two seconds."),
    ("target_bps", "camera_target_bitrate_bps", "gauge", "Bitrate asked of the encoder."),
    ("units", "camera_access_units_total", "counter", "Access units received from the capture process."),
    ("keyframes", "camera_keyframes_total", "counter", "Keyframes among them."),
    ("keyframes_asked", "camera_keyframe_requests_total", "counter", "PLI, FIR and joins, before debouncing."),
    ("restarts", "camera_restarts_total", "counter", "Times the camera was opened again."),
    ("frames_dropped", "camera_frames_dropped", "gauge", "Frames not encoded since the camera was opened."),
    ("units_dropped", "camera_units_dropped", "gauge", "Access units not delivered since the camera was opened."),
    ("encode_ms", "camera_encode_milliseconds", "gauge", "Mean time to encode a frame."),
    ("last_frame_age_s", "camera_last_frame_age_seconds", "gauge", "Time since the last access unit."),
    ("viewers", "camera_viewers", "gauge", "Viewers receiving this camera."),
)
_VIEWER = (
    ("sent_bytes", "viewer_sent_bytes_total", "counter", "RTP payload bytes sent."),
    ("lost_packets", "viewer_lost_packets_total", "counter", "Packets the viewer reported lost."),
    ("dropped_units", "viewer_dropped_units_total", "counter", "Access units the viewer missed by being slow."),
    ("rtt_ms", "viewer_round_trip_milliseconds", "gauge", "Round trip from RTCP receiver reports."),
    ("jitter_ms", "viewer_jitter_milliseconds", "gauge", "Interarrival jitter the viewer reported."),
)


def render(status: dict[str, Any]) -> str:
    """The whole exposition for a status document."""
    lines: list[str] = []
    _metric(lines, "up", "gauge", "1 while the daemon answers.", [({"version": status["version"]}, 1)])
    _metric(lines, "ready", "gauge", "1 when /readyz says 200.", [({}, int(status["ready"]))])
    _metric(lines, "uptime_seconds", "counter", "Seconds since the daemon started.", [({}, status["uptime_s"])])
    _metric(
        lines,
        "component_ready",
        "gauge",
        "1 when the component runs or rests by intent.",
        [({"component": c["name"], "code": c["code"]}, int(c["condition"] in {"running", "resting"})) for c in status["components"]],
    )
    _metric(
        lines,
        "component_failures_total",
        "counter",
        "Times the component broke and was retried.",
        [({"component": c["name"]}, c["failures"]) for c in status["components"]],
    )
    for key, name, kind, text in _CAMERA:
        _metric(lines, name, kind, text, [({"camera": c["name"]}, c[key]) for c in status["cameras"]])
    for key, name, kind, text in _VIEWER:
        _metric(lines, name, kind, text, [({"camera": v["camera"], "via": v["via"], "viewer": v["id"]}, v[key]) for v in status["viewers"]])
    _metric(lines, "viewers_refused_total", "counter", "Viewers turned away.", [({}, status["viewers_refused"])])
    return "\n".join(lines) + "\n"


def _metric(lines: list[str], name: str, kind: str, text: str, samples: Iterable[tuple[dict[str, str], Any]]) -> None:
    known = [(labels, value) for labels, value in samples if value is not None]
    if not known:
        return
    lines += [f"# HELP edgecam_{name} {text}", f"# TYPE edgecam_{name} {kind}"]
    for labels, value in known:
        inner = ",".join(f'{key}="{_escaped(str(label))}"' for key, label in labels.items())
        lines.append(f"edgecam_{name}{{{inner}}} {value}" if inner else f"edgecam_{name} {value}")


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
