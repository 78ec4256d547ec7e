"""What a new configuration changes: the plan, and whether it made health worse. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from edgecam.app.plan import Members, back, offered, plan
from edgecam.app.trial import GRACE, Trial
from edgecam.config import KeyPath, schema
from edgecam.config.reload import render
from edgecam.settings import Applied, CameraSettings, Settings
from tests.settings.test_example import ROOT

CAMERA: dict[str, Any] = {"source": "test", "bitrate_kbps": 2000}


def settings(**tables: Any) -> Settings:
    return Settings.model_validate({"camera": {"front": CAMERA}, **tables})


def camera(**keys: Any) -> Settings:
    return settings(camera={"front": {**CAMERA, **keys}})


def test_what_is_the_same_changes_nothing() -> None:
    same = plan(settings(), settings())
    assert same.changes == ()
    assert not same.cameras
    assert not same.signaling
    assert not same.touches("camera.front")


@pytest.mark.parametrize(
    ("keys", "how"),
    [
        ({"title": "Front"}, Applied.AT_ONCE),
        ({"bitrate_kbps": 1500}, Applied.AT_ONCE),
        ({"bitrate_kbps": 2500}, Applied.AT_ONCE),
        ({"bitrate_kbps": 100}, Applied.AT_ONCE),  # too little for three renditions
        ({"quality": "hd", "width": 1280, "height": 720}, Applied.AT_ONCE),  # only its bitrate is another one
        ({"renditions": 1}, Applied.REOPENED),
        ({"min_bitrate_kbps": 200}, Applied.AT_ONCE),
        ({"quality": "high", "fps": 30}, None),  # the same in other words
        ({"quality": "low"}, Applied.REOPENED),
        ({"device": "/dev/video7"}, Applied.REOPENED),
        ({"playout_delay_ms": 100}, Applied.NEWCOMERS),
        ({"privacy_file": "/run/private"}, Applied.ANEW),
        ({"capture": "on-demand", "linger": 3}, Applied.AT_ONCE),
        ({"enabled": False}, Applied.AT_ONCE),
    ],
)
def test_a_cameras_keys_are_applied_as_gently_as_can_be(keys: dict[str, Any], how: Applied | None) -> None:
    planned = plan(camera(), camera(**keys))
    assert {change.how for change in planned.changes} == ({how} if how is not None else {Applied.AT_ONCE})
    assert planned.reopened == (("front",) if how is Applied.REOPENED else ())
    removed = how is Applied.ANEW or "enabled" in keys
    assert planned.cameras.removed == (("front",) if removed else ())
    assert planned.cameras.added == (("front",) if how is Applied.ANEW else ())


def test_what_needs_a_restart_keeps_its_value_and_the_rest_is_applied() -> None:
    planned = plan(settings(), settings(web={"listen": ":1", "token": "a-new-token"}, state_dir="/elsewhere"))
    assert planned.needs_restart == ("state_dir", "web.listen")
    assert planned.after.web.listen == settings().web.listen
    assert planned.after.state_dir is None
    assert planned.after.web.token.get_secret_value() == "a-new-token"
    assert not any("a-new-token" in str(change) for change in planned.changes)


def test_only_connections_that_have_changed_are_made_anew() -> None:
    home, other = {"url": "ws://a/ws"}, {"url": "ws://b/ws", "cameras": ["front"]}
    before = settings(signaling={"home": home, "other": other})
    two = {"front": CAMERA, "yard": CAMERA}
    assert plan(before, settings(signaling={"home": home, "other": other}, camera=two)).signaling == Members(changed=("home",))
    assert plan(before, settings(signaling={"home": home})).signaling == Members(removed=("other",))
    rooms = {"type": "rooms", "url": "http://a"}
    planned = plan(before, settings(signaling={"home": rooms, "other": other}))
    assert planned.signaling == Members(changed=("home",))
    assert str(planned.changes[0]).startswith('signaling.home.type "websocket" → "rooms"')
    # A section that has nothing to offer is none.
    assert plan(before, settings(signaling={"home": home, "other": other}, camera={"front": {**CAMERA, "enabled": False}})).signaling == (
        Members(removed=("home", "other"))
    )
    assert offered(before.signaling["home"], settings(camera={"front": {**CAMERA, "title": "Door"}})) == {"front": "Door"}


def test_a_change_touches_what_it_may_have_made_worse() -> None:
    added = plan(settings(), settings(camera={"front": CAMERA, "yard": CAMERA}))
    assert added.touches("camera.front")  # they share the processor
    assert not added.touches("signaling.home")
    assert not plan(camera(), camera(title="Door")).touches("camera.front")
    url = plan(settings(signaling={"home": {"url": "ws://a/ws"}}), settings(signaling={"home": {"url": "ws://b/ws"}}))
    assert url.touches("signaling.home")
    assert url.touches("signaling.home.front")
    assert not url.touches("signaling.homestead")
    assert not url.touches("camera.front")


def test_going_back_opens_nothing_that_was_locked() -> None:
    good = settings(camera={"front": CAMERA, "yard": CAMERA, "gate": CAMERA}, web={"token": "the-leaked-token"})
    refused = settings(
        camera={"front": {**CAMERA, "device": "/dev/nope", "privacy_file": "/run/private"}, "gate": {**CAMERA, "enabled": False}},
        web={"token": "the-new-token"},
    )
    gone_back = back(good, refused)
    assert set(gone_back.camera) == {"front"}
    assert gone_back.camera["front"].privacy_file == "/run/private"
    assert gone_back.camera["front"].device == good.camera["front"].device
    assert gone_back.web == refused.web


# the trial


def judged(trial: Trial, *moments: tuple[float, dict[str, bool]]) -> list[list[str]]:
    return [trial.worse(ready, now) for now, ready in moments]


def test_worse_is_what_was_ready_and_is_not_for_a_while() -> None:
    trial = Trial({"camera.front"}, lambda _: True, 0.0, 60.0)
    down = {"camera.front": False, "camera.new": False}
    assert judged(trial, (1, down), (GRACE, down), (1 + GRACE, down)) == [[], [], ["camera.front"]]


def test_what_comes_back_within_the_grace_is_not_worse() -> None:
    trial = Trial({"camera.front"}, lambda _: True, 0.0, 60.0)
    down, up = {"camera.front": False}, {"camera.front": True}
    assert judged(trial, (1, down), (10, up), (20, down), (30, down), (34, up), (60, up)) == [[]] * 6
    assert trial.over(60)


def test_what_is_not_ready_when_the_trial_ends_is_worse_however_short() -> None:
    trial = Trial({"camera.front"}, lambda _: True, 0.0, 60.0)
    assert trial.worse({"camera.front": False}, 60.0) == ["camera.front"]


def test_neither_what_was_not_touched_nor_what_is_gone_is_worse() -> None:
    trial = Trial({"camera.front", "signaling.home"}, lambda name: name.startswith("camera"), 0.0, 60.0)
    assert trial.worse({"signaling.home": False}, 60.0) == []


# what is said of it


def keys(model: type[BaseModel], path: KeyPath = ()) -> Iterator[tuple[KeyPath, type[BaseModel]]]:
    for name, field in model.model_fields.items():
        annotation = schema.field_type(field)
        held = schema.member_type(annotation) or schema.element_type(annotation) or annotation
        inner = schema.models_of(held)
        for table in inner:
            yield from keys(table, (*path, name))
        if not inner:
            yield (*path, name), model


def test_every_table_says_how_its_keys_are_applied() -> None:
    for path, model in keys(Settings):
        said = any("applied" in vars(table) for table in model.__mro__[:-3] if table.__name__ != "Section")
        assert said, f"{model.__name__} does not say how a reload applies {path}"
        assert isinstance(model.how_applied(str(path[-1])), Applied)  # type: ignore[attr-defined]


def test_what_is_said_of_single_keys_is_said_of_keys_that_there_are() -> None:
    for _path, model in keys(Settings):
        assert set(model.applied_otherwise) <= set(model.model_fields), model  # type: ignore[attr-defined]
    assert CameraSettings.how_applied("device") is Applied.REOPENED


def test_the_table_in_the_documentation_is_current() -> None:
    page = (ROOT / "docs" / "reload.md").read_text()
    assert render() in page, "run `make docs`"
