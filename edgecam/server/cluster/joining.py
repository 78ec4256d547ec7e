"""Joining a server to the others that its settings name."""

from __future__ import annotations

import socket
from collections.abc import Callable, Coroutine
from functools import partial

from edgecam.health import HealthBoard
from edgecam.server.cluster.client import connect
from edgecam.server.cluster.line import RedisLine
from edgecam.server.hub import Hub
from edgecam.settings import ServerSettings
from edgecam.supervisor import Backoff, supervise

Job = tuple[str, Callable[[], Coroutine[object, object, None]]]

BACKOFF = Backoff(first=0.3, cap=4.0, reset_after=30.0)  # seconds; short, as Redis is near


def cluster_jobs(settings: ServerSettings, hub: Hub, board: HealthBoard) -> list[Job]:
    """What keeps `hub` joined to the other instances, for `background`: nothing for a server that stands alone.

    Raises ConfigError when Redis is configured and cannot be used here.
    """
    url = settings.redis.get_secret_value()
    if not url:
        return []
    connect(url)
    component = board.component("cluster")
    line = RedisLine(hub, url, settings.redis_prefix, settings.instance or socket.gethostname(), component)
    return [("server.cluster", partial(supervise, line.run, component, BACKOFF)), ("server.cluster.watch", line.watch)]
