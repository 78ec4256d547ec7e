"""The health board: ready means ready, and the same change is told once."""

from __future__ import annotations

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
