"""`/usr/bin/python3 gstreamer_whep.py FILE|-`: GStreamer's webrtcbin behind WHEP, one process, one for each viewer.

Units come from a file of stream.py in real time, or framed on standard input as they are made (live); each is one
buffer of an appsrc, so that no parser holds a picture back. They are packetised once, and a tee hands the packets to
every viewer's webrtcbin. Only Debian's Python has the bindings, so this imports nothing but the standard library.
"""

from __future__ import annotations

import re
import struct
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from tests.bench import stream  # noqa: E402

CAPS = "video/x-h264,stream-format=byte-stream,alignment=au"
PIPELINE = (
    f"appsrc name=source is-live=true format=time do-timestamp=true caps={CAPS} ! "
    "rtph264pay name=pay config-interval=-1 aggregate-mode=zero-latency mtu=1200 ! tee name=tee allow-not-linked=true"
)
WITHIN = 10.0  # seconds for any step of a negotiation


class Server:
    """The pipeline, and a branch of it for every viewer."""

    def __init__(self) -> None:
        self.pipeline = Gst.parse_launch(PIPELINE)
        self.tee = self.pipeline.get_by_name("tee")
        self.source = self.pipeline.get_by_name("source")
        self.lock = threading.Lock()
        self.payload_type = 0
        self.pipeline.set_state(Gst.State.PLAYING)

    def push(self, data: bytes) -> None:
        self.source.emit("push-buffer", Gst.Buffer.new_wrapped(data))

    def answer(self, offer: str) -> str:
        """The complete answer to an offer."""
        payload_type = h264_payload_type(offer)
        with self.lock:
            if self.payload_type != payload_type:
                self.payload_type = payload_type
                self.pipeline.get_by_name("pay").set_property("pt", payload_type)
            rtc = Gst.ElementFactory.make("webrtcbin")
            rtc.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
            rtc.set_property("latency", 0)
            self.pipeline.add(rtc)
            rtc.sync_state_with_parent()
            gathered = threading.Event()
            rtc.connect("notify::ice-gathering-state", lambda element, _: self._gathering(element, gathered))
            await_promise(rtc, "set-remote-description", description(offer, GstWebRTC.WebRTCSDPType.OFFER))
            self._branch(rtc)
            reply = await_promise(rtc, "create-answer", None)  # to be kept: the answer lives in it
            await_promise(rtc, "set-local-description", reply.get_value("answer"))
            if not gathered.wait(WITHIN):
                raise TimeoutError("webrtcbin gathers no candidates")
            return str(rtc.get_property("local-description").sdp.as_text())

    def _branch(self, rtc: Any) -> None:
        queue = Gst.ElementFactory.make("queue")
        filtered = Gst.ElementFactory.make("capssetter")
        caps = f"application/x-rtp,media=video,clock-rate=90000,encoding-name=H264,payload={self.payload_type}"
        filtered.set_property("caps", Gst.Caps.from_string(caps))
        filtered.set_property("replace", True)  # without profile-level-id, which need not match the offer's
        for element in (queue, filtered):
            self.pipeline.add(element)
            element.sync_state_with_parent()
        queue.link(filtered)
        pad = rtc.request_pad_simple("sink_%u")
        filtered.get_static_pad("src").link(pad)
        self.tee.request_pad_simple("src_%u").link(queue.get_static_pad("sink"))

    @staticmethod
    def _gathering(rtc: Any, gathered: threading.Event) -> None:
        if rtc.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            gathered.set()


def h264_payload_type(offer: str) -> int:
    """Of constrained baseline with packetization-mode 1."""
    for number, parameters in re.findall(r"a=fmtp:(\d+) (.*)", offer):
        if "packetization-mode=1" in parameters and "profile-level-id=42e01f" in parameters.lower():
            return int(number)
    raise ValueError("no H.264 in the offer")


def description(sdp: str, kind: Any) -> Any:
    _, message = GstSdp.SDPMessage.new_from_text(sdp)
    return GstWebRTC.WebRTCSessionDescription.new(kind, message)


def await_promise(rtc: Any, action: str, argument: Any) -> Any:
    promise = Gst.Promise.new()
    rtc.emit(action, argument, promise)
    promise.wait()
    return promise.get_reply()


def make_handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply(200, "text/html", b"<!doctype html><title>webrtcbin</title>")

        def do_POST(self) -> None:
            offer = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._reply(201, "application/sdp", server.answer(offer).encode())

        def _reply(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def live() -> Iterator[bytes]:
    """Units from standard input, each behind its length; ends with the sender."""
    while header := sys.stdin.buffer.read(4):
        yield sys.stdin.buffer.read(struct.unpack("=I", header)[0])


def feed(server: Server, origin: str) -> None:
    """The body of a thread."""
    if origin == "-":
        for data in live():
            server.push(data)
    else:
        for _, unit in stream.played(stream.load(Path(origin))):
            server.push(unit.data)


def main() -> None:
    Gst.init(None)
    server = Server()
    http = ThreadingHTTPServer(("127.0.0.1", 0), make_handler(server))
    threading.Thread(target=http.serve_forever, daemon=True).start()
    threading.Thread(target=feed, args=(server, sys.argv[1]), daemon=True).start()
    print(f"http://127.0.0.1:{http.server_port}/whep", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
