"""A bad link that tests hold in their hands, and the machines at its ends."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tests.network.namespaces import Machine, cable, machine
from tests.network.netemu import Carried

HOME = Path(__file__).resolve().parents[2]
END_WITHIN = 5.0  # seconds


class Cable:
    """The process `tests.network.netemu`. `left` and `right` are (machine, interface, address/prefix length).

    Directions: `out` goes from left to right, `back` from right to left. Safe to use from several threads."""

    def __init__(self, left: tuple[Machine, str, str], right: tuple[Machine, str, str]) -> None:
        names = [left[0].name, left[1], right[0].name, right[1]]
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.network.netemu", *names],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=HOME,
        )
        try:
            assert self._process.stdout is not None
            if self._process.stdout.readline() != "ready\n":
                raise RuntimeError(f"no cable between {names}: exit code {self._process.wait(END_WITHIN)}")
            for end, interface, address in (left, right):
                with end.inside():  # nothing on the cable but what a test sends
                    Path(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6").write_text("1")
                end.ip("address", "add", address, "dev", interface)
                end.ip("link", "set", interface, "up")
        except BaseException:
            self.close()
            raise

    def set(self, *, out: dict[str, Any] | None = None, back: dict[str, Any] | None = None) -> None:
        """Change fields of `netemu.Wire`, now."""
        self._ask({"a2b": out or {}, "b2a": back or {}})

    def both(self, **wire: Any) -> None:
        """Change both directions alike."""
        self.set(out=wire, back=wire)

    def read(self) -> tuple[Carried, Carried]:
        """What (out, back) have carried."""
        told = self._ask({})
        return Carried(**told["a2b"]), Carried(**told["b2a"])

    def _ask(self, change: dict[str, Any]) -> dict[str, dict[str, Any]]:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        with self._lock:
            process.stdin.write(json.dumps(change) + "\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
        assert set(answer["a2b"]) == {field.name for field in fields(Carried)}
        return dict(answer)

    def close(self) -> None:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(END_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


CAMERA_ADDRESS = "192.168.3.1"  # on the bad link
FAR_ADDRESS = "192.168.3.2"
CAMERA_NEAR_ADDRESS = "192.168.4.1"  # on a good link
NEAR_ADDRESS = "192.168.4.2"


@dataclass(frozen=True, slots=True)
class Impaired:
    """A camera with two neighbours: `far` behind the cable, `near` behind a perfect one. `cable.out` leads to `far`."""

    camera: Machine
    far: Machine
    near: Machine
    cable: Cable


@contextmanager
def impaired_link() -> Iterator[Impaired]:
    """The three machines, the cable perfect as yet."""
    with ExitStack() as stack:
        camera, far, near = (stack.enter_context(machine(role)) for role in ("camera", "far", "near"))
        cable((camera, "near", f"{CAMERA_NEAR_ADDRESS}/24"), (near, "eth0", f"{NEAR_ADDRESS}/24"))
        bad = Cable((camera, "far", f"{CAMERA_ADDRESS}/24"), (far, "eth0", f"{FAR_ADDRESS}/24"))
        stack.callback(bad.close)
        yield Impaired(camera, far, near, bad)
