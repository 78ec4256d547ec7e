"""Runs inside the virtual machine, as root, and does what tests say over a virtio serial port. Standard library only.

One JSON object a line. First `{"hello": BOOT_ID}`; then for each `{"id", "command", "stdin", "within"}`, in whatever order they
end, `{"id", "code", "out", "err"}`. It needs no network, so that tests may break that.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

TIMED_OUT = 124  # as timeout(1) has it


def port_of(name: str) -> Path:
    """The device node of a named port; udev need not have run."""
    for entry in Path("/sys/class/virtio-ports").iterdir():
        if (entry / "name").exists() and (entry / "name").read_text().strip() == name:
            return Path("/dev") / entry.name
    raise SystemExit(f"no virtio port {name}")


class Agent:
    """The guest's end of the line."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def say(self, message: dict[str, Any]) -> None:
        line = memoryview(json.dumps(message).encode() + b"\n")
        with self._lock:
            while line:
                line = line[os.write(self._descriptor, line) :]

    def serve(self) -> None:
        """Until the machine ends."""
        self.say({"hello": Path("/proc/sys/kernel/random/boot_id").read_text().strip()})
        waiting = b""
        while chunk := os.read(self._descriptor, 65536):
            *lines, waiting = (waiting + chunk).split(b"\n")
            for line in lines:
                threading.Thread(target=self._do, args=(json.loads(line),), daemon=True).start()

    def _do(self, order: dict[str, Any]) -> None:
        process = subprocess.Popen(
            order["command"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            out, err = process.communicate(order["stdin"], timeout=order["within"])
            code = process.returncode
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            code = TIMED_OUT
        self.say({"id": order["id"], "code": code, "out": out, "err": err})


if __name__ == "__main__":
    Agent(os.open(port_of(sys.argv[1]), os.O_RDWR)).serve()
