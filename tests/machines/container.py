"""A Debian 13 tree booted by systemd-nspawn: systemd as PID 1, in half a second. It shares this machine's kernel and devices' absence.

What it writes goes into memory and is gone at the end; the tree stays as it was. MemoryMax and device rules are not enforced in it:
tests/machines/vm.py has a kernel of its own for these.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.machines.cache import need_root

CGROUPS = Path("/sys/fs/cgroup")
BOOT_WITHIN = 60.0  # seconds; it takes one
END_WITHIN = 10.0
NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup")
_numbers = count()


class ContainerError(Exception):
    """The container, or a command in it, did not do what a test relies on."""


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended inside."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Container:
    """A running one. `leader` is its PID 1 as this machine numbers it."""

    name: str
    leader: int

    def run(self, *command: str, stdin: str = "", within: float = 30.0) -> Done:
        """A command as root inside, to its end."""
        words = ["nsenter", f"--target={self.leader}", *NAMESPACES, "--root", "--wd", "--", *command]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root", "TERM": "dumb"}
        done = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=within, env=environment)
        return Done(done.returncode, done.stdout, done.stderr)

    def sh(self, script: str, within: float = 30.0) -> str:
        """What a script that has to succeed printed, without the last newline."""
        done = self.run("/bin/sh", "-eu", stdin=script, within=within)
        if done.code:
            raise ContainerError(f"{script}\nexit code {done.code}\n{done.out}{done.err}")
        return done.out.rstrip("\n")

    def write(self, path: str, text: str, mode: str = "0644") -> None:
        """Replace a file inside; the directories above it are made."""
        done = self.run("/usr/bin/install", "-D", "-m", mode, "/dev/stdin", path, stdin=text)
        if done.code:
            raise ContainerError(f"cannot write {path}: {done.err}")


@contextmanager
def container(tree: Path) -> Iterator[Container]:
    """A booted container on a tree, with a network of its own that has nothing but a loopback interface."""
    need_root()
    name = f"ec-{os.getpid()}-{next(_numbers)}"
    with TemporaryDirectory(prefix="edgecam-container-") as scratch, _own_cgroups(name) as cgroups:
        with (Path(scratch) / "said").open("w+") as said:
            notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            notify.bind(f"{scratch}/notify")
            process = _start(tree, name, cgroups, f"{scratch}/notify", said.fileno())
            leader = 0
            try:
                # Closed once it is up: the container's PID 1 reports each reload, and would wait for ever for a reader.
                with notify:
                    leader = _leader(notify, process)
                yield Container(name, leader)
            except ContainerError as error:
                said.seek(0)
                error.add_note(said.read()[-2000:])
                raise
            finally:
                _end(process, leader)


def _start(tree: Path, name: str, cgroups: Sequence[Path], notify: str, said: int) -> subprocess.Popen[bytes]:
    options = ["--quiet", f"--directory={tree}", "--volatile=overlay", "--boot", "--notify-ready=yes", f"--machine={name}"]
    # Neither the machine's own systemd nor its journal hears of it: there may be none.
    options += ["--register=no", "--keep-unit", "--link-journal=no", "--private-network", "--console=pipe", "--resolv-conf=off"]
    join = " && ".join(f"echo $$ >{group}/cgroup.procs" for group in cgroups)
    # Dies with the test run, however that ends; the container's PID 1 then dies with it.
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", f'{join} && exec "$@"', "sh", "systemd-nspawn", *options],
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=said,
        env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "NOTIFY_SOCKET": notify},
    )


def _leader(notify: socket.socket, process: subprocess.Popen[bytes]) -> int:
    """The PID of the container's PID 1, once everything that starts by itself has started."""
    leader, deadline = 0, time.monotonic() + BOOT_WITHIN
    notify.settimeout(0.5)  # between two looks whether it still runs
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ContainerError(f"systemd-nspawn ended with exit code {process.returncode}")
        with suppress(TimeoutError):
            for line in notify.recv(4096).decode().splitlines():
                key, _, value = line.partition("=")
                if key == "X_NSPAWN_LEADER_PID":
                    leader = int(value)
                if line == "READY=1" and leader:
                    return leader
    raise ContainerError(f"it did not come up within {BOOT_WITHIN:g} s")


def _end(process: subprocess.Popen[bytes], leader: int) -> None:
    """Everything inside ends with its PID 1, which is ended as a power cut would."""
    if leader and process.poll() is None:
        with suppress(ProcessLookupError):
            os.kill(leader, 9)
    try:
        process.wait(END_WITHIN if leader else 0.1)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(END_WITHIN)


@contextmanager
def _own_cgroups(name: str) -> Iterator[list[Path]]:
    """New control groups, one in each hierarchy that systemd uses: v2 alone, or v2 beside v1. Removed at the end."""
    unified = [CGROUPS] if (CGROUPS / "cgroup.controllers").exists() else [CGROUPS / "unified", CGROUPS / "systemd"]
    made = [parent / name for parent in unified if parent.is_dir()]
    try:
        for group in made:
            group.mkdir()
        yield made
    finally:
        deadline = time.monotonic() + END_WITHIN
        for group in made:
            _remove(group, deadline)


def _remove(group: Path, deadline: float) -> None:
    """A control group and those below it, which can be removed a moment after their last process has ended."""
    if not group.exists():
        return
    for below in sorted(group.glob("**/"), key=lambda path: -len(path.parts)):
        while below.exists():
            try:
                below.rmdir()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
