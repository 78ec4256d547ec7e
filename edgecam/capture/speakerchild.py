"""The loudspeaker's process: decodes what a viewer says and plays it. A sound driver may hang or crash here.

Run as `python -m edgecam.capture.speakerchild FD`. While nothing is said it plays silence, so that the device never runs dry.
"""

from __future__ import annotations

import faulthandler
import os
import queue
import socket
import sys
import threading
import time
from fractions import Fraction
from typing import NoReturn

import av

from edgecam.capture import wire
from edgecam.capture.alsa import broken, require_alsa
from edgecam.capture.daemonlink import DaemonLink
from edgecam.capture.ending import die_of, die_with_parent
from edgecam.capture.opus import PACKET_SAMPLES
from edgecam.capture.sound import RATE
from edgecam.capture.wire import Kind
from edgecam.errors import CaptureError

AHEAD = 3  # packets gathered before playing begins: what a network's jitter may delay unnoticed
MAX_AHEAD = 10  # packets; more is skipped, so that nobody hears what was said long ago
SILENCE = bytes(2 * PACKET_SAMPLES)


class Orders:
    """Reads what the daemon sends; its end of stream ends this process."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._messages = wire.MessageBuffer(wire.MAX_JSON)
        self.speech: queue.Queue[tuple[int, bytes]] = queue.Queue(MAX_AHEAD * 2)

    def device(self) -> str:
        """Wait for the first message."""
        while True:
            for kind, payload in self._receive():
                if kind is Kind.CONFIG:
                    return str(wire.decode_json(payload)["device"])

    def serve(self) -> NoReturn:
        """The body of a thread."""
        while True:
            for kind, payload in self._receive():
                if kind is Kind.SAY and len(payload) > wire.SPEECH.size:
                    if self.speech.full():
                        self.speech.get_nowait()
                    self.speech.put_nowait((wire.SPEECH.unpack_from(payload)[0], payload[wire.SPEECH.size :]))

    def _receive(self) -> list[tuple[Kind, bytes]]:
        count = self._sock.recv_into(self._messages.free())
        if count == 0:
            os._exit(0)
        return [(kind, bytes(payload)) for kind, payload in self._messages.received(count)]


class Voice:
    """Opus packets in the order of their numbers, as sound: 20 ms each time, silence where there is none."""

    def __init__(self, speech: queue.Queue[tuple[int, bytes]]) -> None:
        self._speech = speech
        decoder = av.CodecContext.create("libopus", "r")
        assert isinstance(decoder, av.AudioCodecContext)
        self._decoder = decoder
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        self._ahead: dict[int, bytes] = {}
        self._next: int | None = None

    def next(self) -> bytes:
        self._gather()
        if self._next is None and len(self._ahead) < AHEAD:
            return SILENCE
        if not self._ahead:
            self._next = None  # the word is over: gather again before the next one
            return SILENCE
        if self._next is None or len(self._ahead) > MAX_AHEAD:
            self._next = min(self._ahead, key=lambda number: (number - next(iter(self._ahead)) + 0x8000) & 0xFFFF)
            while len(self._ahead) > MAX_AHEAD:
                self._ahead.pop(self._next, None)
                self._next = self._next + 1 & 0xFFFF
        data = self._ahead.pop(self._next, None)
        self._next = self._next + 1 & 0xFFFF
        return SILENCE if data is None else self._decoded(data)

    def _gather(self) -> None:
        while not self._speech.empty():
            number, data = self._speech.get_nowait()
            if self._next is None or (number - self._next) & 0xFFFF < 0x8000:  # else it comes too late
                self._ahead[number] = data

    def _decoded(self, data: bytes) -> bytes:
        try:
            frames = self._decoder.decode(av.Packet(data))
        except av.FFmpegError:  # whatever a viewer sends
            return SILENCE
        sound = b"".join(
            bytes(piece.planes[0])[: 2 * piece.samples] for frame in frames for piece in self._resampler.resample(frame)
        )
        return sound or SILENCE


def play(device: str, voice: Voice, link: DaemonLink) -> NoReturn:
    """Raises CaptureError when the device breaks."""
    link.message(Kind.PHASE, {"phase": "opening"})
    require_alsa("speaker")
    try:
        with av.open(device, "w", format="alsa") as container:
            stream = container.add_stream("pcm_s16le", rate=RATE)
            stream.layout = "mono"
            container.start_encoding()
            link.message(Kind.OPENED, {"source": f"ALSA {device}"})
            began, number = time.monotonic(), 0
            while True:
                sound = voice.next()
                packet = av.Packet(sound)
                packet.stream, packet.time_base = stream, Fraction(1, RATE)
                packet.pts = packet.dts = number * PACKET_SAMPLES
                container.mux(packet)  # waits where the device has no room
                number += 1
                # A device without a clock of its own takes everything at once.
                time.sleep(max(0.0, began + (number - AHEAD) * PACKET_SAMPLES / RATE - time.monotonic()))
    except (OSError, av.FFmpegError) as error:
        raise broken("speaker", device, "play on", error) from error


def main() -> NoReturn:
    faulthandler.enable()
    die_with_parent()
    av.logging.restore_default_callback()
    av.logging.set_libav_level(av.logging.ERROR)
    sock = socket.socket(fileno=int(sys.argv[1]))
    link, orders = DaemonLink(sock), Orders(sock)
    try:
        device = orders.device()
        threading.Thread(target=orders.serve, daemon=True).start()
        play(device, Voice(orders.speech), link)
    except CaptureError as error:
        link.message(Kind.FAILED, {"code": error.code, "message": error.message, "remedy": error.remedy})
        os._exit(1)
    except BaseException as error:  # noqa: BLE001 - the last line of defence
        die_of(error)


if __name__ == "__main__":
    main()
