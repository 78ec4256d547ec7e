"""The way to one viewer: the socket of the nominated candidate pair, and what to do when the kernel refuses."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

import structlog

from edgecam.rtc import aiortc_private
from edgecam.rtc.ice.traffic import SENT, UDP_HEADER, ip_header
from edgecam.rtc.sending.template import Run

log = structlog.get_logger(__name__)

# The kernel, a tunnel or a network card that cannot segment. EINVAL is also what a kernel before 4.18 says, and EMSGSIZE
# one whose route has a smaller MTU than our packets: fragmented one by one, they may still arrive.
_NO_GSO = frozenset({errno.EIO, errno.EINVAL, errno.EMSGSIZE, errno.ENOPROTOOPT, errno.EOPNOTSUPP})


class Straight(NamedTuple):
    """See `Path.straight`. `sendmsg` is the socket's."""

    nominated: Callable[[int], Any]
    pair: Any
    sendmsg: Callable[..., int]
    address: tuple[str, int]


class Path:
    """Sends encrypted packets to wherever ICE has nominated; `octets` counts their bytes, `refused` sends that the kernel
    refused, `on_the_wire` what went out of this machine by its own socket, headers included: a relay's wire counts itself."""

    __slots__ = (
        "__weakref__", "_address", "_closed", "_header", "_headers", "_nominated", "_pair", "_relayed", "_socket", "_viewer",
        "gso", "octets", "refused",
    )  # fmt: skip

    def __init__(self, nominated: aiortc_private.NominatedPairs, viewer: str, *, gso: bool = True) -> None:
        self.gso = gso
        self.octets = 0
        self.refused = 0
        self._nominated = nominated
        self._viewer = viewer
        self._pair: Any = None
        self._closed = False
        self._socket: socket.socket | None = None
        self._address: tuple[str, int] = ("", 0)
        self._header = 0  # bytes of IP and UDP in front of each packet
        self._headers = 0  # bytes of all of them
        self._relayed = 0  # of octets
        SENT.enter(self)

    @property
    def on_the_wire(self) -> int:
        return self.octets - self._relayed + self._headers

    def follow(self) -> bool:
        """Go where ICE goes: browsers nominate again. Returns whether there is a way at all."""
        pair = self._nominated.get(1)
        if pair is self._pair:
            return pair is not None
        self._leave()
        if pair is None or self._closed:
            return False
        try:
            self._socket = aiortc_private.duplicate_socket(pair)
        except OSError:  # no descriptor is left; the next unit may find one
            self.refused += 1
            return False
        self._address = aiortc_private.remote_address(pair)
        self._header = ip_header(self._address[0]) + UDP_HEADER
        self._pair = pair
        return True

    @property
    def straight(self) -> Straight | None:
        """What sends runs to where `follow` has just led, as long as `nominated` gives that pair; None where it takes more."""
        if self._socket is None or not self.gso:
            return None
        return Straight(self._nominated.get, self._pair, self._socket.sendmsg, self._address)

    def sent_meanwhile(self, packets: int, octets: int) -> None:
        """So much has gone out by `straight`."""
        self.octets += octets
        self._headers += packets * self._header

    def close(self) -> None:
        """Give the socket back, and go nowhere any more. Idempotent."""
        self._closed = True
        self._leave()
        SENT.leave(self)

    def _leave(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = self._pair = None

    def send_run(self, packets: memoryview, run: Run) -> int:
        """Send `packets`, all those of a run or of a part of one, encrypted.

        Returns how many of them the kernel took: fewer than all when the socket is full. Never raises.
        """
        count = run.count
        if self.gso and count > 1 and self._socket is not None:
            try:
                self._socket.sendmsg((packets,), run.control, 0, self._address)
            except BlockingIOError:
                return 0
            except OSError as error:
                if error.errno not in _NO_GSO:
                    self.refused += count
                    return count
                self.gso = False
                reason = f"the kernel does not segment for this path: {error.strerror}"
                log.info("sending.plain", viewer=self._viewer, reason=reason)
            else:
                self.octets += len(packets)
                self._headers += count * self._header
                return count
        for sent in range(count):
            begin = sent * run.stride
            if not self.send(packets[begin : begin + run.stride]):
                return sent
        return count

    def send(self, packet: memoryview | bytes) -> bool:
        """Send one packet; returns whether the kernel took it, or refused it for good. Never raises."""
        self.octets += len(packet)
        if self._socket is None:
            self._relayed += len(packet)
            if self._pair is not None:
                self._pair.protocol.send(bytes(packet), self._pair.remote_addr)
            return True
        try:
            self._socket.sendto(packet, self._address)
            self._headers += self._header
        except BlockingIOError:
            self.octets -= len(packet)
            return False
        except OSError:  # no route, filtered, an ICMP error of an earlier one: ICE consent decides what that means
            self.refused += 1
        return True
