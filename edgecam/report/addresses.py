"""Public addresses leave a report as names: the same address has the same name throughout, and nobody is found by it."""

from __future__ import annotations

import ipaddress
import re

_V4 = r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)"
_V6 = r"(?<![\w:.])(?:[0-9a-fA-F]{1,4}:){1,7}(?::?[0-9a-fA-F]{1,4}){0,7}:{0,2}(?![\w:])"
_ADDRESS = re.compile(f"{_V4}|{_V6}")


class Pseudonyms:
    """Names for public addresses: `public-1`, `public-2`..., by order of appearance."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def applied(self, text: str) -> str:
        """`text` with every public IPv4 or IPv6 address replaced by its name; private ones stay, they tell how networks meet."""
        return _ADDRESS.sub(lambda match: self._name(match[0]), text)

    def _name(self, text: str) -> str:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return text  # a time, a version
        if not address.is_global:
            return text
        return self._names.setdefault(str(address), f"public-{len(self._names) + 1}")
