"""What a new configuration changes in a running daemon, and how that is applied. Pure: nothing is done here.

docs/reload.md is for users; how each key is applied stands at the models (`Section.how_applied`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from pydantic import BaseModel

from edgecam.config import KeyPath, dotted, literal
from edgecam.settings import Applied, CameraSettings, Settings
from edgecam.settings.signaling import Signaling

T = TypeVar("T")


class _Mark(StrEnum):
    """What stands in place of values where a whole table comes or goes."""

    HERE = "there"
    ABSENT = "not there"


# Of a camera's keys, those whose effect is looked at instead of the keys: a quality stands for several of them.
_PICTURE = frozenset({"quality", "width", "height", "fps"})


@dataclass(frozen=True, slots=True)
class Change:
    """One key, or a camera or connection that comes or goes; values as TOML writes them, secrets masked."""

    key: str
    before: str
    after: str
    how: Applied

    def __str__(self) -> str:
        if self.before == _Mark.ABSENT:
            return f"{self.key}: added"
        if self.after == _Mark.ABSENT:
            return f"{self.key}: removed"
        values = f"{self.before} → {self.after}" if self.before != self.after else "another secret"
        return f"{self.key} {values}: {self.how}"


@dataclass(frozen=True, slots=True)
class Members:
    """Names of cameras, or of signaling connections."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


@dataclass(frozen=True, slots=True)
class Plan:
    """From `before`, which runs, to `after`, which will: what was asked for, without what needs a restart.

    `cameras.changed` go on with other settings; of them `reopened` get another capture process. One that has to be made anew
    is removed and added. `needs_restart`: keys that keep their old value.
    """

    before: Settings
    after: Settings
    changes: tuple[Change, ...]
    cameras: Members
    reopened: tuple[str, ...]
    signaling: Members
    needs_restart: tuple[str, ...]

    def touches(self, component: str) -> bool:
        """Whether that line of the health board may be worse because of this change.

        Cameras share processor and USB: one that is added, opened anew or encoded with more bits may take from each of the others.
        """
        kind, _, rest = component.partition(".")
        match kind:
            case "camera" | "encoder":
                return bool(self.cameras.added or self.reopened) or any(map(self._has_more_bits, self.cameras.changed))
            case "signaling":
                return rest.partition(".")[0] in self.signaling.changed
            case "ice" | "relay":
                return self.before.ice != self.after.ice or self.before.doctor != self.after.doctor
            case _:
                return False

    def _has_more_bits(self, camera: str) -> bool:
        return self.after.camera[camera].ceiling_bps > self.before.camera[camera].ceiling_bps


def plan(before: Settings, wanted: Settings) -> Plan:
    """How to get from what runs to what is wanted."""
    changes = tuple(_changes(before, wanted))
    restart = tuple(change.key for change in changes if change.how is Applied.RESTART)
    after = _keep(before, wanted, {change.key for change in changes if change.how is Applied.RESTART})
    cameras, reopened = _cameras(before, after)
    signaling = _signaling(before, after)
    return Plan(before, after, changes, cameras, reopened, signaling, restart)


def back(good: Settings, refused: Settings) -> Settings:
    """What to go back to from `refused`: what was good, but nothing opens again that somebody has locked or taken away: who may
    come in, when a camera is private, and which cameras are no more."""

    def kept(camera: CameraSettings, newer: CameraSettings) -> CameraSettings:
        private = [key for key in CameraSettings.model_fields if key.startswith("privacy")]
        return camera.model_copy(update={key: getattr(newer, key) for key in private})

    still = _enabled(refused)
    cameras = {name: kept(camera, still[name]) for name, camera in good.camera.items() if name in still}
    return good.model_copy(update={"web": refused.web, "camera": cameras})


def offered(section: Signaling, settings: Settings) -> dict[str, str]:
    """The cameras that the section offers to its server, in its order, and their titles."""
    enabled = _enabled(settings)
    return {name: enabled[name].title or name for name in section.cameras or enabled if name in enabled}


# cameras


def reopens(old: CameraSettings, new: CameraSettings) -> bool:
    """Whether only another capture process can give what is asked for."""
    changed = {key for key in CameraSettings.model_fields if getattr(old, key) != getattr(new, key)}
    plain = any(new.how_applied(key) is Applied.REOPENED for key in changed - _PICTURE)
    a, b = old.effective, new.effective
    return plain or (a.width, a.height, a.fps) != (b.width, b.height, b.fps)


def _made_anew(old: CameraSettings, new: CameraSettings) -> bool:
    fields = (key for key in CameraSettings.model_fields if key != "enabled")
    return any(getattr(old, key) != getattr(new, key) and new.how_applied(key) is Applied.ANEW for key in fields)


