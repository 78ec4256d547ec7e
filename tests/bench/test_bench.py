"""The benchmark works: it yields every figure. What they are is not tested."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.bench import comparison, figures
from tests.bench.floor import Floor
from tests.bench.record import Record
from tests.bench.viewers import Level, Result

ROOT = Path(__file__).resolve().parents[2]
EXPECTED = {
    "first_frame_whep_ms",
    "first_frame_websocket_ms",
    "first_frame_again_ms",
    "first_frame_bare_ms",
    "first_frame_relayed_again_ms",
    "first_frame_relayed_bare_ms",
    "first_frame_silent_again_ms",
    "first_frame_silent_bare_ms",
    "glass_to_glass_ms",
    "glass_bare_ms",
    "cpu_per_viewer_pct",
    "floor_tight_pct",
    "ratio_floor_tight",
    "ratio_floor",
    "ratio_shared",
    "send_delay_ms",
    "send_delay_p99_ms",
    "cpu_crowd_pct",
    "rss_crowd_mb",
    "capture_to_daemon_ms",
    "spawn_to_first_unit_ms",
    "convert_encode_ms",
    "yuyv_to_daemon_ms",
    "encode_report_ms",
    "child_pss_mb",
    "first_frame_on_demand_ms",
    "idle_on_demand_pct",
    "idle_daemon_pss_mb",
    "standby_pss_mb",
    "start_to_ready_ms",
}
OPTIONAL = {"glass_webrtcbin_ms", "ratio_glass"}  # where GStreamer is installed


@pytest.mark.alone
@pytest.mark.timeout(400)
def test_a_quick_run_yields_every_figure(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.bench", "--quick", "--keep", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=380)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "record.json").read_text())
    assert set(found["figures"]) - OPTIONAL == EXPECTED
    assert all(math.isfinite(figure["p50"]) for figure in found["figures"].values())
    assert found["figures"]["glass_to_glass_ms"]["samples"] > 20
    assert found["figures"]["send_delay_ms"]["samples"] > 100
    for contestant in found["contestants"]:
        assert not contestant["missing"]
        for level in contestant["levels"]:
            assert level["cpu_pct"] > 0
            assert level["packets"] > 50, contestant["name"]  # its viewers really get the stream
    assert (tmp_path / "latest.md").read_text() in done.stdout
    again = Record.read(tmp_path / "record.json").document()
    assert json.loads(json.dumps(again)) == found


MEASURED = Result("edgecam", "edgecam", (Level(4, 1.0, 200.0, 90.0), Level(16, 2.2, 200.0, 93.0)))
ABSENT = Result("janus", "Janus", missing="Debian's package janus is not installed")


def test_a_slope_leaves_out_what_is_done_once() -> None:
    assert MEASURED.per_viewer() == pytest.approx(0.1)
    assert MEASURED.per_packet_us() == pytest.approx(5.0)
    assert MEASURED.memory_mb() == pytest.approx(0.25)


def test_a_reference_that_is_missing_is_named_with_the_reason() -> None:
    table = comparison.table([MEASURED, ABSENT], (4, 16))
    assert "not measured: Debian's package janus is not installed" in table
    columns = {line.count("|") for line in table.splitlines()}
    assert len(columns) == 1


def test_a_target_is_reached_or_missed() -> None:
    told = comparison.targets({"cpu_per_viewer_pct": figures.Figure("", "", 0.1), "ratio_floor": figures.Figure("", "", 1.5)})
    assert "| 0.12 | 0.1 | reached |" in told
    assert "| 1.3 | 1.5 | **missed** |" in told


def test_the_plot_is_well_formed_and_shows_every_contestant_measured() -> None:
    root = ET.fromstring(comparison.drawing([MEASURED, ABSENT], (4, 16)))
    texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert "edgecam" in texts
    assert "Janus" not in texts
    assert len(list(root.iter("{http://www.w3.org/2000/svg}polyline"))) == 1


def test_a_record_without_a_part_still_has_tables() -> None:
    record = Record(floor=Floor((), 5.0))
    assert "RTCP" in record.markdown()
