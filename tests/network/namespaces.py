"""Machines that share a kernel and nothing else: network namespaces, joined by virtual cables. Needs root.

A namespace belongs to a thread: inside `with machine.inside():` every socket that is opened and every process that
is started is on that machine; what was opened before stays where it was.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

CLONE_NEWNET = 0x40000000  # setns(2)
_libc = ctypes.CDLL(None, use_errno=True)


def _command(*arguments: str, stdin: str | None = None) -> None:
    done = subprocess.run(arguments, input=stdin, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr.strip()}")


def _enter(namespace: Path) -> None:
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(descriptor, CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(namespace))
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Machine:
    """A network namespace."""

    name: str

    @contextmanager
    def inside(self) -> Iterator[None]:
        """This thread's sockets and processes belong to the machine meanwhile. May be nested."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(Path("/run/netns") / self.name)
            yield
        finally:
            _libc.setns(home, CLONE_NEWNET)
            os.close(home)

    def ip(self, *arguments: str) -> None:
        """`ip ARGUMENTS` on this machine."""
        _command("ip", "-n", self.name, *arguments)

    def firewall(self, rules: str) -> None:
        """Replace all nftables rules of this machine."""
        with self.inside():
            _command("nft", "-f", "-", stdin=f"flush ruleset\n{rules}")


_numbers = count()


@contextmanager
def machine(role: str) -> Iterator[Machine]:
    """A new machine with nothing but a loopback interface; gone at the end, its cables with it."""
    if os.geteuid() != 0:
        pytest.fail(
            "network namespaces need root: run the tests as root (a container's root with CAP_SYS_ADMIN will do)"
        )
    made = Machine(f"edgecam-{os.getpid()}-{next(_numbers)}-{role}")
    _command("ip", "netns", "add", made.name)
    try:
        made.ip("link", "set", "lo", "up")
        yield made
    finally:
        _command("ip", "netns", "del", made.name)


def cable(left: tuple[Machine, str, str], right: tuple[Machine, str, str]) -> None:
    """Join two machines; each end is (machine, interface, address/prefix length)."""
    (a, a_name, _), (b, b_name, _) = left, right
    a.ip("link", "add", a_name, "type", "veth", "peer", "name", b_name, "netns", b.name)
    for end, name, address in (left, right):
        end.ip("address", "add", address, "dev", name)
        end.ip("link", "set", name, "up")


# The camera's and the viewer's networks meet in a router, which forwards what its firewall lets through.
CAMERA_ADDRESS = "192.168.1.2"
VIEWER_ADDRESS = "192.168.2.2"
PUBLIC_ADDRESS = "192.0.2.80"  # the router's own, where servers run

EVERYTHING = ""
# Web pages pass, media does not: how many offices and hotels look from inside.
TCP_ONLY = """
table inet filter {
  chain forward {
    type filter hook forward priority filter; policy drop;
    meta l4proto tcp accept
  }
}
"""


@dataclass(frozen=True, slots=True)
class Network:
    """Three machines: `camera` and `viewer` reach each other through `public` only."""

    camera: Machine
    public: Machine
    viewer: Machine


@contextmanager
def network() -> Iterator[Network]:
    """The three machines, everything let through."""
    with ExitStack() as stack:
        camera, public, viewer = (stack.enter_context(machine(role)) for role in ("camera", "public", "viewer"))
        cable((camera, "eth0", f"{CAMERA_ADDRESS}/24"), (public, "camera", "192.168.1.1/24"))
        cable((viewer, "eth0", f"{VIEWER_ADDRESS}/24"), (public, "viewer", "192.168.2.1/24"))
        camera.ip("route", "add", "default", "via", "192.168.1.1")
        viewer.ip("route", "add", "default", "via", "192.168.2.1")
        public.ip("address", "add", f"{PUBLIC_ADDRESS}/32", "dev", "lo")
        with public.inside():
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        yield Network(camera, public, viewer)
