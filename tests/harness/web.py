"""Plain HTTP with nothing added: a test chooses every header, Host and Origin included."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole response; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def request(
    port: int,
    method: str,
    path: str,
    body: bytes | str | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    host: str = "127.0.0.1",
    timeout: float = 15.0,
) -> Reply:
    """One request on a connection of its own. Raises OSError when nobody answers."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request(method, path, body, dict(headers or {}))
        with connection.getresponse() as response:
            received = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, received, response.read())
    finally:
        connection.close()