def _enabled(settings: Settings) -> dict[str, CameraSettings]:
    return {name: camera for name, camera in settings.camera.items() if camera.enabled}


def _cameras(before: Settings, after: Settings) -> tuple[Members, tuple[str, ...]]:
    old, new = _enabled(before), _enabled(after)
    members = _members(old, new)
    anew = tuple(name for name in members.changed if _made_anew(old[name], new[name]))
    stay = tuple(name for name in members.changed if name not in anew)
    reopened = tuple(name for name in stay if reopens(old[name], new[name]))
    return Members(members.added + anew, members.removed + anew, stay), reopened


# signaling


def _signaling(before: Settings, after: Settings) -> Members:
    """A connection has changed when its section has, or the cameras that it offers, or their titles."""

    def seen(settings: Settings) -> dict[str, tuple[Signaling, dict[str, str]]]:
        every = {name: (section, offered(section, settings)) for name, section in settings.signaling.items()}
        return {name: (section, cameras) for name, (section, cameras) in every.items() if cameras}

    return _members(seen(before), seen(after))


def _members(old: Mapping[str, T], new: Mapping[str, T]) -> Members:
    return Members(
        tuple(name for name in new if name not in old),
        tuple(name for name in old if name not in new),
        tuple(name for name in new if name in old and old[name] != new[name]),
    )


# keys


def _changes(before: Settings, after: Settings) -> Iterator[Change]:
    for path, old, new, section in _differences(before, after, ()):
        how = _how(path, section, before, after)
        yield Change(dotted(path), _shown(old), _shown(new), how)


def _differences(old: BaseModel, new: BaseModel, path: KeyPath) -> Iterator[tuple[KeyPath, object, object, BaseModel]]:
    """Every key whose value differs, with the table that it stands in; members that come or go are one each."""
    for key in type(new).model_fields:
        a, b = getattr(old, key), getattr(new, key)
        if a == b:
            continue
        if isinstance(a, BaseModel) and type(a) is type(b):
            yield from _differences(a, b, (*path, key))
        elif isinstance(a, dict) and isinstance(b, dict) and all(isinstance(each, BaseModel) for each in (*a.values(), *b.values())):
            yield from _members_differences(a, b, (*path, key), new)
        else:
            yield (*path, key), _whole(a), _whole(b), new


def _members_differences(
    old: Mapping[str, BaseModel], new: Mapping[str, BaseModel], path: KeyPath, section: BaseModel
) -> Iterator[tuple[KeyPath, object, object, BaseModel]]:
    for name in dict.fromkeys((*old, *new)):
        a, b = old.get(name), new.get(name)
        if a is None or b is None:
            yield (*path, name), *((_Mark.ABSENT, _Mark.HERE) if a is None else (_Mark.HERE, _Mark.ABSENT)), section
        elif type(a) is not type(b):
            yield (*path, name, "type"), getattr(a, "type", ""), getattr(b, "type", ""), b
        elif a != b:
            yield from _differences(a, b, (*path, name))


def _shown(value: object) -> str:
    return value if isinstance(value, _Mark) else literal(value)


def _whole(value: object) -> object:
    """A list of tables by what tells them apart, and without their secrets."""
    if isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        return tuple(getattr(each, "urls", ()) or getattr(each, "credentials_url", "") for each in value)
    return value


def _how(path: KeyPath, section: BaseModel, before: Settings, after: Settings) -> Applied:
    key = str(path[-1])
    if path[0] == "camera" and len(path) == 3:
        return _how_camera(key, before.camera[str(path[1])], after.camera[str(path[1])])
    if path[0] in {"camera", "signaling"} and len(path) == 2:
        return Applied.AT_ONCE
    how = getattr(section, "how_applied", None)
    return Applied(how(key)) if how is not None else Applied.RESTART


def _how_camera(key: str, old: CameraSettings, new: CameraSettings) -> Applied:
    if key == "enabled":
        return Applied.AT_ONCE
    if not (old.enabled and new.enabled):
        return Applied.AT_ONCE  # begins with it, or is nothing to anybody
    if key in _PICTURE:
        return Applied.REOPENED if reopens(old, new) else Applied.AT_ONCE
    return new.how_applied(key)


def _keep(before: T, after: T, keys: set[str], path: KeyPath = ()) -> T:
    """`after` with the values of `before` under those dotted keys."""
    if not isinstance(after, BaseModel) or not isinstance(before, BaseModel):
        return after
    kept: dict[str, object] = {}
    for name in type(after).model_fields:
        inner = (*path, name)
        old, new = getattr(before, name), getattr(after, name)
        value = old if dotted(inner) in keys else _keep(old, new, keys, inner)
        if value is not new:
            kept[name] = value
    return after.model_copy(update=kept) if kept else after
