"""`edgecam invite`: sign tokens for cameras and viewers of the bundled server, list them, take them back."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit

from edgecam.errors import ConfigError, FatalError
from edgecam.http import keyring, signed
from edgecam.http.listener import urls_of
from edgecam.http.rights import Rights, Role
from edgecam.http.tokens import SERVER_STATE_DIRS, state_dir_of
from edgecam.server.invites import LONGEST, Invite, add_invite, read_invites, revoke_invite
from edgecam.settings import Settings
from edgecam.settings.section import parse_duration

USUAL_TIME = {"viewer": "24h", "camera": "365d", "admin": "1h"}


def invite(
    settings: Settings, *, role: Role, cameras: Sequence[str], name: str, lasts: str, url: str, token_only: bool
) -> int:
    """Sign a token and print it with its links. Raises ConfigError and FatalError."""
    section = settings.server
    if section.is_private and not section.token.get_secret_value() and not url:
        raise FatalError(
            f"the server on {section.listen} is for this machine only and asks nobody for a token",
            remedy="set [server] public_url, or listen to an address of the network",
        )
    if role == "camera" and not cameras:
        raise FatalError("a camera's token needs the camera's name", remedy="add --camera NAME")
    state_dir = server_state_dir(settings)
    if not keyring.keyring(section, state_dir):
        keyring.add_key(state_dir)
    key = keyring.keyring(section, state_dir)[0]
    rights = Rights(role, tuple(cameras) or ("*",), name[:80], signed.new_id(), time.time() + _seconds(lasts or USUAL_TIME[role]))
    token = _sign(rights, key)
    add_invite(state_dir, Invite.of(rights))
    base = (url or section.public_url or urls_of(section.address, None, "", scheme="https" if section.tls_key else "http")[0]).rstrip("/")
    print(token if token_only else _shown(rights, token, base))
    return 0


def server_state_dir(settings: Settings) -> Path:
    """Where the server keeps its keys: a client on the same machine may have other variables than the service."""
    own = state_dir_of(settings)
    if settings.state_dir is not None or os.environ.get("STATE_DIRECTORY"):
        return own
    service = (path for path in SERVER_STATE_DIRS if (path / keyring.FILE).exists())
    return next(service, own)


def list_invites(settings: Settings) -> int:
    """Print what was given out and has not ended."""
    now = time.time()
    rows = [each for each in read_invites(server_state_dir(settings)).values() if each.expires > now]
    for each in rows:
        left = "revoked" if each.revoked else f"{_spoken(each.expires - now)} left"
        print(f"{each.id}  {each.role or 'signed elsewhere':7} {','.join(each.cameras) or '-':20} {left:14} {each.name}".rstrip())
    if not rows:
        print("no invites are out")
    return 0


def revoke(settings: Settings, token_id: str) -> int:
    """Take a token back. Raises ConfigError."""
    known = revoke_invite(server_state_dir(settings), token_id)
    who = f"{known.role}, {known.name or 'no name'}" if known else "signed elsewhere"
    print(f"token {token_id} ({who}) opens nothing any more")
    return 0


def new_key(settings: Settings) -> int:
    """Sign with a new key from now on. Raises ConfigError."""
    if settings.server.signing_keys:
        raise ConfigError("the keys are configured", remedy="put a new one first into [server] signing_keys and restart the server")
    keyring.add_key(server_state_dir(settings))
    print(f"tokens are signed with a new key; the {keyring.KEPT - 1} keys before stay good")
    return 0


def _seconds(text: str) -> float:
    value = parse_duration(text)
    if not isinstance(value, float) or not 0 < value <= LONGEST:
        raise FatalError(f"--for {text}: that is no time", remedy="write for example 90m, 24h or 30d; 3650d is the longest")
    return value


def _sign(rights: Rights, key: signed.Key) -> str:
    try:
        token = signed.sign(rights, key)
    except ValueError as error:
        raise FatalError(str(error)) from None
    judged = signed.judge(token, [key], time.time())
    if not isinstance(judged, Rights):  # a name that no camera can have
        message = getattr(judged, "message", "that token would be unusable")
        raise FatalError(message, remedy="camera names are letters, digits, . _ - and * ? as wildcards")
    return token


def _shown(rights: Rights, token: str, base: str) -> str:
    only = rights.cameras[0] if len(rights.cameras) == 1 and not set("*?") & set(rights.cameras[0]) else ""
    query = f"token={quote(token, safe='')}"
    path = f"/send?camera={only}&{query}" if rights.role == "camera" else f"/view/{only}?{query}" if only else f"/?{query}"
    assert rights.expires is not None
    ends = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(rights.expires))
    lines = [f"{base}{path}", ""]
    if rights.role == "camera":
        text = "That link makes a phone the camera. For edgecam on another machine:"
        lines[1:] = ["", text, "", *_configuration(rights, token, base), ""]
    name = f" for {rights.name}" if rights.name else ""
    which = ", ".join(rights.cameras) if rights.cameras != ("*",) else "every camera"
    ended = f"edgecam invite --revoke {rights.token_id}"
    lines.append(f"{rights.role} of {which}{name}, until {ends}; to end it sooner: {ended}")
    return "\n".join(lines)


def _configuration(rights: Rights, token: str, base: str) -> list[str]:
    parts = urlsplit(base)
    scheme = "wss" if parts.scheme == "https" else "ws"
    plain = all(not set("*?") & set(camera) for camera in rights.cameras)
    cameras = [f"    cameras = {json.dumps(rights.cameras)}"] if plain else []
    return ["    [signaling.home]", *cameras, f'    url = "{scheme}://{parts.netloc}{parts.path}/ws"', f'    token = "{token}"']


def _spoken(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
