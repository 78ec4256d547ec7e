"""The benchmark works: it yields every figure. What they are is not tested."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXPECTED = {
    "first_frame_whep_ms",
    "first_frame_websocket_ms",
    "first_frame_again_ms",
    "first_frame_bare_ms",
    "glass_to_glass_ms",
    "cpu_0_viewers_pct",
    "cpu_2_viewers_pct",
    "cpu_capture_pct",
    "cpu_per_viewer_pct",
    "cpu_per_packet_us",
    "rss_mb",
    "rss_per_viewer_mb",
    "pss_per_viewer_mb",
    "capture_to_daemon_ms",
    "spawn_to_first_unit_ms",
}


def test_a_quick_run_yields_every_figure(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.bench", "--quick", "--keep", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "latest.json").read_text())
    assert set(found["figures"]) == EXPECTED
    assert all(math.isfinite(figure["p50"]) for figure in found["figures"].values())
    assert found["figures"]["glass_to_glass_ms"]["samples"] > 30
    assert set(found["conditions"]) == {"processor", "system", "packages", "browser", "before", "picture"}
    assert (tmp_path / "latest.md").read_text() in done.stdout
    for figure in found["figures"].values():
        assert figure["what"] in done.stdout
