"""Logging in at a server that wants to know who comes: `POST {email, password}`, and the token that comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import aiohttp
from pydantic import SecretStr
from yarl import URL

from edgecam.errors import SignalingError
from edgecam.signaling.reasons import endpoint, unreachable

LOGIN_TIMEOUT = 15.0  # seconds
MAX_REPLY = 64 * 1024  # bytes
_NAMES = ("access_token", "accessToken", "token")  # what servers call it


class WrongPasswordError(SignalingError):
    """The server does not know this address and password. Trying often does not help, and locks accounts."""

    code = "signaling-auth"


class Account:
    """An e-mail address and password at the server of `[signaling.SECTION]`, and the token they gave as long as it is good."""

    def __init__(self, section: str, url: str, email: str, password: SecretStr) -> None:
        self._section = section
        self._url = url
        self._email = email
        self._password = password
        self._token: str | None = None

    async def token(self) -> str:
        """The token; logs in when there is none. Empty where the server gives none. Raises SignalingError."""
        if self._token is None:
            self._token = await self._log_in()
        return self._token

    def forget(self) -> None:
        """The token is good no more."""
        self._token = None

    async def _log_in(self) -> str:
        body = {"email": self._email, "password": self._password.get_secret_value()}
        try:
            async with asyncio.timeout(LOGIN_TIMEOUT):
                async with aiohttp.ClientSession() as http:
                    # A redirect would take the password somewhere else.
                    async with http.post(URL(self._url), json=body, allow_redirects=False) as response:
                        return self._token_in(response.status, await _json(response))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise unreachable(error, self._url, self._section) from error

    def _token_in(self, status: int, reply: Mapping[str, Any]) -> str:
        where, section = endpoint(self._url), f"[signaling.{self._section}]"
        if status in {401, 403}:
            raise WrongPasswordError(
                f"{where} does not accept the password of {self._email}", remedy=f"correct email and password in {section}"
            )
        if status == 429 or status >= 500:
            raise SignalingError(f"{where} cannot log anybody in now (HTTP {status})", remedy="it is tried again by itself")
        if status >= 300:
            raise SignalingError(
                f"{where} does not take a login (HTTP {status})",
                remedy=f"correct url or login_path in {section}",
                code="signaling-refused",
            )
        return next((value for name in _NAMES if isinstance(value := reply.get(name), str)), "")


async def _json(response: aiohttp.ClientResponse) -> Mapping[str, Any]:
    """The object in a reply; empty for anything else."""
    text = bytearray()
    async for chunk in response.content.iter_any():
        text += chunk
        if len(text) > MAX_REPLY:
            return {}
    with suppress(ValueError, RecursionError):
        body = json.loads(text)
        if isinstance(body, dict):
            return body
    return {}
