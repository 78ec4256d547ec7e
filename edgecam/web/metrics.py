"""/metrics: the status document in Prometheus' text format (version 0.0.4)."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

from edgecam.config.running import samples as configuration_samples
from edgecam.governors.report import samples as governor_samples
from edgecam.web.process import process_samples

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# (key in the status document, metric name, type, help)
_CAMERA = (
    ("measured_fps", "camera_fps", "gauge", "Access units a second over the last two seconds."),
    ("bitrate_bps", "camera_bitrate_bytes_per_second", "gauge", "Encoded bytes a second over the last two seconds."),
    ("target_bps", "camera_target_bitrate_bytes_per_second", "gauge", "What the encoder is asked for."),
    ("units", "camera_access_units_total", "counter", "Access units received from the capture process."),
    ("keyframes", "camera_keyframes_total", "counter", "Keyframes among them."),
    ("keyframes_asked", "camera_keyframe_requests_total", "counter", "PLI, FIR and joins, before debouncing."),
    ("restarts", "camera_restarts_total", "counter", "Times the camera was opened again."),
    ("frames_dropped", "camera_frames_dropped_total", "counter", "Frames not encoded since the camera was opened."),
    ("units_dropped", "camera_units_dropped_total", "counter", "Access units not delivered since the camera was opened."),
    ("encode_ms", "camera_encode_seconds", "gauge", "Mean time to encode a frame."),
    ("last_frame_age_s", "camera_last_frame_age_seconds", "gauge", "Time since the last access unit."),
    ("viewers", "camera_viewers", "gauge", "Viewers receiving this camera."),
    ("private", "camera_private", "gauge", "1 while it is private: closed, and nobody is let in."),
    ("open", "camera_open", "gauge", "1 while its device is open."),
    ("publications", "camera_publications", "gauge", "Media servers receiving this camera."),
)
_RENDITION = (
    ("running", "rendition_running", "gauge", "1 while it is encoded."),
    ("viewers", "rendition_viewers", "gauge", "Viewers that are given this rendition."),
    ("measured_fps", "rendition_fps", "gauge", "Access units a second over the last two seconds."),
    ("bitrate_bps", "rendition_bitrate_bytes_per_second", "gauge", "Encoded bytes a second over the last two seconds."),
    ("target_bps", "rendition_target_bitrate_bytes_per_second", "gauge", "What the encoder is asked for."),
    ("keyframes", "rendition_keyframes_total", "counter", "Keyframes of this rendition."),
)
# Of all sessions of a camera, those that have ended included. Single viewers have no series of their own: they come and go.
_SENT = (
    ("sessions", "camera_sessions_total", "Viewers and media servers that were connected."),
    ("packets", "camera_sent_packets_total", "RTP packets sent to them."),
    ("bytes", "camera_sent_bytes_total", "RTP payload bytes sent to them."),
    ("units", "camera_sent_access_units_total", "Access units sent to them."),
    ("lost_packets", "camera_lost_packets_total", "Packets that they reported lost."),
    ("dropped_units", "camera_missed_access_units_total", "Access units they missed by being slow."),
)
_LATENCY = (("latency_p50_ms", "50"), ("latency_p95_ms", "95"))  # Prometheus keeps "quantile" for summaries
_VIEWERS = (
    ("rtt_ms", "viewer_round_trip_seconds", 1000, "Round trip from RTCP receiver reports."),
    ("jitter_ms", "viewer_jitter_seconds", 1000, "Interarrival jitter that viewers report."),
    ("loss_pct", "viewer_loss_ratio", 100, "Share of packets lost, 0 to 1, since the viewer's last report but one."),
)

# Of a camera that is published to a media server, which is no viewer.
_PUBLICATION = (
    ("rendition", "publication_rendition", "gauge", "Which rendition the media server is given, 0 the full size."),
    ("sent_bytes", "publication_sent_bytes_total", "counter", "RTP payload bytes sent to it."),
    ("lost_packets", "publication_lost_packets_total", "counter", "Packets it reported lost."),
    ("dropped_units", "publication_dropped_units_total", "counter", "Access units it missed by its link being slow."),
    ("rtt_ms", "publication_round_trip_seconds", "gauge", "Round trip from its RTCP receiver reports."),
    ("jitter_ms", "publication_jitter_seconds", "gauge", "Interarrival jitter it reported."),
)


def render(status: dict[str, Any]) -> str:
    """The whole exposition for a status document."""
    lines: list[str] = []
    who = {key: status[key] for key in ("id", "name", "location", "version")}
    _metric(lines, "info", "gauge", "1, with who this is.", [(who, 1)])
    _metric(lines, "ready", "gauge", "1 when /readyz says 200.", [({}, int(status["ready"]))])
    _metric(lines, "uptime_seconds", "gauge", "Seconds since the daemon started.", [({}, status["uptime_s"])])
    _metric(
        lines,
        "component_ready",
        "gauge",
        "1 when the component runs, degraded or not, or rests by intent.",
        [({"component": c["name"], "code": c["code"]}, int(c["ready"])) for c in status["components"]],
    )
    _metric(
        lines,
        "component_condition",
        "gauge",
        "1, with what the component is doing: starting, running, degraded, resting, waiting, stopped.",
        [({"component": c["name"], "condition": c["condition"], "code": c["code"]}, 1) for c in status["components"]],
    )
    _metric(
        lines,
        "component_failures_total",
        "counter",
        "Times the component broke and was retried.",
        [({"component": c["name"]}, c["failures"]) for c in status["components"]],
    )
    for key, name, kind, text in _CAMERA:
        _metric(lines, name, kind, text, [({"camera": c["name"]}, _sample(key, c[key])) for c in status["cameras"]])
    _metric(
        lines,
        "escalations_total",
        "counter",
        "What was done about a camera that gave no picture; exits and reboots of all times.",
        [({"camera": c["name"], "step": step}, count) for c in status["cameras"] for step, count in c["escalations"].items()],
    )
    for key, name, kind, text in _RENDITION:
        rows = [
            ({"camera": c["name"], "rendition": r["index"], "size": f"{r['width']}x{r['height']}"}, _sample(key, r[key]))
            for c in status["cameras"]
            for r in c["renditions"]
        ]
        _metric(lines, name, kind, text, rows)
    _send_delays(lines, status["cameras"])
    for key, name, text in _SENT:
        _metric(lines, name, "counter", text, [({"camera": c["name"]}, c["sent"][key]) for c in status["cameras"]])
    _viewers(lines, status)
    for key, name, kind, text in _PUBLICATION:
        rows = [({"camera": p["camera"], "via": p["via"]}, _sample(key, p[key])) for p in status["publications"]]
        _metric(lines, name, kind, text, rows)
    relay_ok = status["relay_ok"]
    if relay_ok is not None:
        _metric(lines, "relay_ok", "gauge", "1 when the last call through the relay brought pictures.", [({}, int(relay_ok))])
    _metric(lines, "viewers_refused_total", "counter", "Viewers turned away.", [({}, status["viewers_refused"])])
    configuration = status["configuration"]
    if configuration is not None:
        for name, kind, text, values in configuration_samples(configuration):
            _metric(lines, name, kind, text, values)
    governor = status["governor"]
    if governor is not None:
        for name, kind, text, samples in governor_samples(governor):
            _metric(lines, name, kind, text, samples)
    for name, kind, text, value in process_samples():
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", f"{name} {value}"]
    return "\n".join(lines) + "\n"


def _sample(key: str, value: Any) -> Any:
    """The value under that key of the status in Prometheus' units: seconds, bytes, 0 and 1."""
    if value is None:
        return None
    if key.endswith("_ms"):
        return value / 1000
    return value / 8 if key.endswith("_bps") else value * 1


