"""The token of a listener: configured, not needed, or generated once and kept in a private file."""

from __future__ import annotations

import os
import re
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from edgecam.errors import ConfigError
from edgecam.settings import ListenerSettings, Settings

_TOKEN = re.compile(r"[\x21-\x7e]{16,256}")
MAX_FILE_BYTES = 4 * 1024 * 1024  # of a private file: the list of invites is the largest

# Where the packaged units have systemd keep them; the second is where the first leads to with DynamicUser.
SERVICE_STATE_DIRS = (Path("/var/lib/edgecam"), Path("/var/lib/private/edgecam"))
SERVER_STATE_DIRS = (Path("/var/lib/edgecam-server"), Path("/var/lib/private/edgecam-server"))


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """`token` is None where none is needed; `path` is the file of a generated one."""

    token: str | None = field(repr=False)
    generated: bool = False
    path: Path | None = None


def state_dir_of(settings: Settings) -> Path:
    """Where generated tokens are kept: `state_dir`, systemd's $STATE_DIRECTORY, or XDG's state directory."""
    if settings.state_dir is not None:
        return settings.state_dir
    given = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    return _xdg_state_dir()


def _xdg_state_dir() -> Path:
    xdg = os.environ.get("XDG_STATE_HOME", "")
    base = Path(xdg) if xdg.startswith("/") else Path.home() / ".local" / "state"
    return base / "edgecam"


def listener_token(settings: ListenerSettings, state_dir: Path, name: str) -> TokenInfo:
    """The token for `settings`: the configured one, none on loopback, else `state_dir/<name>-token`.

    The file has mode 0600 and is made on first use. Raises ConfigError when it cannot be used.
    """
    explicit = settings.token.get_secret_value()
    if explicit:
        return TokenInfo(explicit)
    if settings.is_private:
        return TokenInfo(None)
    path = state_dir / f"{name}-token"
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        token = read_private(path)
        if token is None:
            _create(path)
            token = read_private(path)
    except OSError as error:
        raise ConfigError(
            f"cannot keep a token in {path}: {error.strerror or error}",
            remedy=f"make {state_dir} writable for this user, set state_dir, or set [{name}] token",
        ) from error
    if token is None or not _TOKEN.fullmatch(token):
        raise ConfigError(f"{path} does not hold a token", remedy="delete the file; a new one will be made")
    return TokenInfo(token, generated=True, path=path)


def running_daemons_state_dirs(settings: Settings) -> tuple[Path, ...]:
    """Where the daemon of this machine, which may be somebody else than the caller, may keep its state; several where nothing says."""
    configured = settings.state_dir is not None or os.environ.get("STATE_DIRECTORY")
    own = state_dir_of(settings)
    return (own,) if configured else (*SERVICE_STATE_DIRS, own)


def running_daemons_token(settings: Settings) -> TokenInfo:
    """The token of the daemon's listener for a client on the same machine, which only ever reads.

    It may be somebody else than the daemon, with other variables: every place where one may have been kept is tried.
    Raises ConfigError when one is needed and there is none that this user can read.
    """
    explicit = settings.web.token.get_secret_value()
    if explicit:
        return TokenInfo(explicit)
    if settings.web.is_private:
        return TokenInfo(None)
    places = running_daemons_state_dirs(settings)
    for path in (place / "web-token" for place in places):
        try:
            token = read_private(path, tighten=False)
        except OSError as error:
            # No further place is tried: another daemon's token would be counted as a guess.
            raise ConfigError(f"cannot read the token in {path}: {error.strerror or error}", remedy=_AS_SERVICE) from None
        if token is not None and _TOKEN.fullmatch(token):
            return TokenInfo(token, generated=True, path=path)
    tried = ", ".join(map(str, places))
    raise ConfigError(f"no token of a running daemon found in {tried}", remedy=_AS_SERVICE)


_AS_SERVICE = "run this as root or as the service's user, or pass --set web.token=TOKEN"


def read_private(path: Path, *, tighten: bool = True) -> str | None:
    """The file's text, None when there is none. Its mode is tightened when others could read it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if tighten and stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077:
            os.fchmod(descriptor, 0o600)
        return file.read(MAX_FILE_BYTES).decode("utf-8", "replace").strip()


def write_private(path: Path, text: str) -> None:
    """Replace a file as a whole, mode 0600. Written by root, it belongs to whom its directory does: the service."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if os.geteuid() == 0:
                owner = path.parent.stat()
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _create(path: Path) -> None:
    """Write a new token to a file that is complete once it has its name; an existing one is left alone."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(24) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)  # unlike rename, never replaces what another process has just made
        except FileExistsError:
            return
    finally:
        temporary.unlink()
