"""Sockets that systemd passes: the protocol of sd_listen_fds(3), spoken to a process of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from edgecam.http.activation import passed_sockets, real_address

TAKE = """
import json, os, sys
from edgecam.errors import FatalError
from edgecam.http.activation import address_of, passed_sockets, real_address
if sys.argv[1] == "ours": os.environ["LISTEN_PID"] = str(os.getpid())
try:
    sockets = passed_sockets("web")
    print(json.dumps({
        "taken": [address_of(each).port for each in sockets],
        "address": str(real_address(sockets)) if sockets else None,
        "inherited": [each.get_inheritable() for each in sockets],
        "again": len(passed_sockets("web")),
        "left": [name for name in os.environ if name.startswith("LISTEN_")],
    }))
except FatalError as error:
    print(json.dumps({"code": error.code, "message": str(error)}))
"""


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as entered:
        yield entered


def listener(stack: ExitStack, host: str = "127.0.0.1") -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return stack.enter_context(socket.create_server((host, 0), family=family))


def take(sockets: list[socket.socket], names: str | None, *, whose: str = "ours") -> dict[str, object]:
    """What a process that is given `sockets` from descriptor 3 on makes of them."""
    environment = {**os.environ, "LISTEN_FDS": str(len(sockets)), "LISTEN_PID": "1"}
    if names is not None:
        environment["LISTEN_FDNAMES"] = names
    # The shell moves them to where systemd puts them: high numbers first out of the way, then 3 and on.
    descriptors = [each.fileno() for each in sockets]
    high = [os.dup2(descriptor, 100 + index) for index, descriptor in enumerate(descriptors)]
    moves = " ".join(f"{3 + index}>&{descriptor}" for index, descriptor in enumerate(high))
    script = f'exec {moves}; exec "$0" -c "$1" "$2"'
    try:
        done = subprocess.run(
            ["bash", "-c", script, sys.executable, TAKE, whose],
            env=environment,
            pass_fds=high,
            capture_output=True,
            text=True,
            timeout=30,
        )
    finally:
        for descriptor in high:
            os.close(descriptor)
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return {**found, "log": done.stdout}


def port(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


def test_sockets_of_the_listeners_name_and_without_a_name_are_taken_and_others_closed(stack: ExitStack) -> None:
    named, unnamed, other = (listener(stack) for _ in range(3))
    found = take([named, other, unnamed], "web:metrics:edgecam.socket")
    assert found["taken"] == [port(named), port(unnamed)]
    assert "listener.socket-unknown" in str(found["log"])
    assert found["inherited"] == [False, False]
    assert found["again"] == 0
    assert found["left"] == []


def test_without_names_all_are_taken(stack: ExitStack) -> None:
    assert len(take([listener(stack), listener(stack)], None)["taken"]) == 2  # type: ignore[arg-type]


def test_sockets_meant_for_another_process_are_left_alone(stack: ExitStack) -> None:
    assert take([listener(stack)], "web", whose="theirs")["taken"] == []


def test_the_address_that_counts_is_the_one_that_the_network_can_reach(stack: ExitStack) -> None:
    near, far = listener(stack), listener(stack, "0.0.0.0")
    assert take([near, far], "web:web")["address"] == f"0.0.0.0:{port(far)}"
    assert real_address([near]).is_loopback
    assert str(real_address([listener(stack, "::")])).startswith("[::]:")


def test_what_is_no_listening_tcp_socket_is_said_in_one_line(stack: ExitStack) -> None:
    datagrams = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    local = stack.enter_context(socket.socket(socket.AF_UNIX))
    deaf = stack.enter_context(socket.socket())
    deaf.bind(("127.0.0.1", 0))
    for unusable in (datagrams, local, deaf):
        found = take([unusable], "web")
        assert found["code"] == "socket-unusable"
        assert "cannot use the socket web that systemd passed" in str(found["message"])


@pytest.mark.parametrize("count", ["", "soon", "-1"])
def test_a_garbled_count_is_none(count: str) -> None:
    assert passed_sockets("web", {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count}) == []
