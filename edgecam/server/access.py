"""Which signed tokens are good now: the keys and the revocations, read again when their files change."""

from __future__ import annotations

import time
from pathlib import Path

import structlog

from edgecam.errors import ConfigError
from edgecam.http import keyring, signed
from edgecam.http.rights import Denied, Rights
from edgecam.http.stamps import stamp_of
from edgecam.server import invites
from edgecam.settings import ServerSettings

log = structlog.get_logger(__name__)


class Access:
    """Implements `credentials.SignedTokens`. Without a state directory there are only the configured keys."""

    def __init__(self, settings: ServerSettings, state_dir: Path | None = None) -> None:
        self._settings = settings
        self._state_dir = state_dir
        self._stamps: object = None
        self._keys: tuple[signed.Key, ...] = ()
        self.revoked: frozenset[str] = frozenset()
        if state_dir is None:
            self._keys = tuple(signed.Key.of(key.get_secret_value()) for key in settings.signing_keys)

    def judge(self, token: str) -> Rights | Denied | None:
        judged = signed.judge(token, self._keys, time.time())
        # The first token of a new key may be quicker than whoever looks for new keys, and must not count as a guess.
        if isinstance(judged, Denied) and judged.code == "token-wrong" and self.refresh():
            judged = signed.judge(token, self._keys, time.time())
        if isinstance(judged, Rights) and judged.token_id in self.revoked:
            return Denied("that token has been taken back", "token-revoked")
        return judged

    def begin(self) -> None:
        """Have a key, and read everything. Raises ConfigError."""
        if self._state_dir is not None and not keyring.keyring(self._settings, self._state_dir):
            keyring.add_key(self._state_dir)
        self._read()

    def apply(self, settings: ServerSettings) -> None:
        """Other settings from now on; a file of keys that cannot be read leaves the keys as they are."""
        self._settings, self._stamps = settings, None
        if self._state_dir is None:
            self._keys = tuple(signed.Key.of(key.get_secret_value()) for key in settings.signing_keys)
        else:
            self.refresh()

    def refresh(self) -> bool:
        """Read what has changed since; whether anything had. What cannot be read leaves things as they were."""
        if self._state_dir is None or self._stamp() == self._stamps:
            return False
        try:
            self._read()
        except ConfigError as error:
            log.warning("access.unreadable", reason=str(error))
            self._stamps = self._stamp()
            return False
        log.info("access.read", keys=[key.id for key in self._keys], revoked=len(self.revoked))
        return True

    def _read(self) -> None:
        if self._state_dir is None:
            return
        stamps = self._stamp()
        self._keys = keyring.keyring(self._settings, self._state_dir)
        known = invites.read_invites(self._state_dir).values()
        self.revoked = frozenset(invite.id for invite in known if invite.revoked)
        self._stamps = stamps

    def _stamp(self) -> object:
        assert self._state_dir is not None
        return [stamp_of(self._state_dir / name) for name in (keyring.FILE, invites.FILE)]
