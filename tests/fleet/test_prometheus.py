"""Metrics, scrape configuration, alerts and dashboard, in Debian's Prometheus, which reads a real daemon that a browser watches."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgecam.commands.discover import targets
from edgecam.fleet.records import Found
from tests.fleet.prometheus import CONFIG, Prometheus, program
from tests.harness.browser import Browser, running_browser
from tests.harness.daemons import Daemon, Server
from tests.harness.waiting import until

TOKEN = "a-token-that-prometheus-must-show"
SERVER_TOKEN = "another-token-of-the-server"
CAMERA = {"source": "test", "width": 320, "height": 240, "fps": 15, "bitrate_kbps": 200}
DASHBOARD = json.loads((CONFIG / "grafana-dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def authorized(daemon: Daemon, path: str) -> str:
    reply = daemon.get(path, Authorization=f"Bearer {TOKEN}")
    assert reply.status == 200
    return reply.text


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("daemon")
    with Server({"server": {"token": SERVER_TOKEN}}, directory / "server") as server:
        config = {
            "device": {"name": "Front gate"},
            "web": {"token": TOKEN},
            "camera": {"front": CAMERA, "ghost": {"source": "v4l2", "device": str(directory / "nothing")}},
            "signaling": {"home": {"url": server.socket_url, "token": SERVER_TOKEN}},
        }
        with Daemon(config, directory) as running:
            running.server_port = server.port  # type: ignore[attr-defined]
            yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture(scope="module")
def prometheus(daemon: Daemon, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It reads the daemon and the server, while a page shows the camera."""
    me = Found("id", "Front gate", "1", ("front",), "ready", "north side", "", ("127.0.0.1",), daemon.port, "/", tls=False)
    files = {
        "edgecam-token": TOKEN,
        "edgecam-server-token": SERVER_TOKEN,
        "edgecam-devices.json": json.dumps(targets([me])),
        "edgecamserver-home.json": json.dumps([{"targets": [f"127.0.0.1:{daemon.server_port}"]}]),  # type: ignore[attr-defined]
    }
    with Prometheus(tmp_path_factory.mktemp("prometheus"), files) as running:
        with browser.visit(f"{daemon.url}/view/front?token={TOKEN}") as visit:
            visit.wait_playing()
            yield running


def test_the_exposition_is_what_prometheus_own_linter_likes(daemon: Daemon, prometheus: Prometheus) -> None:
    until(lambda: "edgecam_viewer_latency_seconds" in authorized(daemon, "/metrics"), within=20, what="what a viewer tells")
    text = authorized(daemon, "/metrics")
    done = subprocess.run([program("promtool"), "check", "metrics"], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_examples_are_right(prometheus: Prometheus) -> None:
    done = subprocess.run([program("promtool"), "check", "config", prometheus.config], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_for_their_fault_and_no_other(tmp_path: Path) -> None:
    rules = CONFIG / "prometheus-alerts.yml"
    test = Path(__file__).with_name("alerts.test.yml").read_text()
    (tmp_path / "alerts.test.yml").write_text(test.replace("RULES", str(rules)))
    done = subprocess.run([program("promtool"), "test", "rules", tmp_path / "alerts.test.yml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in re.findall(r"- alert: (\w+)", rules.read_text()):
        assert re.search(rf"alertname: {name}\n", test), f"nothing shows that {name} fires"
        assert re.search(rf"alertname: {name}, exp_alerts: \[\]", test), f"nothing shows that {name} is silent when all is well"


def test_what_alerts_read_is_what_edgecam_says() -> None:
    sources = "\n".join(path.read_text() for path in (CONFIG.parent / "edgecam" / "web").glob("*.py"))
    expressions = re.findall(r"expr: (.*)", (CONFIG / "prometheus-alerts.yml").read_text())
    read = set(re.findall(r"\b(edgecam|process)_(\w+)", " ".join(expressions)))
    assert len(read) > 8
    for prefix, name in read:
        assert f'"{name}"' in sources or f'"{prefix}_{name}"' in sources, name


def test_prometheus_reads_the_device_with_its_token_and_knows_it_by_name(prometheus: Prometheus) -> None:
    def up() -> list[dict[str, Any]]:
        return prometheus.query('up{job="edgecam"} == 1')

    (sample,) = until(up, within=20, what="the device", explain=lambda: prometheus.api("targets", state="active"))
    assert (sample["metric"]["device"], sample["metric"]["location"]) == ("Front gate", "north side")
    (server,) = until(lambda: prometheus.query('up{job="edgecam-server"} == 1'), within=20, what="the server")
    assert server["metric"]["device"] == "127.0.0.1"  # nobody called it anything
    fps = until(lambda: prometheus.query("edgecam_camera_fps > 10"), within=20, what="a camera")
    assert [(each["metric"]["device"], each["metric"]["camera"]) for each in fps] == [("Front gate", "front")]


def test_a_viewer_is_counted_and_has_no_series_of_its_own(daemon: Daemon, prometheus: Prometheus) -> None:
    until(lambda: prometheus.query("sum(edgecam_camera_connected_viewers) == 1"), within=20, what="the viewer")
    (viewer,) = json.loads(authorized(daemon, "/api/v1/status"))["viewers"]
    assert viewer["id"][:8] not in authorized(daemon, "/metrics")
    until(lambda: prometheus.query("edgecam_viewer_latency_seconds"), within=20, what="its latency")
    labels = {key for series in prometheus.query('{__name__=~"edgecam_viewer_.*"}') for key in series["metric"]}
    assert labels == {"__name__", "device", "location", "instance", "job", "camera", "viewer", "percentile"}


def test_metrics_need_the_token(daemon: Daemon) -> None:
    assert daemon.get("/metrics").status == 401


def test_the_dashboards_variables_have_values(prometheus: Prometheus) -> None:
    until(lambda: prometheus.query("edgecam_camera_fps"), within=20, what="a camera")
    queries = {v["name"]: v["query"]["query"] for v in DASHBOARD["templating"]["list"] if v["type"] == "query"}
    assert set(queries) == {"device", "camera"}
    for name, query in queries.items():
        selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", query).groups()  # type: ignore[union-attr]
        values = prometheus.api(f"label/{label}/values", **{"match[]": selector.replace("$device", ".*")})
        assert values == {"device": ["Front gate"], "camera": ["front", "ghost"]}[name]


@pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])
def test_every_query_of_the_dashboard_returns_data(prometheus: Prometheus, panel: dict[str, Any]) -> None:
    assert panel["targets"]
    for target in panel["targets"]:
        query = target["expr"].replace("$device", ".*").replace("$camera", ".*").replace("$__rate_interval", "4s")
        assert "$" not in query
        until(lambda: prometheus.query(query), within=40, what=query)  # noqa: B023
        for key in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
            assert all(key in sample["metric"] for sample in prometheus.query(query)), (key, query)


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
