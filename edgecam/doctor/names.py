"""Host names, resolved under a time limit: a resolver without a DNS server may take half a minute to give up."""

from __future__ import annotations

import asyncio
import ipaddress
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

RESOLVE_TIMEOUT = 5.0  # seconds


class _Unawaited(ThreadPoolExecutor):
    """Threads that the end of the process does not wait for."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def work() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - the future carries it to whoever waits
                future.set_exception(error)

        threading.Thread(target=work, name="doctor resolver", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing to wait for."""


def leave_resolvers_behind() -> None:
    """Have this loop's resolver threads not hold up the end of the program."""
    asyncio.get_running_loop().set_default_executor(_Unawaited())


async def resolves(host: str) -> bool:
    """Whether the name has an address, told within RESOLVE_TIMEOUT. Addresses have themselves."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        pass
    else:
        return True
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT):
            await asyncio.get_running_loop().getaddrinfo(host, None)
    except (OSError, UnicodeError):  # TimeoutError is an OSError
        return False
    return True
