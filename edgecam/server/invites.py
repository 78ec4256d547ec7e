"""Which signed tokens have been given out, and which of them have been taken back: a private file beside the keys."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from edgecam.errors import ConfigError
from edgecam.http.rights import Rights
from edgecam.http.tokens import read_private, write_private

FILE = "server-invites"
REMEMBERED = 7 * 86_400.0  # seconds for which an invite that has ended is still listed
LONGEST = 3650 * 86_400.0  # seconds; also how long the end of a token is remembered that was signed elsewhere
MAX_INVITES = 10_000  # the file stays small; a site that needs more signs its tokens itself


@dataclass(frozen=True, slots=True)
class Invite:
    """One token, without the token. Times in Unix seconds."""

    id: str
    role: str
    cameras: tuple[str, ...]
    name: str
    issued: float
    expires: float
    revoked: bool = False

    @classmethod
    def of(cls, rights: Rights) -> Invite:
        assert rights.expires is not None
        return cls(rights.token_id, rights.role, rights.cameras, rights.name, time.time(), rights.expires)


def read_invites(state_dir: Path) -> dict[str, Invite]:
    """By id, the oldest first. Raises ConfigError when the file is there and cannot be used."""
    path = state_dir / FILE
    try:
        text = read_private(path, tighten=False) or ""
        found = [Invite(**{**json.loads(line), "cameras": tuple(json.loads(line)["cameras"])}) for line in text.splitlines()]
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", remedy="run this as root or as the server's user") from error
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{path} is damaged", remedy="restore it, or delete it: then nothing is listed or revoked") from error
    return {invite.id: invite for invite in found}


def add_invite(state_dir: Path, invite: Invite) -> None:
    """Note a token that has been signed. Raises ConfigError."""
    with _changing(state_dir) as invites:
        if len(invites) >= MAX_INVITES:
            remedy = "wait for some to expire, or sign tokens with a program of your own"
            raise ConfigError(f"{MAX_INVITES} invites are kept, which is the most", remedy=remedy)
        invites[invite.id] = invite


def revoke_invite(state_dir: Path, token_id: str) -> Invite | None:
    """End a token now; what is known of it, None for one that was signed elsewhere. Raises ConfigError."""
    with _changing(state_dir) as invites:
        known = invites.get(token_id)
        now = time.time()
        ended = replace(known, revoked=True) if known else Invite(token_id, "", (), "", now, now + LONGEST, revoked=True)
        invites[token_id] = ended
    return known


@contextmanager
def _changing(state_dir: Path) -> Iterator[dict[str, Invite]]:
    """The invites, written back at the end; two commands at once do not undo each other."""
    path = state_dir / FILE
    try:
        descriptor = os.open(state_dir, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            invites = read_invites(state_dir)
            yield invites
            kept = [invite for invite in invites.values() if invite.expires > time.time() - REMEMBERED]
            write_private(path, "".join(json.dumps(asdict(invite)) + "\n" for invite in kept))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ConfigError(f"cannot change {path}: {error.strerror or error}", remedy="run this as root or as the server's user") from error
