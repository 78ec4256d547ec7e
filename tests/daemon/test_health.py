"""The health board: ready means ready, and the same change is told once."""

from __future__ import annotations

import re
from pathlib import Path

from edgecam.health import Condition, HealthBoard


def test_ready_only_when_every_component_runs_or_rests() -> None:
    board = HealthBoard()
    camera, signaling = board.component("camera.front"), board.component("signaling.home")
    assert len(board.reasons) == 2
    camera.running()
    signaling.waiting("signaling-unreachable", "no answer from the server")
    assert board.reasons == ["signaling.home: no answer from the server [signaling-unreachable]"]
    assert board.settled, "a declared wait is settled"
    signaling.report(Condition.RESTING)
    assert board.reasons == []


def test_repeating_a_condition_changes_nothing_but_the_count() -> None:
    board = HealthBoard()
    component = board.component("camera.front")
    changes: list[str] = []
    board.watch(lambda: changes.append(board.summary))
    component.waiting("camera-absent", "no camera")
    since = component.state.since
    component.waiting("camera-absent", "no camera")
    assert len(changes) == 1
    assert component.failures == 2
    assert component.state.since == since


def test_what_is_degraded_is_ready_and_said() -> None:
    board = HealthBoard()
    board.component("camera.front").running()
    board.component("temperature").degraded("hot", "82 °C")
    assert board.reasons == []
    assert board.settled
    assert board.warnings == ["temperature: 82 °C [hot]"]
    assert board.summary == "all components running; temperature: 82 °C [hot]"


def test_a_line_that_has_left_the_board_is_no_reason_for_anything() -> None:
    board = HealthBoard()
    changes: list[str] = []
    board.watch(lambda: changes.append(board.summary))
    gone = board.component("camera.yard")
    gone.waiting("camera-absent", "no camera")
    board.remove("camera.yard")
    assert changes[-1] == "all components running"
    gone.waiting("camera-busy", "somebody has it")
    board.remove("camera.yard")
    assert len(changes) == 2
    assert board.component("camera.yard") is not gone


def test_every_code_of_the_board_stands_on_the_health_page() -> None:
    root = Path(__file__).resolve().parents[2]
    sources = [*(root / "edgecam" / "health").glob("*.py"), root / "edgecam" / "media" / "encoderline.py"]
    reported = re.compile(r'\.(?:degraded|resting|waiting)\("([a-z-]+)"')
    codes = {code for path in sources for code in reported.findall(path.read_text())} | {"fanout-stuck", "supervisor-stuck"}
    assert len(codes) >= 7
    for page in ("health.md", "troubleshooting.md"):
        text = (root / "docs" / page).read_text()
        assert [code for code in codes if f"`{code}`" not in text] == []
