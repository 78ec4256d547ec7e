"""The capture process: opens one camera and one encoder, and sends what comes out to the daemon.

Run as `python -m edgecam.capture.child FD`, FD being an inherited stream socket to the daemon. Drivers and encoders
block and crash here, where that ends one process that the daemon replaces. Imports stay few: they delay the picture.
"""

from __future__ import annotations

import faulthandler
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NoReturn

import av

from edgecam.capture import wire
from edgecam.capture.candidates import EncoderSpec
from edgecam.capture.choosing import choose_encoder
from edgecam.capture.config import ChildConfig
from edgecam.capture.daemonlink import DaemonLink
from edgecam.capture.encodeloop import Demands, EncodeLoop
from edgecam.capture.encoder import Choice, H264Encoder, open_lower
from edgecam.capture.encoderwatch import EncoderWatch
from edgecam.capture.ending import die_of, die_with_parent
from edgecam.capture.frames import Controllable, FrameSource, LatestFrame, SourceInfo
from edgecam.capture.overlay import Overlay
from edgecam.capture.passthrough import PASSED_THROUGH, PassThrough, UnitSource
from edgecam.capture.truth import PictureTruth
from edgecam.capture.wire import Kind
from edgecam.errors import CaptureError
from edgecam.media.ladder import bitrates, sizes
from edgecam.media.types import CaptureReport, ControlsNow, EncoderDemand, LowerRendition, StreamInfo

REPORT_INTERVAL = 1.0  # seconds
LOOK_INTERVAL = 0.1  # seconds


def make_source(config: ChildConfig) -> FrameSource | UnitSource:
    """The source that the config names; imports only what that one needs."""
    if config.source == "test":
        from edgecam.capture.testsrc import TestSource

        return TestSource(config.width, config.height, config.fps, config.title)
    if config.source == "file":
        from edgecam.capture.videofile import VideoFile

        return VideoFile(config.path, config.width, config.height, config.fps)
    if config.source in {"rtsp", "mjpeg"}:
        from edgecam.capture.netcamera import Address, NetCamera

        address = Address(config.url, config.username, config.password, config.transport)
        return NetCamera(config.source, address, config.width, config.height, config.fps)
    if config.source == "picamera2":
        return picamera(config)
    from edgecam.capture.v4l2 import V4l2Camera

    return V4l2Camera(config.device, config.input_format, config.width, config.height, config.fps)


def picamera(config: ChildConfig) -> FrameSource:
    """Imported here and in no other process."""
    from edgecam.capture.picamera import Picamera, Wanted

    ladder = sizes(config.width, config.height, config.renditions)
    small = ladder[1] if config.lores and len(ladder) > 1 else None
    return Picamera(
        Wanted(
            config.camera, config.width, config.height, config.fps, small,
            config.rotation, config.hflip, config.vflip, config.roi,
        )
    )  # fmt: skip


class Orders:
    """Reads what the daemon sends; its end of stream ends this process."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._messages = wire.MessageBuffer(wire.MAX_JSON)
        self._early: list[tuple[Kind, bytes]] = []

    def config(self) -> ChildConfig:
        """Wait for the first message; what came with it is for `serve`."""
        while not (messages := self._receive()):
            pass
        (_config, payload), *self._early = messages
        return ChildConfig.from_json(wire.decode_json(payload))

    def _receive(self) -> list[tuple[Kind, bytes]]:
        count = self._sock.recv_into(self._messages.free())
        if count == 0:
            os._exit(0)
        return [(kind, bytes(payload)) for kind, payload in self._messages.received(count)]

    def serve(
        self,
        source: FrameSource | UnitSource,
        heed: Callable[[EncoderDemand], None],
        report: Callable[[], CaptureReport],
        link: DaemonLink,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        """Pass demands on, set controls, `look` every LOOK_INTERVAL, and report once a second, for ever. The body of a thread."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        due = time.monotonic() + REPORT_INTERVAL
        messages = self._early
        while True:
            look()
            for kind, payload in messages:
                if kind is Kind.DEMAND:
                    heed(EncoderDemand(**wire.decode_json(payload)))
                elif kind is Kind.CONTROLS:
                    asked = wire.decode_json(payload)
                    control(source, asked["values"], link, asked["id"])
            ready = poll.poll(max(0.0, min(LOOK_INTERVAL, due - time.monotonic())) * 1000)
            messages = self._receive() if ready else []
            if time.monotonic() >= due:
                due += REPORT_INTERVAL
                link.message(Kind.REPORT, asdict(report()))


