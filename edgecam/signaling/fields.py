"""Reading the fields that signaling messages of several dialects share, out of untrusted JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

import structlog
from pydantic import ValidationError

from edgecam.peers import Candidate
from edgecam.settings import ICE_URL, IceServer

log = structlog.get_logger(__name__)

MAX_MESSAGE_BYTES = 256 * 1024
MAX_SDP_BYTES = 128 * 1024
MAX_CANDIDATE_BYTES = 2 * 1024
MAX_ICE_SERVERS = 16
MAX_SECRET_CHARS = 512
MAX_WARNINGS = 20  # of a process, about addresses of ICE servers

_IDENTIFIER = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ICE_URL = re.compile(ICE_URL)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")

_warned: set[str] = set()


class WireError(ValueError):
    """A message that cannot be read; its text is one line that may be sent back."""


def parse_object(text: str) -> dict[str, object]:
    """The JSON object (RFC 8259) in a text frame. Raises WireError."""
    if len(text) > MAX_MESSAGE_BYTES or (not text.isascii() and len(_octets(text)) > MAX_MESSAGE_BYTES):
        raise WireError(f"a message may have {MAX_MESSAGE_BYTES} bytes at most")
    try:
        body = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise WireError("a message must be JSON") from error
    if not isinstance(body, dict):
        raise WireError("a message must be a JSON object")
    return body


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def identifier(body: Mapping[str, object], name: str) -> str:
    """An id of up to 64 characters A-Z a-z 0-9 . _ -; empty when absent or null. Raises WireError."""
    value = body.get(name)
    if value is None or value == "":
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        value = str(value)  # some servers number their peers
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
        raise WireError(f"{name} must be 1 to 64 characters A-Z a-z 0-9 . _ -")
    return value


def line(body: Mapping[str, object], name: str, *, limit: int) -> str:
    """Text for people: control characters become spaces, the length is bounded; empty if no text."""
    value = body.get(name)
    return _CONTROLS.sub(" ", value[: limit * 2]).strip()[:limit] if isinstance(value, str) else ""


def secret(body: Mapping[str, object], name: str) -> str:
    """A token; empty when absent. Raises WireError, which does not repeat it."""
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_SECRET_CHARS:
        raise WireError(f"{name} must be a string of up to {MAX_SECRET_CHARS} characters")
    _octets(value)
    return value


def flag(body: Mapping[str, object], name: str) -> bool:
    """True only for JSON's true."""
    return body.get(name) is True


def sdp(body: Mapping[str, object]) -> str:
    """`sdp` as a string or as `{type, sdp}`. Raises WireError."""
    value = body.get("sdp")
    if isinstance(value, dict):
        value = value.get("sdp")
    if not isinstance(value, str) or not value.strip():
        raise WireError("sdp must be a session description")
    if len(_octets(value)) > MAX_SDP_BYTES:
        raise WireError(f"sdp may have {MAX_SDP_BYTES} bytes at most")
    if "\0" in value:
        raise WireError("sdp must not hold NUL")
    return value


def candidate(body: Mapping[str, object]) -> Candidate | None:
    """`candidate` as a string or an object; None for null, absent or empty: the end. Raises WireError."""
    value = body.get("candidate")
    around: Mapping[str, object] = body
    if isinstance(value, dict):
        around, value = value, value.get("candidate")
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(_octets(value)) > MAX_CANDIDATE_BYTES or _CONTROLS.search(value.strip()):
        raise WireError(f"candidate must be one line of up to {MAX_CANDIDATE_BYTES} bytes")
    text = value.strip()
    if not text:
        return None
    return Candidate(text, _mid(around.get("sdpMid")), _index(around.get("sdpMLineIndex")))


def _mid(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1000:
        value = str(value)
    return value if isinstance(value, str) and len(value) <= 64 and not _CONTROLS.search(value) else None


def _index(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1000 else None


def ice_servers_from(config: object) -> tuple[IceServer, ...]:
    """The usable entries of `{iceServers: [...]}`, or of the bare list; never raises."""
    entries = config.get("iceServers") if isinstance(config, dict) else config
    if not isinstance(entries, list):
        return ()
    servers = (_ice_server(entry) for entry in entries[:MAX_ICE_SERVERS] if isinstance(entry, dict))
    return tuple(server for server in servers if server is not None)


def _ice_server(entry: Mapping[str, object]) -> IceServer | None:
    urls = entry.get("urls", entry.get("url"))
    listed = urls if isinstance(urls, list) else [urls]
    texts = [url for url in listed[:MAX_ICE_SERVERS] if isinstance(url, str)]
    usable = [url for url in texts if _ICE_URL.fullmatch(url)]
    for url in texts:
        if url not in usable:
            _warn_once(url[:100])
    if not usable:
        return None
    username, credential = entry.get("username") or "", entry.get("credential") or ""
    try:
        return IceServer.model_validate({"urls": usable, "username": username, "credential": credential})
    except ValidationError:
        return None  # a TURN server without credentials, or ones that are no text


def _warn_once(url: str) -> None:
    """Servers hand the same list out again and again; what strangers make up may not fill the log either."""
    if url not in _warned and len(_warned) < MAX_WARNINGS:
        _warned.add(url)
        hint = "stun:HOST:PORT or turn:HOST:PORT?transport=udp, the host by name or IPv4 address"
        log.warning("ice-server.ignored", url=url, reason="not an address that can be used", hint=hint)


def ice_servers_to(servers: Iterable[IceServer]) -> dict[str, object]:
    """`{iceServers: [...]}` as RTCConfiguration takes it."""
    listed: list[dict[str, object]] = []
    for server in servers:
        entry: dict[str, object] = {"urls": list(server.urls)}
        if server.username:
            entry |= {"username": server.username, "credential": server.credential.get_secret_value()}
        listed.append(entry)
    return {"iceServers": listed}


def _octets(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise WireError("a message must be valid Unicode") from error
