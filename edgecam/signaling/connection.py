"""A WebSocket to a signaling server: opened within a time limit, read as text, closed within another."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress

import aiohttp

from edgecam.errors import SignalingError
from edgecam.signaling.fields import MAX_MESSAGE_BYTES
from edgecam.signaling.reasons import endpoint, unreachable

CONNECT_TIMEOUT = 10.0  # seconds for DNS, TCP, TLS and the upgrade together
CLOSE_TIMEOUT = 0.8  # seconds that the closing handshake may take: stopping takes no more than one
MAX_TOLD = 20  # different errors of the server that are logged per connection


class Connection:
    """An open socket to a signaling server."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self._ws = ws
        self._told: set[str] = set()

    async def texts(self) -> AsyncIterator[str]:
        """Text frames until the connection ends; some servers send their text in binary frames."""
        while (message := await self._received()) is not None:
            if message.type is aiohttp.WSMsgType.TEXT:
                yield message.data
            elif message.type is aiohttp.WSMsgType.BINARY:
                with suppress(UnicodeDecodeError):
                    yield message.data.decode()

    async def _received(self) -> aiohttp.WSMessage | None:
        """The next frame, None at the end of the connection."""
        try:
            message = await self._ws.receive()
        except (ConnectionError, aiohttp.ClientError):
            return None  # a ping was waiting, and the pong can go nowhere any more
        over = message.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED}
        return None if over else message

    async def send(self, text: str) -> None:
        """Send a text frame. Raises SignalingError when the connection is gone."""
        try:
            await self._ws.send_str(text)
        except (ConnectionError, aiohttp.ClientError) as error:
            raise SignalingError("the connection to the signaling server broke", code="signaling-lost") from error

    def is_news(self, message: str) -> bool:
        """Whether an error of the server has not been logged on this connection."""
        if message in self._told or len(self._told) >= MAX_TOLD:
            return False
        self._told.add(message)
        return True

    def addresses_gone(self, addresses: Collection[str]) -> None:
        """The machine has lost these addresses: a connection from one of them is dead, which TCP would find out much later."""
        name = self._ws.get_extra_info("sockname")
        if name and str(name[0]).partition("%")[0] in addresses:
            with suppress(OSError):
                self._ws.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    @property
    def close_code(self) -> int | None:
        """With what it was closed (RFC 6455 section 7.4), None while it is open or when it broke."""
        return self._ws.close_code

    def lost(self, url: str) -> SignalingError:
        """The SignalingError for a connection that has ended."""
        code, error = self._ws.close_code, self._ws.exception()
        why = f" ({error or type(error).__name__})" if error is not None else f" (code {code})" if code else ""
        return SignalingError(
            f"the signaling server {endpoint(url)} closed the connection{why}",
            remedy="it is reconnected by itself; viewers keep their picture",
            code="signaling-lost",
        )


@asynccontextmanager
async def connected(
    session: aiohttp.ClientSession, url: str, section: str, headers: Mapping[str, str], heartbeat: float
) -> AsyncIterator[Connection]:
    """A connection to `url`, closed at the end. `heartbeat`: seconds between pings; half of it later a silent server is left.
    Raises SignalingError, caused by what aiohttp raised, when it does not come about."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            ws = await session.ws_connect(
                url,
                headers=headers,
                heartbeat=heartbeat,
                max_msg_size=MAX_MESSAGE_BYTES + 1,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT),
            )
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise unreachable(error, url, section) from error
    try:
        yield Connection(ws)
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await ws.close()
