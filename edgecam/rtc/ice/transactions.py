"""STUN requests that are repeated until they are answered (RFC 8489 section 6.2.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgecam.rtc.ice.stun import Address, Kind, Message


class StunError(Exception):
    """A request had no success. `code` is the server's ERROR-CODE, 0 when it stayed silent."""

    def __init__(self, code: int, reason: str, response: Message | None = None) -> None:
        super().__init__(f"{code} {reason}" if code else reason)
        self.code = code
        self.reason = reason
        self.response = response


@dataclass(frozen=True, slots=True)
class Reply:
    """A success response, where it came from, and the seconds since the request was sent first."""

    message: Message
    source: Address
    seconds: float


@dataclass(slots=True)
class _Pending:
    answered: asyncio.Future[tuple[Message, Address]]
    key: bytes | None


class Transactions:
    """What has been asked over one socket and not been answered yet."""

    def __init__(self, send: Callable[[bytes, Address], None]) -> None:
        self._send = send
        self._pending: dict[bytes, _Pending] = {}

    async def request(self, message: Message, to: Address, key: bytes | None, waits: Sequence[float]) -> Reply:
        """Send `message` signed with `key`, again after each but the last of `waits` (seconds). Raises StunError.

        A success must be signed with the same key. An error need not be: a server that does not know us cannot sign."""
        loop = asyncio.get_running_loop()
        data, begun = message.encode(key), loop.time()
        pending = self._pending[message.transaction] = _Pending(loop.create_future(), key)
        try:
            for wait in waits:
                self._send(data, to)
                await asyncio.wait([pending.answered], timeout=wait)
                if pending.answered.done():
                    break
            else:
                raise StunError(0, "no answer")
            response, source = pending.answered.result()
        finally:
            del self._pending[message.transaction]
        if response.kind == Kind.ERROR:
            raise StunError(*response.error, response)
        return Reply(response, source, loop.time() - begun)

    def take(self, message: Message, source: Address) -> None:
        """A response has come; what nobody waits for is dropped."""
        pending = self._pending.get(message.transaction)
        if pending is None or pending.answered.done():
            return
        if message.kind == Kind.SUCCESS and pending.key is not None and not message.is_signed_with(pending.key):
            return
        pending.answered.set_result((message, source))
