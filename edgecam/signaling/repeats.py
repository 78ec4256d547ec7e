"""Messages that a server delivers two or three times, because somebody has as many sockets."""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from typing import Any

WITHIN = 1.0  # seconds; what is said again later is meant
MAX_REMEMBERED = 512


class Repeats:
    """What has come a moment ago."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, float] = OrderedDict()  # digest of a message to when it came, CLOCK_MONOTONIC

    def is_repeat(self, event: str, body: Any) -> bool:
        """Whether the very same message has come a moment ago; it is remembered."""
        text = json.dumps([event, body], sort_keys=True, default=str)
        digest, now = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest(), time.monotonic()
        before = self._seen.pop(digest, None)
        self._seen[digest] = now
        if len(self._seen) > MAX_REMEMBERED:
            self._seen.popitem(last=False)
        return before is not None and now - before < WITHIN
