"""A daemon whose configuration is changed while it runs, and a viewer who looks closely meanwhile."""

from __future__ import annotations

import signal
import tomllib
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.harness.daemons import Daemon, toml
from tests.harness.waiting import until
from tests.harness.web import Reply, request
from tests.peers.background import Watching

WITHIN = 15.0  # seconds; two cores may be busy


def merged(table: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """`table` with the change laid over it; None takes a key away."""
    result = dict(table)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            result[key] = merged(result.get(key, {}), value)
        else:
            result[key] = value
    return result


class Reloadable(Daemon):
    """`token`: what this client shows. `more` is TOML that stands at the end of the file."""

    def __init__(self, config: Mapping[str, Any], state_dir: Path, **options: Any) -> None:
        super().__init__(config, state_dir, **options)
        self.token = ""
        self.more = ""

    def request(
        self, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        shown = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return request(self.port, method, path, body, {**shown, **(headers or {})})

    def rewrite(self, change: Mapping[str, Any]) -> None:
        """Change the file; nobody is told."""
        written = self.file.read_text().removesuffix(self.more)
        self.file.write_text(toml(merged(tomllib.loads(written), change)) + self.more)

    @property
    def configuration(self) -> dict[str, Any]:
        found = self.status()["configuration"]
        assert isinstance(found, dict)
        return found

    def hang_up(self) -> None:
        """SIGHUP, as `systemctl reload` sends it."""
        self.signal(signal.SIGHUP)

    def reload(self, change: Mapping[str, Any], *, token: str | None = None) -> list[str]:
        """Change the file, have it applied; what the daemon says it has changed. `token`: what is to be shown from then on."""
        before = len(self.logged("config.reloaded"))
        self.rewrite(change)
        self.hang_up()
        until(
            lambda: len(self.logged("config.reloaded")) > before,
            within=WITHIN,
            what=f"reload with {change}",
            explain=lambda: self.lines[-5:],
        )
        self.token = self.token if token is None else token
        reloads = len(self.logged("config.reloaded"))
        until(lambda: self.configuration["reloads"] >= reloads, within=WITHIN, what="the reload done")
        changes = self.logged("config.reloaded")[-1]["changes"]
        assert isinstance(changes, list)
        return changes

    def refuse(self, text: str) -> dict[str, Any]:
        """Have a file that says `text` refused; the configuration of the status."""
        refused = self.configuration["refused"]
        self.file.write_text(text)
        self.hang_up()
        until(lambda: self.configuration["refused"] > refused, within=WITHIN, what="the file refused")
        return self.configuration


class Follower(Watching):
    """Watches a camera, and notes each RTP packet's number."""

    def __enter__(self) -> Follower:
        super().__enter__()
        assert self._viewer is not None
        assert self._loop is not None
        self.numbers: dict[int, list[int]] = {}  # by SSRC, in the order of arrival
        receiver = self._viewer.receiver
        forward = receiver._handle_rtp_packet

        async def note(packet: Any, arrival_time_ms: int) -> None:
            self.numbers.setdefault(packet.ssrc, []).append(packet.sequence_number)
            await forward(packet, arrival_time_ms=arrival_time_ms)

        receiver._handle_rtp_packet = note
        return self

    @property
    def picture_width(self) -> int:
        return self._viewer.width if self._viewer is not None else 0

    def assert_unbroken(self) -> None:
        """One stream on one connection, of which no packet is missing."""
        assert self.state == "connected"
        numbers = max(self.numbers.values(), key=len)
        assert len(self.numbers) <= 2, "another SSRC than that of retransmissions, which probes of the link have as well"
        seen = sorted({(number - numbers[0] + (1 << 15)) & 0xFFFF for number in list(numbers)})
        missing = [after for before, after in pairwise(seen) if after != before + 1]
        assert not missing, f"gaps before {missing[:5]} of {len(seen)} packets"
