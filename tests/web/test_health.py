"""/healthz, /readyz, /metrics and /api/v1/status of a running daemon."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.harness.daemons import Daemon
from tests.harness.ports import free_port
from tests.web.conftest import TINY

SAMPLE = re.compile(r'((?:edgecam|process)_[a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\.)*",?)*)\})? (-?[0-9.]+(?:e[+-]?[0-9]+)?)')
LABEL = re.compile(r'([a-z]+)="((?:[^"\\]|\\.)*)"')
NUMBER = (int, float)
MAYBE_NUMBER = (int, float, type(None))

CAMERA: dict[str, Any] = {
    "name": str,
    "title": str,
    "condition": str,
    "code": str,
    "detail": str,
    "since_s": NUMBER,
    "source": str,
    "width": int,
    "height": int,
    "fps": NUMBER,
    "measured_fps": NUMBER,
    "bitrate_bps": int,
    "target_bps": int,
    "floor_bps": int,
    "ceiling_bps": int,
    "renditions": list,
    "units": int,
    "keyframes": int,
    "keyframes_asked": int,
    "frames_dropped": MAYBE_NUMBER,
    "units_dropped": MAYBE_NUMBER,
    "encode_ms": MAYBE_NUMBER,
    "last_frame_age_s": MAYBE_NUMBER,
    "restarts": int,
    "viewers": int,
    "max_viewers": int,
    "encoder": (str, type(None)),
    "encoder_reason": (str, type(None)),
    "profile_level_id": str,
}


def metrics(daemon: Daemon) -> dict[str, list[tuple[dict[str, str], float]]]:
    """The exposition, parsed strictly: every line must be a comment or a sample of a family that was announced."""
    reply = daemon.get("/metrics")
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert reply.text.endswith("\n")
    families: dict[str, list[tuple[dict[str, str], float]]] = {}
    for line in reply.text.splitlines():
        if line.startswith("# TYPE "):
            _hash, _type, name, kind = line.split(" ")
            assert kind in {"gauge", "counter", "histogram"}
            assert name not in families, f"{name} is announced twice"
            assert kind == "gauge" or name.endswith(("_total", "_seconds")), f"{name} is a counter without its suffix"
            families[name] = []
        elif not line.startswith("# HELP "):
            sample = SAMPLE.fullmatch(line)
            assert sample, line
            family = sample[1] if sample[1] in families else re.sub("_(bucket|sum|count)$", "", sample[1])
            families[family].append((dict(LABEL.findall(sample[2] or "")), float(sample[3])))
    return families


def test_healthz_says_ok(daemon: Daemon) -> None:
    reply = daemon.get("/healthz")
    assert (reply.status, reply.text) == (200, "ok\n")


def test_readyz_says_ready_when_everything_works(healthy: Daemon) -> None:
    reply = healthy.get("/readyz")
    assert (reply.status, reply.text) == (200, "ready\n")


def test_readyz_says_in_one_line_each_what_does_not_work(daemon: Daemon) -> None:
    reply = daemon.get("/readyz")
    assert reply.status == 503
    (line,) = reply.text.splitlines()
    assert line.startswith("camera.ghost: ")
    assert line.endswith("[camera-absent]")


def test_status_holds_what_scripts_rely_on(daemon: Daemon) -> None:
    status = daemon.status()
    assert status["ready"] is False
    assert status["version"]
    assert status["uptime_s"] > 0
    assert (status["viewers"], status["viewers_served"], status["viewers_refused"]) == ([], 0, 0)
    assert [camera["name"] for camera in status["cameras"]] == ["front", "ghost"]
    for camera in status["cameras"]:
        for key, kind in CAMERA.items():
            assert isinstance(camera[key], kind), (key, camera[key])
    names = {component["name"]: component for component in status["components"]}
    assert names["camera.front"]["condition"] == "running"
    assert names["camera.ghost"]["code"] == "camera-absent"
    assert names["camera.ghost"]["failures"] >= 1


def test_a_running_camera_counts_frames_and_begins_with_a_keyframe(daemon: Daemon) -> None:
    daemon.wait_units("front", daemon.camera("front")["units"] + 15)
    after = daemon.camera("front")
    assert after["keyframes"] >= 1
    assert 10 < after["measured_fps"] < 20
    assert (after["width"], after["height"]) == (320, 240)
    assert after["encoder"]
    assert after["encoder_reason"]
    assert re.fullmatch(r"42[0-9a-f]{4}", after["profile_level_id"])


def test_metrics_are_prometheus_text_and_agree_with_the_status(daemon: Daemon) -> None:
    found = metrics(daemon)
    ((who, one),) = found["edgecam_info"]
    assert (who["id"], who["name"], one) == (daemon.status()["id"], daemon.status()["name"], 1)
    assert found["edgecam_ready"] == [({}, 0.0)]
    ready = {name: value for labels, value in found["edgecam_component_ready"] if (name := labels["component"]).startswith("camera.")}
    assert ready == {"camera.front": 1, "camera.ghost": 0}
    units = {labels["camera"]: value for labels, value in found["edgecam_camera_access_units_total"]}
    assert 0 < units["front"] <= daemon.camera("front")["units"]
    assert units["ghost"] == 0
    ghost_failures = {labels["component"]: value for labels, value in found["edgecam_component_failures_total"]}
    assert ghost_failures["camera.ghost"] >= 1


def test_a_camera_says_which_renditions_it_has_and_which_run(daemon: Daemon) -> None:
    daemon.wait_units("front", 1)
    camera = daemon.camera("front")
    (full,) = camera["renditions"]  # half of 320x240 would be no picture
    assert (full["index"], full["width"], full["height"], full["running"], full["viewers"]) == (0, 320, 240, True, 0)
    assert full["target_bps"] == camera["target_bps"]
    running = {labels["camera"]: (labels["size"], value) for labels, value in metrics(daemon)["edgecam_rendition_running"]}
    assert running["front"] == ("320x240", 1)


def test_health_routes_answer_head_too(daemon: Daemon) -> None:
    for path in ("/healthz", "/metrics", "/api/v1/status"):
        reply = daemon.request("HEAD", path)
        assert (reply.status, reply.body) == (200, b"")


def test_what_does_not_exist_is_404_and_what_may_not_be_done_405(daemon: Daemon) -> None:
    assert daemon.get("/api/v1/nothing").status == 404
    assert daemon.request("POST", "/healthz", b"").status == 405
    assert daemon.request("GET", "/whep/front").status == 405


def test_secrets_in_the_address_of_a_signaling_server_do_not_reach_the_status(tmp_path: Path) -> None:
    port = free_port()
    home = {"url": f"ws://anna:hunter2@127.0.0.1:{port}/ws?token=sesame-open"}
    with Daemon({"camera": {"front": TINY}, "signaling": {"home": home}}, tmp_path) as running:
        reply = running.get("/api/v1/status")
        assert reply.json["signaling"][0]["url"] == f"ws://127.0.0.1:{port}/ws"
        for secret in ("anna", "hunter2", "sesame-open"):
            assert secret not in reply.text
