"""Names that browsers put in the place of their addresses (draft-ietf-mmusic-mdns-ice-candidates), resolved with aioice."""

from __future__ import annotations

import asyncio
import re
import socket

from aioice.mdns import MDnsProtocol, create_mdns_protocol

RESOLVE_TIMEOUT = 1.0  # seconds
_NAME = re.compile(r"[a-zA-Z0-9-]{1,63}\.local")
_open: dict[asyncio.AbstractEventLoop, tuple[asyncio.Task[MDnsProtocol], set[object]]] = {}


def is_mdns(host: str) -> bool:
    """Whether the address is a browser's anonymised `<uuid>.local`."""
    return _NAME.fullmatch(host) is not None


async def resolve(name: str) -> str | None:
    """Its IPv4 address, None when nobody on this network says."""
    loop = asyncio.get_running_loop()
    user = object()
    if loop not in _open:
        _open[loop] = (loop.create_task(create_mdns_protocol(), name="mdns"), set())
    opening, users = _open[loop]
    users.add(user)
    try:
        protocol = await asyncio.shield(opening)
        found = await protocol.resolve(name, timeout=RESOLVE_TIMEOUT)
        return str(found) if found is not None else None
    except (OSError, TimeoutError, socket.gaierror):
        return None
    finally:
        users.discard(user)
        if not users:
            _open.pop(loop, None)
            await _close(opening)


async def _close(opening: asyncio.Task[MDnsProtocol]) -> None:
    if not opening.done():
        opening.cancel()
    elif not opening.cancelled() and opening.exception() is None:
        await opening.result().close()
