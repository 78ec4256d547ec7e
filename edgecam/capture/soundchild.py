"""The microphone's process: opens one microphone and sends Opus to the daemon. A sound driver may hang or crash here.

Run as `python -m edgecam.capture.soundchild FD`.
"""

from __future__ import annotations

import faulthandler
import os
import socket
import sys
import threading
from typing import NoReturn

import av

from edgecam.capture import wire
from edgecam.capture.daemonlink import DaemonLink
from edgecam.capture.ending import die_of, die_with_parent
from edgecam.capture.opus import OpusEncoder
from edgecam.capture.sound import sound_source
from edgecam.capture.wire import Kind
from edgecam.errors import CaptureError


def order(sock: socket.socket) -> dict[str, object]:
    """Wait for the first message."""
    messages = wire.MessageBuffer(wire.MAX_JSON)
    while True:
        count = sock.recv_into(messages.free())
        if count == 0:
            os._exit(0)
        for kind, payload in messages.received(count):
            if kind is Kind.CONFIG:
                return wire.decode_json(payload)


def end_with(sock: socket.socket) -> None:
    """The daemon's end of the line ends this process. The body of a thread."""
    while sock.recv(4096):
        pass
    os._exit(0)


def serve(sock: socket.socket, link: DaemonLink) -> NoReturn:
    """Open, then encode until something breaks. Raises what broke."""
    config = order(sock)
    threading.Thread(target=end_with, args=(sock,), daemon=True).start()
    source = sound_source(str(config["device"]))
    link.message(Kind.PHASE, {"phase": "opening"})
    name = source.open()
    encoder = OpusEncoder(int(str(config["bitrate_bps"])))
    link.message(Kind.OPENED, {"source": name})
    for chunk in source.chunks():
        for packet in encoder.encode(chunk):
            link.unit(wire.SOUND.pack(packet.timestamp) + packet.data, False, packet.captured_ns)
    raise CaptureError("the microphone ended", code="microphone-io")


def main() -> NoReturn:
    faulthandler.enable()
    die_with_parent()
    av.logging.restore_default_callback()
    av.logging.set_libav_level(av.logging.ERROR)
    sock = socket.socket(fileno=int(sys.argv[1]))
    link = DaemonLink(sock)
    try:
        serve(sock, link)
    except CaptureError as error:
        link.message(Kind.FAILED, {"code": error.code, "message": error.message, "remedy": error.remedy})
        os._exit(1)
    except BaseException as error:  # noqa: BLE001 - the last line of defence
        die_of(error)


if __name__ == "__main__":
    main()
