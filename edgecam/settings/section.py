"""What every table of the configuration shares: a frozen model that allows nothing unknown, names, durations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints

CAMERA_NAME = r"^[a-z0-9][a-z0-9_-]{0,31}$"
CameraName = Annotated[str, StringConstraints(pattern=CAMERA_NAME)]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}  # seconds


def parse_duration(value: object) -> object:
    """Seconds of text such as 90s, 15m, 6h or 2d; anything else as it is."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", value) if isinstance(value, str) else None
    return float(match[1]) * _UNITS[match[2]] if match else value


Seconds = Annotated[float, BeforeValidator(parse_duration)]


class Applied(StrEnum):
    """How a reload applies a change of a key; docs/reload.md lists them all."""

    AT_ONCE = "in place"
    NEWCOMERS = "in place, for whoever connects from now on"
    PART = "in place, that part begins anew"
    CONNECTION = "that connection is made anew; its viewers keep their picture"
    REOPENED = "the camera is opened anew; its viewers stay"
    ANEW = "the camera is made anew; its viewers connect again"
    RESTART = "needs a restart"
    SERVER = "for edgecam server"


class Section(BaseModel):
    """A table of the file: frozen, nothing unknown allowed.

    `applied` says how a reload applies its keys, `applied_otherwise` what holds for some of them instead.
    """

    # Deferred: only the whole is validated, and what is made of each table by itself takes memory and time at start.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)

    applied: ClassVar[Applied] = Applied.RESTART
    applied_otherwise: ClassVar[Mapping[str, Applied]] = MappingProxyType({})

    @classmethod
    def how_applied(cls, key: str) -> Applied:
        return cls.applied_otherwise.get(key, cls.applied)
