"""A systemd unit inside a container, asked and waited for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.harness.waiting import until
from tests.machines.container import Container


@dataclass(frozen=True, slots=True)
class Unit:
    """`name` with its suffix."""

    machine: Container
    name: str

    def systemctl(self, verb: str, within: float = 60.0) -> None:
        """`systemctl VERB NAME`, which has to succeed; what the unit logged is in the error when it does not."""
        done = self.machine.run("systemctl", verb, self.name, within=within)
        assert done.code == 0, f"systemctl {verb} {self.name}: {done.err}\n{self.journal()}"

    def show(self, *properties: str) -> dict[str, str]:
        """Properties of `systemctl show`."""
        lines = self.machine.sh(f"systemctl show {self.name} -p {','.join(properties)}").splitlines()
        return dict(line.split("=", 1) for line in lines)

    def get(self, name: str) -> str:
        """One property."""
        return self.show(name)[name]

    @property
    def pid(self) -> int:
        """Main process; 0 when none runs."""
        return int(self.get("MainPID"))

    @property
    def restarts(self) -> int:
        """By systemd, since the last start by hand."""
        return int(self.get("NRestarts"))

    @property
    def seconds_to_ready(self) -> float:
        """From the beginning of its last start to READY=1."""
        times = self.show("InactiveExitTimestampMonotonic", "ActiveEnterTimestampMonotonic")
        return (int(times["ActiveEnterTimestampMonotonic"]) - int(times["InactiveExitTimestampMonotonic"])) / 1e6

    def children(self) -> list[int]:
        """Processes of the unit besides the main one."""
        main = self.pid
        return [pid for pid in self.processes() if pid != main]

    def processes(self) -> list[int]:
        """All processes of the unit."""
        group = self.get("ControlGroup")
        return [int(pid) for pid in self.machine.sh(f"cat /sys/fs/cgroup{group}/cgroup.procs 2>/dev/null || true").split()] if group else []

    def wait_active_again(self, before: int, within: float) -> None:
        """Until it is active with another main process than `before`."""

        def renewed() -> bool:
            now = self.show("ActiveState", "MainPID")
            return now["ActiveState"] == "active" and int(now["MainPID"]) not in {0, before}

        until(renewed, within=within, what=f"{self.name} was started anew", explain=self.journal)

    def wait(self, name: str, value: str, within: float = 10.0) -> None:
        """Until a property has that value."""
        until(lambda: self.get(name) == value, within=within, what=f"{name}={value}", explain=lambda: f"{self.get(name)}\n{self.journal()}")

    def drop_in(self, text: str, name: str = "test") -> None:
        """Lines for a drop-in, in effect from the next start on."""
        self.machine.write(f"/etc/systemd/system/{self.name}.d/{name}.conf", text)
        self.machine.sh("systemctl daemon-reload")

    def without_drop_ins(self) -> None:
        self.machine.sh(f"rm -rf /etc/systemd/system/{self.name}.d && systemctl daemon-reload")

    def entries(self, *matches: str) -> list[dict[str, Any]]:
        """Journal entries of the unit with these fields (`FIELD=value`)."""
        words = ["journalctl", "-u", self.name, "-o", "json", "--no-pager", *matches]
        return [json.loads(line) for line in self.machine.run(*words).out.splitlines()]

    def journal(self) -> str:
        """Its last lines, for people."""
        return self.machine.run("journalctl", "-u", self.name, "--no-pager", "-n", "40").out


def http(machine: Container, url: str, *options: str) -> tuple[int, str]:
    """Status and body of a request made inside; 0 when there was no answer."""
    done = machine.run("curl", "-sS", "--max-time", "20", "-w", "\n%{http_code}", *options, url, within=30)
    body, _, code = done.out.rpartition("\n")
    return int(code or 0), body
