"""From the log into the ring: what is logged at `info` or above, redacted as everywhere, whatever [log] level shows."""

from __future__ import annotations

import json
import logging
import time

from edgecam.blackbox.ring import LONGEST_LINE, Ring

SAME_EVENT_PER_MINUTE = 60  # more of one kind would push out what else happened


class Recorder(logging.Handler):
    """Appends each record, formatted as one JSON object. More than SAME_EVENT_PER_MINUTE of one event are counted only.

    Never raises: logging must not break what it reports on.
    """

    def __init__(self, ring: Ring) -> None:
        super().__init__(logging.INFO)
        self._ring = ring
        self._minute = 0
        self._seen: dict[str, int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event = record.msg.get("event") if isinstance(record.msg, dict) else record.name
            if self._admits(str(event)):
                self._ring.append(_fitting(self.format(record)))
        except Exception:  # noqa: BLE001 - see above
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        pass

    def _admits(self, event: str) -> bool:
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            for name, count in self._seen.items():
                if count > SAME_EVENT_PER_MINUTE:
                    said = {"event": "blackbox.left-out", "of": name, "records": count - SAME_EVENT_PER_MINUTE}
                    self._ring.append(json.dumps(said))
            self._minute, self._seen = minute, {}
        count = self._seen[event] = self._seen.get(event, 0) + 1
        return count <= SAME_EVENT_PER_MINUTE


def _fitting(line: str) -> str:
    """A record that is still one JSON object when it is long: its longest texts are cut, the end of each kept."""
    if len(line.encode()) < LONGEST_LINE:
        return line
    event = json.loads(line)
    for share in (1500, 500, 100):
        cut = {key: _tail(value, share) for key, value in event.items()}
        short = json.dumps(cut, ensure_ascii=False)
        if len(short.encode()) < LONGEST_LINE:
            return short
    return json.dumps({key: event[key] for key in ("timestamp", "level", "event") if key in event} | {"cut": True})


def _tail(value: object, length: int) -> object:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return value if len(text) <= length else f"[cut] {text[-length:]}"
