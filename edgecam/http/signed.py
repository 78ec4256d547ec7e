"""Tokens that carry their holder's rights, signed: JSON Web Tokens (RFC 7519) with HMAC-SHA256 and nothing else.

Any library for JWT can make them, given the key: a web site may let its own users in. What is read here is strict:
one algorithm, no `crit`, a signature in its one canonical spelling, an expiry that is always there.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from edgecam.http.rights import Denied, Rights

MAX_CHARS = 512  # what a `register` message may carry
SHORTEST_KEY = 32  # characters; a shorter one could be found by trying, given one token
CLOCK_LEEWAY = 60.0  # seconds by which another machine's clock may be ahead of ours (`nbf`)
MAX_PATTERNS = 32

_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}")
_PATTERN = re.compile(r"[A-Za-z0-9._*?-]{1,64}")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ROLES = ("admin", "camera", "viewer")
_WRONG = Denied("that token is wrong", "token-wrong")


@dataclass(frozen=True, slots=True)
class Key:
    """A secret to sign with. `id` tells keys apart in the token's header, and gives nothing away."""

    secret: bytes = field(repr=False)

    @property
    def id(self) -> str:
        return hashlib.sha256(b"edgecam key id" + self.secret).hexdigest()[:8]

    @classmethod
    def of(cls, text: str) -> Key:
        return cls(text.encode())


def new_id() -> str:
    """A token's id: what the audit log names it by, and what revokes it."""
    return secrets.token_hex(4)


def sign(rights: Rights, key: Key) -> str:
    """The token for `rights`, which must have an expiry. Raises ValueError when it would be too long to be sent."""
    if rights.expires is None:
        raise ValueError("a signed token needs an expiry")
    header = {"alg": "HS256", "typ": "JWT", "kid": key.id}
    claims: dict[str, object] = {"role": rights.role, "cameras": list(rights.cameras), "exp": round(rights.expires)}
    claims |= {"jti": rights.token_id} if rights.token_id else {}
    claims |= {"sub": rights.name} if rights.name else {}
    signed = f"{_encoded(_compact(header))}.{_encoded(_compact(claims))}"
    token = f"{signed}.{_signature(signed, key)}"
    if len(token) > MAX_CHARS:
        raise ValueError(f"the token would have {len(token)} characters, {MAX_CHARS} are the most; name fewer cameras")
    return token


def judge(token: str, keys: Sequence[Key], now: float) -> Rights | Denied | None:
    """What a token entitles to at Unix time `now`; None when it is not of this form at all. Never raises."""
    if len(token) > MAX_CHARS or not _FORM.fullmatch(token):
        return None
    signed, _, signature = token.rpartition(".")
    header, claims = (_object(part) for part in signed.split("."))
    if header is None or header.get("alg") != "HS256" or "crit" in header:
        return _WRONG
    # Without a key id (another library's token) every key is tried.
    tried = [key for key in keys if header.get("kid") in (None, key.id)]
    if not any(hmac.compare_digest(signature, _signature(signed, key)) for key in tried):
        return _WRONG
    return _rights(claims, now) if claims is not None else _WRONG


def _rights(claims: dict[str, object], now: float) -> Rights | Denied:
    """The rights that genuine claims express."""
    expires, begins = claims.get("exp"), claims.get("nbf", 0)
    role, cameras, token_id, name = (claims.get(each) for each in ("role", "cameras", "jti", "sub"))
    if not _is_number(expires) or not _is_number(begins):
        return Denied("that token has no expiry (exp) that can be read", "token-wrong")
    if role not in _ROLES or not isinstance(cameras, list) or not 0 < len(cameras) <= MAX_PATTERNS:
        return Denied(f"that token needs a role ({', '.join(_ROLES)}) and a list of cameras", "token-wrong")
    if not all(isinstance(each, str) and _PATTERN.fullmatch(each) for each in cameras):
        return Denied("that token names cameras that cannot be", "token-wrong")
    if token_id is not None and not (isinstance(token_id, str) and _ID.fullmatch(token_id)):
        return Denied("that token has an id (jti) that cannot be read", "token-wrong")
    assert isinstance(expires, int | float)
    assert isinstance(begins, int | float)
    if now >= expires:
        return Denied("that token has expired", "token-expired")
    if begins > now + CLOCK_LEEWAY:
        return Denied("that token is not good yet", "token-wrong")
    shown = "".join(c for c in name if c.isprintable())[:80] if isinstance(name, str) else ""
    return Rights(role, tuple(cameras), shown, token_id or "", float(expires))  # type: ignore[arg-type]  # role is one of _ROLES


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _object(part: str) -> dict[str, object] | None:
    try:
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)), parse_constant=_refuse)
    except (ValueError, binascii.Error, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _signature(signed: str, key: Key) -> str:
    return _encoded(hmac.new(key.secret, signed.encode(), hashlib.sha256).digest())
