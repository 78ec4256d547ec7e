"""`edgecam bench` measures this machine: tables for people, JSON for programs, progress apart from both."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.harness.processes import run_edgecam

MODES = {"480p15": 15, "720p30": 30, "1080p30": 30}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> CompletedProcess[str]:
    return run_edgecam("bench", "--json", state_dir=tmp_path_factory.mktemp("bench"), within=100)


@pytest.fixture
def document(measured: CompletedProcess[str]) -> dict[str, Any]:
    assert measured.returncode == 0, measured
    found = json.loads(measured.stdout)
    assert isinstance(found, dict)
    return found


def test_every_mode_is_encoded_by_a_named_encoder(document: dict[str, Any]) -> None:
    assert [each["mode"] for each in document["encodings"]] == list(MODES)
    for each in document["encodings"]:
        assert each["encoder"] in {"libx264", "h264_v4l2m2m"}
        assert f"{each['encoder']} encodes" in each["reason"]
        assert each["encode_ms"] > 0
        assert 0 < each["fps"] <= MODES[each["mode"]] + 2


def test_larger_pictures_take_longer(document: dict[str, Any]) -> None:
    small, _, large = (each["encode_ms"] for each in document["encodings"])
    assert large > small


def test_a_packets_cost_is_told_by_part_and_profile(document: dict[str, Any]) -> None:
    profiles = [each["profile"] for each in document["packets"]]
    assert any("GCM" in profile for profile in profiles)
    assert "SRTP_AES128_CM_SHA1_80" in profiles
    for each in document["packets"]:
        assert all(0 < each[part] < 1000 for part in ("packetize", "copy", "protect", "plain"))
    sums = [each["each_viewer"] for each in document["packets"]]
    assert sums == sorted(sums)


def test_a_smaller_stream_leaves_room_for_more_viewers(document: dict[str, Any]) -> None:
    low, high, hd = (document["viewers_per_core"][mode] for mode in MODES)
    assert low > high > hd > 0


def test_progress_goes_to_standard_error(measured: CompletedProcess[str]) -> None:
    assert [line for line in measured.stderr.splitlines() if not line.startswith("measuring: ")] == []
    assert "measuring: encoding 720p30" in measured.stderr


def test_help_says_what_it_does_and_what_it_needs(tmp_path: Path) -> None:
    shown = run_edgecam("bench", "--help", state_dir=tmp_path)
    assert shown.returncode == 0
    told = " ".join(shown.stdout.split())
    assert "how many viewers one core carries" in told
    assert "needs neither camera nor configuration" in told
