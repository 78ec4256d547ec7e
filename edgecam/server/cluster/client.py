"""redis-py as it is needed here: no retries, errors without secrets, and cancellation that is not lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from edgecam.errors import ConfigError, RetryableError

if TYPE_CHECKING:
    from redis.asyncio import Redis

REPLY_TIMEOUT = 3.0  # seconds that Redis may take for a reply


class LineError(RetryableError):
    """Redis cannot be used; codes: redis-unreachable, redis-refused, redis-lost."""

    code = "redis-lost"


def raise_first(replies: Iterable[object]) -> None:
    """Raise the first error among replies; redis-py would add the command to it, and with it what somebody says."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply


def cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def heed_cancellation() -> None:
    """Raise the CancelledError that redis-py has swallowed, which it does when it comes while it connects."""
    if cancelled():
        raise asyncio.CancelledError


@contextlib.contextmanager
def heeding_cancellation() -> Iterator[None]:
    """Leave with CancelledError once cancelled, whatever else has gone wrong at the same moment."""
    try:
        yield
    except BaseException:
        heed_cancellation()
        raise


async def reply_to(reply: Any) -> Any:
    """redis-py's types say that a reply may have come already."""
    return await reply


def connect(url: str) -> Redis:
    """A client that is not connected yet, and that neither retries nor reconnects by itself: both lose messages, which
    has to be known. Raises ConfigError when the library is missing or the address is none."""
    try:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError:
        raise ConfigError(
            "[server] redis needs the Python package redis", remedy="apt install python3-redis, or pip install 'redis>=5'"
        ) from None
    try:
        return Redis.from_url(
            url,
            socket_timeout=REPLY_TIMEOUT,
            socket_connect_timeout=REPLY_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
            retry_on_timeout=False,
            health_check_interval=0,
        )
    except (ValueError, TypeError):
        raise ConfigError(
            "[server] redis is no address of a Redis server", remedy="write redis://[:PASSWORD@]HOST:PORT, or rediss:// for TLS"
        ) from None


@contextlib.contextmanager
def as_line_errors() -> Iterator[None]:
    """redis-py's errors, alone or grouped, as one LineError without what may be secret."""
    from redis import exceptions

    try:
        yield
    except* (exceptions.AuthenticationError, exceptions.NoPermissionError, exceptions.ResponseError) as group:
        raise LineError(
            f"Redis refuses this server: {_first(group)}", remedy="check [server] redis and Redis's own settings", code="redis-refused"
        ) from None
    except* (exceptions.RedisError, OSError, TimeoutError) as group:
        raise LineError(
            f"cannot use Redis: {_first(group)}", remedy="local cameras and viewers go on; it is tried again by itself",
            code="redis-unreachable",
        ) from None  # fmt: skip


def _first(group: BaseExceptionGroup[BaseException]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)[:200] or type(error).__name__