def _viewers(lines: list[str], status: dict[str, Any]) -> None:
    """How a camera's viewers fare: the median one and the worst one."""
    watched: dict[str, list[dict[str, Any]]] = {}
    for viewer in status["viewers"]:
        watched.setdefault(viewer["camera"], []).append(viewer)
    for key, name, divisor, text in _VIEWERS:
        rows = [row for camera, viewers in watched.items() for row in _spread({"camera": camera}, viewers, key, divisor)]
        _metric(lines, name, "gauge", text, rows)
    _metric(
        lines,
        "viewer_latency_seconds",
        "gauge",
        "Glass to glass, from capture to display, as viewers measure it: median and 95th percentile of seconds.",
        [
            row
            for camera, viewers in watched.items()
            for key, share in _LATENCY
            for row in _spread({"camera": camera, "percentile": share}, viewers, key, 1000)
        ],
    )
    paths = [(c["name"], kind) for c in status["cameras"] for kind in ("direct", "relay")]
    _metric(
        lines,
        "camera_connected_viewers",
        "gauge",
        "Viewers that are connected, by the way the pictures take.",
        [({"camera": camera, "path": kind}, sum(v["path"] == kind for v in watched.get(camera, []))) for camera, kind in paths],
    )


def _spread(
    labels: dict[str, str], viewers: list[dict[str, Any]], key: str, divisor: int
) -> Iterable[tuple[dict[str, str], float]]:
    known = [viewer[key] / divisor for viewer in viewers if viewer[key] is not None]
    if known:
        yield {**labels, "viewer": "median"}, statistics.median(known)
        yield {**labels, "viewer": "worst"}, max(known)


def _send_delays(lines: list[str], cameras: list[dict[str, Any]]) -> None:
    """A histogram, whose three series share one name."""
    name = "camera_send_delay_seconds"
    lines += [
        f"# HELP edgecam_{name} From a unit's arrival in the daemon to a viewer's last packet in the kernel.",
        f"# TYPE edgecam_{name} histogram",
    ]
    for camera in cameras:
        label, delay = f'camera="{_escaped(camera["name"])}"', camera["send_delay"]
        for limit, count in [*((ms / 1000, count) for ms, count in delay["up_to_ms"]), ("+Inf", delay["count"])]:
            lines.append(f'edgecam_{name}_bucket{{{label},le="{limit}"}} {count}')
        lines.append(f"edgecam_{name}_sum{{{label}}} {delay['sum_ms'] / 1000}")
        lines.append(f"edgecam_{name}_count{{{label}}} {delay['count']}")


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
