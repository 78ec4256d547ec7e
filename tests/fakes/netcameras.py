"""Network cameras of the tests: a GStreamer RTSP server in a process of its own, and MJPEG over HTTP."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
import time
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av

from tests.harness.ports import free_port

SYSTEM_PYTHON = "/usr/bin/python3"  # which has Debian's GStreamer bindings
PROGRAM = Path(__file__).with_name("rtsp_camera.py")
USER, PASSWORD = "viewer", "a p@ss/word of the test"  # every character that a URL would have to quote
H264 = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max={keyint} bitrate=800"
B_FRAMES = "x264enc b-adapt=false bframes=2 key-int-max=30 ! video/x-h264,profile=main"
RTP_H264 = "rtph264pay config-interval=0"  # SPS and PPS in the description only, as many cameras do


class RtspCamera:
    """Serves rtsp://127.0.0.1:PORT/stream, 640x360 at 30 frames a second, while its context is open."""

    def __init__(self, encoder: str = H264.format(keyint=60), payloader: str = RTP_H264, *, digest: bool = True) -> None:
        self.port = free_port()
        self._wanted = {"encoder": encoder, "payloader": payloader, "user": USER, "password": PASSWORD, "digest": digest}
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/stream"

    @property
    def camera(self) -> dict[str, Any]:
        """The [camera] section that watches it."""
        return {"source": "rtsp", "url": self.url, "username": USER, "password": PASSWORD}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        command = [SYSTEM_PYTHON, str(PROGRAM), str(self.port), json.dumps(self._wanted)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "listening\n", "GStreamer's RTSP server does not start"

    def stop(self) -> None:
        """As a camera does that is unplugged: nobody is told."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                assert stream is not None
                stream.close()
            self._process = None


def jpeg(number: int, width: int = 320, height: int = 240) -> bytes:
    """A picture with a bar that moves."""
    frame = av.VideoFrame(width, height, "yuvj420p")
    for plane, value in zip(frame.planes, (60, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    luma = bytearray(frame.planes[0].buffer_size)
    stride, left = frame.planes[0].line_size, number * 4 % width
    for row in range(height):
        luma[row * stride + left : row * stride + left + 4] = bytes([220]) * 4
    frame.planes[0].update(bytes(luma))
    context = av.CodecContext.create("mjpeg", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt, context.time_base = width, height, "yuvj420p", Fraction(1)
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


class _Pictures(BaseHTTPRequestHandler):
    fps = 15.0
    pictures: tuple[bytes, ...] = ()

    def do_GET(self) -> None:
        wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
        self.end_headers()
        number = 0
        try:
            while True:
                data = self.pictures[number % len(self.pictures)]
                self.wfile.write(b"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(data), data))
                number += 1
                time.sleep(1 / self.fps)
        except OSError:
            return

    def log_message(self, *_arguments: object) -> None:
        pass


class MjpegCamera:
    """Serves http://127.0.0.1:PORT/video.mjpg, 320x240 at 15 frames a second, while its context is open."""

    def __init__(self) -> None:
        _Pictures.pictures = _Pictures.pictures or tuple(jpeg(number) for number in range(80))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Pictures)
        self._server.daemon_threads = True

    @property
    def camera(self) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self._server.server_address[1]}/video.mjpg"
        return {"source": "mjpeg", "url": url, "username": USER, "password": PASSWORD}

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
