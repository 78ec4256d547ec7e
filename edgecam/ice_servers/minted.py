"""Time-limited TURN credentials made with a secret that the TURN server shares (draft-uberti-behave-turn-rest-00)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import time
from collections.abc import Callable

from pydantic import SecretStr

from edgecam.settings import IceServer

DEFAULT_NAME = "edgecam"
# A list may be handed to a page that calls an hour later, and a session lives on its credential: one whose time is half over
# is not handed out any more.
RENEWED_AFTER = 0.5  # of the ttl


def minted(server: IceServer, now: float, peer: str = "") -> IceServer:
    """`server` with user name `<expiry>:<name>` and password base64(HMAC-SHA1(secret, user name)), good for `ttl`
    seconds from `now` (Unix time). With `peer` the name is `<name>.<peer>`. The result does not hold the secret."""
    name = server.username or DEFAULT_NAME
    user = f"{math.floor(now + server.ttl)}:{f'{name}.{peer}' if peer else name}"
    digest = hmac.new(server.secret.get_secret_value().encode(), user.encode(), hashlib.sha1).digest()
    return IceServer(urls=server.urls, username=user, credential=SecretStr(base64.b64encode(digest).decode()))


class Minted:
    """One server whose credentials are minted when they are asked for: nothing to wait for, nothing that can fail.

    The same ones are returned until half of their time is over, or the clock was set: a machine without a battery
    begins its life in the past.
    """

    def __init__(self, server: IceServer, now: Callable[[], float] = time.time) -> None:
        self._server = server
        self._now = now
        self._made: IceServer | None = None
        self._made_at = 0.0

    def current(self) -> tuple[IceServer, ...]:
        now = self._now()
        if self._made is None or not 0 <= now - self._made_at < self._server.ttl * RENEWED_AFTER:
            self._made, self._made_at = minted(self._server, now), now
        return (self._made,)

    def for_peer(self, name: str) -> tuple[IceServer, ...]:
        """Made now, for one peer."""
        return (minted(self._server, self._now(), name),)
