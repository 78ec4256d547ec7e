"""The capture process: opens one camera and one encoder, and sends what comes out to the daemon.

Run as `python -m edgecam.capture.child FD`, FD being an inherited stream socket to the daemon. Drivers and encoders
block and crash here, where that ends one process that the daemon replaces. Imports stay few: they delay the picture.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from dataclasses import asdict
from typing import NoReturn

import av

from edgecam.capture import wire
from edgecam.capture.config import ChildConfig
from edgecam.capture.daemonlink import DaemonLink
from edgecam.capture.encodeloop import Demands, EncodeLoop
from edgecam.capture.encoder import Choice, EncoderSpec, choose
from edgecam.capture.frames import FrameSource, LatestFrame, SourceInfo
from edgecam.capture.wire import Kind
from edgecam.errors import CaptureError
from edgecam.media.types import StreamInfo

REPORT_INTERVAL = 1.0  # seconds
EX_SOFTWARE = 70  # sysexits.h
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent() -> None:
    """Have the kernel kill this process when the daemon dies, even while it is stuck inside a driver."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before it could be asked for
        os._exit(0)


def die_of(error: BaseException | None) -> NoReturn:
    """Say it, and end without waiting for threads that may be inside a driver."""
    if isinstance(error, BrokenPipeError | ConnectionResetError):
        os._exit(0)  # the daemon has gone
    traceback.print_exception(error)
    sys.stderr.flush()
    os._exit(EX_SOFTWARE)


def make_source(config: ChildConfig) -> FrameSource:
    """The source that the config names; imports only what that one needs."""
    if config.source == "test":
        from edgecam.capture.testsrc import TestSource

        return TestSource(config.width, config.height, config.fps, config.title)
    if config.source == "file":
        from edgecam.capture.videofile import VideoFile

        return VideoFile(config.path, config.width, config.height, config.fps)
    from edgecam.capture.v4l2 import V4l2Camera

    return V4l2Camera(config.device, config.input_format, config.width, config.height, config.fps)


class Orders:
    """Reads what the daemon sends; its end of stream ends this process."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._messages = wire.MessageBuffer(wire.MAX_JSON)

    def config(self) -> ChildConfig:
        """Wait for the first message."""
        for kind, payload in self._receive():
            if kind is Kind.CONFIG:
                return ChildConfig.from_json(wire.decode_json(payload))
        return self.config()

    def _receive(self) -> list[tuple[Kind, bytes]]:
        count = self._sock.recv_into(self._messages.free())
        if count == 0:
            os._exit(0)
        return [(kind, bytes(payload)) for kind, payload in self._messages.received(count)]

    def serve(self, loop: EncodeLoop, demands: Demands, mailbox: LatestFrame, link: DaemonLink) -> None:
        """Pass demands on and report once a second, for ever. The body of a thread."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        due = time.monotonic() + REPORT_INTERVAL
        while True:
            if poll.poll(max(0.0, due - time.monotonic()) * 1000):
                for kind, payload in self._receive():
                    if kind is Kind.DEMAND:
                        demands.add(**wire.decode_json(payload))
                        mailbox.wake()
            if time.monotonic() >= due:
                due += REPORT_INTERVAL
                link.message(Kind.REPORT, asdict(loop.report()))


def capture(source: FrameSource, mailbox: LatestFrame) -> None:
    """Drain the source for ever, so that no driver queue grows old. The body of a thread."""
    try:
        for picture in source.frames():
            if picture is None:
                mailbox.lose()
            else:
                mailbox.put(picture)
        mailbox.fail(CaptureError("the source ended", code="camera-io"))
    except Exception as error:  # noqa: BLE001 - the other thread raises it
        mailbox.fail(error)


def stream_info(info: SourceInfo, choice: Choice) -> StreamInfo:
    return StreamInfo(
        source=info.source,
        pixel_format=info.pixel_format,
        width=info.width,
        height=info.height,
        fps=info.fps,
        encoder=choice.encoder.name,
        reason=choice.reason,
        profile_level_id=choice.profile_level_id,
    )


def serve(orders: Orders, link: DaemonLink) -> NoReturn:
    """Open everything, then encode until something breaks. Raises what broke."""
    config = orders.config()
    source = make_source(config)
    link.message(Kind.PHASE, {"phase": "opening"})
    info = source.open()
    mailbox, demands = LatestFrame(), Demands()
    threading.Thread(target=capture, args=(source, mailbox), name="capture", daemon=True).start()
    spec = EncoderSpec(info.width, info.height, info.fps, config.bitrate_bps, config.keyframe_interval)
    choice = choose(
        spec,
        config.encoder,
        config.skip_encoders,
        lambda name: link.message(Kind.PHASE, {"phase": f"probing {name}"}),
    )
    loop = EncodeLoop(mailbox, choice.encoder, link, demands)
    link.message(Kind.OPENED, asdict(stream_info(info, choice)))
    threading.Thread(target=orders.serve, args=(loop, demands, mailbox, link), name="orders", daemon=True).start()
    loop.run()


def main() -> NoReturn:
    faulthandler.enable()
    threading.excepthook = lambda arguments: die_of(arguments.exc_value)
    die_with_parent()
    # FFmpeg's own printing, not PyAV's: that takes the GIL from inside FFmpeg's threads.
    av.logging.restore_default_callback()
    av.logging.set_libav_level(av.logging.ERROR)
    sock = socket.socket(fileno=int(sys.argv[1]))
    link = DaemonLink(sock)
    try:
        serve(Orders(sock), link)
    except CaptureError as error:
        link.message(Kind.FAILED, {"code": error.code, "message": error.message, "remedy": error.remedy})
        os._exit(1)
    except BaseException as error:  # noqa: BLE001 - the last line of defence
        die_of(error)


if __name__ == "__main__":
    main()
