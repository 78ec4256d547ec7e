"""What the log says goes into the ring: redacted, bounded, and whatever level is shown."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from edgecam import logs
from edgecam.blackbox.recorder import SAME_EVENT_PER_MINUTE, Recorder
from edgecam.blackbox.ring import Ring
from edgecam.settings import LogSettings


@pytest.fixture
def ring() -> Iterator[Ring]:
    ring = Ring(200_000)
    recorder = Recorder(ring)
    logs.record_to(recorder)
    yield ring
    logging.getLogger().removeHandler(recorder)


def configure(level: str) -> io.StringIO:
    shown = io.StringIO()
    logs.configure(LogSettings.model_validate({"level": level, "format": "json"}), stream=shown)
    return shown


def events(ring: Ring) -> list[dict[str, object]]:
    return [json.loads(line) for line in ring.lines()]


def test_info_is_recorded_though_only_errors_are_shown(ring: Ring) -> None:
    shown = configure("error")
    log = structlog.get_logger("edgecam.test")
    log.info("camera.opened", camera="front")
    log.debug("encoder.bitrate")
    logging.getLogger("other").warning("from a library")
    assert [event["event"] for event in events(ring)] == ["camera.opened", "from a library"]
    assert shown.getvalue() == ""
    log.error("gone")
    assert json.loads(shown.getvalue())["event"] == "gone"


def test_secrets_are_masked(ring: Ring) -> None:
    configure("info")
    logs.register_secret("correct-horse-battery")
    log = structlog.get_logger("edgecam.test")
    log.info("said", token="abc", url="https://x/?token=abcdef", text="it is correct-horse-battery")
    try:
        raise ValueError("correct-horse-battery")
    except ValueError:
        log.exception("failed")
    text = "\n".join(ring.lines())
    assert "correct-horse" not in text
    assert "abcdef" not in text
    assert "ValueError" in text


def test_a_flood_of_one_event_leaves_room_for_others(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    configure("info")
    now = 0.0
    monkeypatch.setattr("edgecam.blackbox.recorder.time.monotonic", lambda: now)
    log = structlog.get_logger("edgecam.test")
    for number in range(10_000):
        log.info("viewer.refused", number=number)
    log.info("camera.opened")
    assert len(events(ring)) == SAME_EVENT_PER_MINUTE + 1
    now = 61.0
    log.info("viewer.refused")
    assert events(ring)[-2] == {"event": "blackbox.left-out", "of": "viewer.refused", "records": 10_000 - SAME_EVENT_PER_MINUTE}


def test_a_long_record_stays_json_and_keeps_the_end_of_its_traceback(ring: Ring) -> None:
    configure("info")
    structlog.get_logger("edgecam.test").error("failed", stack="é" * 50_000 + " the last line")
    structlog.get_logger("edgecam.test").error("many", **{f"key{n}": "v" * 50 for n in range(500)})
    first, second = events(ring)
    assert str(first["stack"]).endswith("the last line")
    assert second["event"] == "many"
