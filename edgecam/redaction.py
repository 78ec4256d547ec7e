"""What must never reach a log, an error, a page or a metric, and how it is masked.

Three nets, because each has holes: keys that look secret, text that carries a secret in a known form (URLs,
Authorization, SDP), and the very values that were registered as secrets.
"""

from __future__ import annotations

import json
import re
from pathlib import PurePath
from urllib.parse import quote

from pydantic import SecretBytes, SecretStr

MASK = "********"

SECRET_KEY = re.compile(r"token|credential|passw|secret|authorization|cookie|ice[-_]?pwd", re.IGNORECASE)

_IN_TEXT = (
    # Query and fragment: invites and the status page carry their secret there, other services' addresses under many names.
    re.compile(
        r"(?P<keep>[?&#;](?:[\w.-]{0,30}(?:token|secret|passw|pwd|passphrase|credential|signature|loginpas)[\w.-]{0,30}"
        r"|(?:[\w.-]{0,30}[_.-])?(?:api)?key|[\w.-]{0,30}auth|sig|invite|jwt|pass|pin)=)[^&#;\s\"'<>]+", re.IGNORECASE
    ),
    re.compile(r"(?P<keep>\b(?:bearer|basic)\s+)[\w.~+/=-]{6,}", re.IGNORECASE),
    re.compile(r"(?P<keep>\ba=ice-pwd:)\S+", re.IGNORECASE),
    # The user before a password may be read; alone it is a token as often as a name. Up to the last @, which a password may have.
    re.compile(r"(?P<keep>\b[a-z][a-z0-9+.-]{0,20}://(?:[^\s:/?#@\"'<>]*:(?=[^\s/?#\"'<>]*@))?)[^\s/?#\"'<>]+(?=@)", re.IGNORECASE),
    re.compile(r"(?P<keep>\b(?:turns?|stuns?):)[^\s/?#\"'<>]+(?=@)", re.IGNORECASE),
)

# A shorter one would mask ordinary words ("demo"), and so give itself away.
SHORTEST_REGISTERED = 8

# Names, numbers, addresses: each of the patterns needs a character that is not among these.
_PLAIN = re.compile(r"[\w.@/-]*")

_registered: set[str] = set()


def register_secret(value: str | SecretStr) -> None:
    """Mask `value` wherever it turns up in text from now on, also as URLs and JSON write it, and each line of several. What is
    shorter than 8 characters is ignored."""
    plain = value.get_secret_value() if isinstance(value, SecretStr) else value
    for part in (plain, *plain.splitlines()):
        if len(part.strip()) >= SHORTEST_REGISTERED:
            _registered.update((part, quote(part, safe=""), json.dumps(part)[1:-1]))


def mask_text(text: str) -> str:
    """`text` with every secret that can be recognised in it replaced by asterisks."""
    for secret in sorted(_registered, key=len, reverse=True):
        if secret in text:
            text = text.replace(secret, MASK)
    if _PLAIN.fullmatch(text):
        return text
    for pattern in _IN_TEXT:
        text = pattern.sub(rf"\g<keep>{MASK}", text)
    return text


def mask(key: str, value: object) -> object:
    """`value`, logged under `key`, fit to be seen: containers are walked, foreign objects become masked text."""
    if isinstance(value, SecretStr | SecretBytes):
        return MASK if value.get_secret_value() else ""
    if value is None or isinstance(value, bool | int | float):
        return value if not SECRET_KEY.search(key) or isinstance(value, bool) or value is None else MASK
    if SECRET_KEY.search(key):
        return MASK if value else ""
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, dict):
        return {mask_text(str(name)): mask(str(name), inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [mask("", inner) for inner in value]
    return mask_text(str(value) if isinstance(value, BaseException | PurePath) else repr(value))
