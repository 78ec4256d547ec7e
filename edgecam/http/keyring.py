"""The keys that sign tokens: configured, or generated once and kept in a private file, the newest first."""

from __future__ import annotations

import secrets
from pathlib import Path

from edgecam.errors import ConfigError
from edgecam.http.signed import SHORTEST_KEY, Key
from edgecam.http.tokens import read_private, write_private
from edgecam.redaction import register_secret
from edgecam.settings import ServerSettings

FILE = "server-keys"
KEPT = 3  # keys that a rotation leaves in the file; with the last of them go the tokens that it signed


def keyring(settings: ServerSettings, state_dir: Path) -> tuple[Key, ...]:
    """The configured keys, else those of the file, else none. Raises ConfigError when the file cannot be used."""
    if settings.signing_keys:
        return tuple(Key.of(key.get_secret_value()) for key in settings.signing_keys)
    path = state_dir / FILE
    try:
        text = read_private(path)
    except OSError as error:
        raise ConfigError(
            f"cannot read the signing keys in {path}: {error.strerror}", remedy="run this as root or as the server's user"
        ) from error
    lines = (text or "").split()
    if text is not None and not (lines and all(len(line) >= SHORTEST_KEY for line in lines)):
        raise ConfigError(f"{path} holds no signing keys", remedy="delete the file; a new one will be made, and old invites end")
    for line in lines:
        register_secret(line)
    return tuple(map(Key.of, lines))


def add_key(state_dir: Path) -> None:
    """Generate a key that signs from now on; older ones go on verifying. Raises ConfigError."""
    path = state_dir / FILE
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = (read_private(path) or "").split()
        write_private(path, "\n".join([secrets.token_urlsafe(32), *known][:KEPT]) + "\n")
    except OSError as error:
        raise ConfigError(
            f"cannot keep a signing key in {path}: {error.strerror or error}",
            remedy=f"make {state_dir} writable for this user, set state_dir, or set [server] signing_keys",
        ) from error
