"""ICE servers as HTTP Link headers (RFC 9725 section 4.6, RFC 8288)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from edgecam.settings import IceServer

_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


def ice_server_links(servers: Iterable[IceServer]) -> Iterator[str]:
    """One `<url>; rel="ice-server"` for each address; with `username`, `credential` and `credential-type` where it needs them."""
    for server in servers:
        parameters = ['rel="ice-server"']
        if server.username:
            credential = server.credential.get_secret_value()
            parameters += [f"username={_quoted(server.username)}", f"credential={_quoted(credential)}", 'credential-type="password"']
        for url in server.urls:
            yield "; ".join([f"<{url}>", *parameters])


def _quoted(text: str) -> str:
    """A quoted-string (RFC 9110 section 5.6.4)."""
    return '"' + re.sub(r'(["\\])', r"\\\1", _CONTROLS.sub("", text)) + '"'
