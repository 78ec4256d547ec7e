"""What the holder of a token may do: its role, on which cameras, until when."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

# `anyone`: no token at all, where that is allowed. It may do what cameras and viewers may, and see nothing else.
Role = Literal["admin", "camera", "viewer", "anyone"]


@dataclass(frozen=True, slots=True)
class Rights:
    """`cameras`: names, or patterns with * and ?. `name`: whom the token was given to. `expires`: Unix time."""

    role: Role
    cameras: tuple[str, ...] = ("*",)
    name: str = ""
    token_id: str = ""
    expires: float | None = None

    @property
    def is_admin(self) -> bool:
        """May see who is connected, and everything else."""
        return self.role == "admin"

    def covers(self, camera: str) -> bool:
        """Whether that camera may be seen in lists."""
        return any(pattern == "*" or fnmatchcase(camera, pattern) for pattern in self.cameras)

    def may_watch(self, camera: str) -> bool:
        return self.role != "camera" and self.covers(camera)

    def may_send(self, camera: str) -> bool:
        """Whether a camera may register by that name."""
        return self.role != "viewer" and self.covers(camera)


ADMIN = Rights("admin")
ANYONE = Rights("anyone")


@dataclass(frozen=True, slots=True)
class Denied:
    """Why a token opens nothing: one line for its holder, a stable code (token-wrong, token-expired, token-revoked,
    too-many-attempts), and the seconds after which trying again makes sense, 0 for never."""

    message: str
    code: str
    retry_after: float = 0.0

    @property
    def retry_seconds(self) -> int:
        """For Retry-After (RFC 9110 section 10.2.3)."""
        return math.ceil(self.retry_after)


def seconds_left(rights: Rights) -> float | None:
    """Until they end; None when they do not."""
    return None if rights.expires is None else rights.expires - time.time()
