"""The servers under load, each a process of its own, and what it uses."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.daemons import Server
from tests.harness.node import with_packages
from tests.harness.ports import free_port
from tests.harness.waiting import until

HERE = Path(__file__).parent
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Running:
    """A server's port and process."""

    name: str
    port: int
    pid: int

    @property
    def resident_kb(self) -> float:
        """Resident memory in kB (VmRSS)."""
        return self._kilobytes("status", "VmRSS:")

    @property
    def proportional_kb(self) -> float:
        """The same with shared pages counted in part (PSS)."""
        return self._kilobytes("smaps_rollup", "Pss:")

    @property
    def cpu_s(self) -> float:
        """Processor time so far, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def _kilobytes(self, file: str, name: str) -> float:
        for line in Path(f"/proc/{self.pid}/{file}").read_text().splitlines():
            if line.startswith(name):
                return float(line.split()[1])
        raise RuntimeError(f"no {name} of {self.name}")


@contextmanager
def edgecam(directory: Path, *, clients: int, host: str = "127.0.0.1", **settings: Any) -> Iterator[Running]:
    """`edgecam server` with room for so many, its audit log in a file."""
    section = {"max_cameras": clients, "max_viewers": clients, "audit_file": str(directory / "audit.jsonl"), **settings}
    config = {"server": section, "log": {"level": "warning", "format": "json"}}
    with Server(config, directory, host=host) as server:
        yield Running("edgecam server", server.port, server.pid)


@contextmanager
def node_relay() -> Iterator[Running]:
    """A plain relay on Node's `ws`: no checks, no limits, nothing but passing on."""
    port = free_port()
    with subprocess.Popen(["node", str(with_packages(HERE / "relay.mjs")), str(port)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            until(lambda: "listening" in process.stdout.readline(), within=20, what="the relay")  # type: ignore[union-attr]
            yield Running("Node ws relay", port, process.pid)
        finally:
            process.terminate()
