"""Listening sockets that systemd passes to the service, instead of those that the configuration names (sd_listen_fds(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping, Sequence

import structlog

from edgecam.errors import FatalError
from edgecam.settings import Listen

log = structlog.get_logger(__name__)

FIRST = 3  # the descriptor after standard error; the others follow it
VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def passed_sockets(name: str, environ: MutableMapping[str, str] = os.environ) -> list[socket.socket]:
    """The listening TCP sockets passed for the listener `name`, the caller's to close. None the second time: they are taken.

    A socket counts when its FileDescriptorName= is `name`, or when it has none and is called after its unit. Others are
    closed, with a warning. Raises FatalError (socket-unusable) when one is not a listening TCP socket.
    """
    given = {variable: environ.pop(variable, "") for variable in VARIABLES}
    count = given["LISTEN_FDS"]
    if given["LISTEN_PID"] != str(os.getpid()) or not count.isdecimal():
        return []
    names = given["LISTEN_FDNAMES"].split(":") if given["LISTEN_FDNAMES"] else []
    taken: list[socket.socket] = []
    for index in range(int(count)):
        label = names[index] if index < len(names) else "unknown"
        descriptor = FIRST + index
        if label == name or label == "unknown" or label.endswith(".socket"):
            taken.append(_listening(descriptor, label))
        else:
            os.close(descriptor)
            log.warning("listener.socket-unknown", socket=label, wanted=name, hint=f"FileDescriptorName={name} is what it should say")
    return taken


def real_address(sockets: Sequence[socket.socket]) -> Listen:
    """Where visitors reach these sockets: one that the network can reach if there is any, so that a token is asked for."""
    addresses = [address_of(each) for each in sockets]
    return next((address for address in addresses if not address.is_loopback), addresses[0])


def address_of(listener: socket.socket) -> Listen:
    """The address that a TCP socket is bound to, without an IPv6 zone."""
    host, port = listener.getsockname()[:2]
    return Listen(str(host).partition("%")[0], int(port))


def _listening(descriptor: int, label: str) -> socket.socket:
    os.set_inheritable(descriptor, False)
    try:
        listener = socket.socket(fileno=descriptor)
    except OSError as error:
        raise _unusable(label, error.strerror or str(error)) from None
    if listener.family not in {socket.AF_INET, socket.AF_INET6} or listener.type != socket.SOCK_STREAM:
        raise _unusable(label, "it is not a TCP socket")
    if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise _unusable(label, "it does not listen; Accept= must be no")
    listener.setblocking(False)
    return listener


def _unusable(label: str, why: str) -> FatalError:
    return FatalError(
        f"cannot use the socket {label} that systemd passed: {why}",
        remedy="write ListenStream= with a port, or an address and a port, into the socket unit",
        code="socket-unusable",
    )
