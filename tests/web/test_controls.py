"""`/api/v1/cameras/NAME/controls` of cameras without controls, closed ones, and requests that say nothing. Those of cameras that have
some: `tests/daemon/test_camera_controls.py`, `tests/machines/test_picamera2.py`."""

from __future__ import annotations

import json

import pytest

from tests.harness.daemons import Daemon
from tests.harness.processes import run_edgecam

JSON = {"Content-Type": "application/json"}
FRONT = "/api/v1/cameras/front/controls"


def test_a_camera_without_controls_says_so(daemon: Daemon) -> None:
    assert daemon.get(FRONT).json == {"camera": "front", "controls": []}
    refused = daemon.request("PATCH", FRONT, '{"brightness": 10}', JSON)
    assert (refused.status, refused.json["code"], refused.json["title"]) == (400, "control-refused", "this camera has no controls")
    ended = run_edgecam("controls", "front", "--config", daemon.file, state_dir=daemon.state_dir)
    assert (ended.returncode, ended.stdout) == (0, "front has no controls\n")


def test_one_that_is_closed_or_unknown_says_that(daemon: Daemon) -> None:
    for name, status, code in (("ghost", 503, "camera-closed"), ("attic", 404, "camera-unknown")):
        path = f"/api/v1/cameras/{name}/controls"
        for reply in (daemon.get(path), daemon.request("PATCH", path, '{"brightness": 10}', JSON)):
            assert (reply.status, reply.json["code"]) == (status, code)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "brightness",
        "{}",
        "[]",
        '{"brightness": null}',
        '{"brightness": {"a": 1}}',
        '{"bright ness": 1}',
        '{"brightness": NaN}',
        '{"brightness": 1e300}',
        '{"roi": []}',
        '{"roi": [[1]]}',
        '{"roi": "' + 201 * "x" + '"}',
        json.dumps({f"name{number}": 1 for number in range(65)}),
        '{"brightness": 1' + 20_000 * " " + "}",
        1000 * "[" + 1000 * "]",
    ],
)
def test_what_sets_no_control_is_refused(daemon: Daemon, body: str) -> None:
    reply = daemon.request("PATCH", FRONT, body, JSON)
    assert (reply.status, reply.json["code"]) == (400, "control-malformed")


def test_what_sets_none_on_the_command_line_is_refused_before_it_is_sent(daemon: Daemon) -> None:
    for text, says in (("brightness", "NAME=VALUE"), ("bright ness=1", "no control's name"), ("brightness=", "cannot be that")):
        ended = run_edgecam("controls", "front", text, "--config", daemon.file, state_dir=daemon.state_dir)
        assert ended.returncode == 78, ended
        assert says in ended.stderr