def control(source: FrameSource | UnitSource, values: Mapping[str, Any], link: DaemonLink, number: int = 0) -> None:
    """Set the camera's controls, and say how all of them stand then; `number` is that of the daemon's question."""
    if isinstance(source, Controllable):
        now = source.set_controls(values)
    else:
        now = ControlsNow(dict.fromkeys(values, "this camera has no controls"), ())
    link.message(Kind.CONTROLS, {"id": number, **asdict(now)})


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


def lower_encoders(config: ChildConfig, info: SourceInfo) -> list[H264Encoder]:
    """Encoders of the renditions below the full size: also of those too poor to be of use, which another bitrate may make rich
    enough while this process runs."""
    ladder = sizes(info.width, info.height, config.renditions)
    ceilings = [bitrates(index, len(ladder), config.bitrate_bps, None)[1] for index in range(len(ladder))]
    specs = [
        EncoderSpec(*size, info.fps, ceiling, config.keyframe_interval) for size, ceiling in zip(ladder, ceilings, strict=True)
    ]
    return open_lower(specs[1:])


def overlay_of(config: ChildConfig) -> Overlay | None:
    if config.overlay == "off":
        return None
    name = config.title if config.overlay != "time" else ""
    return Overlay(name, clock=config.overlay != "name", corner=config.overlay_corner)


def stream_info(info: SourceInfo, choice: Choice, lower: Sequence[H264Encoder]) -> StreamInfo:
    return StreamInfo(
        source=info.source,
        pixel_format=info.pixel_format,
        width=info.width,
        height=info.height,
        fps=info.fps,
        encoder=choice.encoder.name,
        reason=choice.reason,
        profile_level_id=choice.profile_level_id,
        busy_encoder=choice.busy,
        lower=tuple(
            LowerRendition(e.spec.width, e.spec.height, e.spec.fps, e.name, e.profile_level_id()) for e in lower
        ),
    )


def pass_through(source: UnitSource, info: SourceInfo, orders: Orders, link: DaemonLink, *, overlay: bool) -> NoReturn:
    """Hand on what the camera has encoded. Raises what broke."""
    loop = PassThrough(source, link)
    profile = loop.begin()
    when = "on request" if source.keyframes_on_request else "when it likes"
    reason = f"the camera's own H.264, passed through untouched; it makes keyframes {when}"
    if overlay:
        reason += "; no overlay, because nothing is decoded here: set transcode = \"always\" to have it"
    opened = StreamInfo(
        info.source, info.pixel_format, info.width, info.height, info.fps, PASSED_THROUGH, reason, profile,
        keyframes_on_request=source.keyframes_on_request,
    )  # fmt: skip
    link.message(Kind.OPENED, asdict(opened))
    threading.Thread(target=orders.serve, args=(source, loop.heed, loop.report, link), name="orders", daemon=True).start()
    loop.run()


def serve(orders: Orders, link: DaemonLink) -> NoReturn:
    """Open everything, then encode until something breaks. Raises what broke."""
    config = orders.config()
    source = make_source(config)
    link.message(Kind.PHASE, {"phase": "opening"})
    info = source.open()
    if config.controls:
        control(source, config.controls, link)
    if isinstance(source, UnitSource) and source.passes_through and not config.transcode:
        pass_through(source, info, orders, link, overlay=config.overlay != "off")
    mailbox, demands = LatestFrame(), Demands()

    def heed(demand: EncoderDemand) -> None:
        demands.add(demand)
        mailbox.wake()

    threading.Thread(target=capture, args=(source, mailbox), name="capture", daemon=True).start()
    spec = EncoderSpec(info.width, info.height, info.fps, config.bitrate_bps, config.keyframe_interval)
    choice = choose_encoder(config, source, mailbox, spec, lambda name: link.message(Kind.PHASE, {"phase": f"probing {name}"}))
    lower = lower_encoders(config, info)
    truth = PictureTruth() if config.picture_check else None
    loop = EncodeLoop(mailbox, [choice.encoder, *lower], link, demands, truth, overlay_of(config))
    link.message(Kind.OPENED, asdict(stream_info(info, choice, lower)))
    watch = EncoderWatch(loop, config.stall_timeout)

    def look() -> None:
        if (error := watch.look()) is not None:
            give_up(link, error)

    threading.Thread(target=orders.serve, args=(source, heed, loop.report, link, look), name="orders", daemon=True).start()
    loop.run()


def give_up(link: DaemonLink, error: CaptureError) -> NoReturn:
    """Say why, and end: whatever the other threads hang in."""
    link.message(Kind.FAILED, {"code": error.code, "message": error.message, "remedy": error.remedy})
    os._exit(1)


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
        give_up(link, error)
    except BaseException as error:  # noqa: BLE001 - the last line of defence
        die_of(error)


if __name__ == "__main__":
    main()
