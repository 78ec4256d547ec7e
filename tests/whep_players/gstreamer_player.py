"""`/usr/bin/python3 gstreamer_player.py URL`: a WHEP player on GStreamer's webrtcbin, which decodes every picture and counts them.

Only Debian's Python has the bindings, so this imports nothing but the standard library.
"""

from __future__ import annotations

import json
import sys
import threading
import urllib.request
from typing import Any
from urllib.parse import urljoin

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

FRAGMENT = "application/trickle-ice-sdpfrag"
AUDIO = "application/x-rtp,media=audio,encoding-name=OPUS,clock-rate=48000,encoding-params=(string)2,payload=111"
VIDEO = (
    "application/x-rtp,media=video,encoding-name=H264,clock-rate=90000,payload=102,packetization-mode=(string)1,"
    "profile-level-id=(string)42e01f,rtcp-fb-nack=true,rtcp-fb-nack-pli=true"
)

DECODE = "rtph264depay ! h264parse ! openh264dec ! fakesink name=out signal-handoffs=true sync=false"


def say(event: str, **detail: object) -> None:
    print(json.dumps({"event": event, **detail}), flush=True)


def http(method: str, url: str, body: str | None = None, **headers: str) -> Any:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return urllib.request.urlopen(urllib.request.Request(url, (body or "").encode() or None, given, method=method), timeout=20)


class Player:
    """The pipeline: webrtcbin, and behind it depayloader, parser and decoder for the video that comes."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.resource = ""
        self.count = 0
        self.pipeline = Gst.Pipeline()
        self.rtc = Gst.ElementFactory.make("webrtcbin")
        self.rtc.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        self.rtc.set_property("latency", 50)
        self.pipeline.add(self.rtc)
        self.rtc.connect("pad-added", self._decode)
        # webrtcbin 1.22 does not tell that the other side has closed DTLS; that it said BYE, its RTP session knows.
        self.rtc.get_by_name("rtpbin").connect("on-bye-ssrc", lambda *_: say("ended", why="BYE"))
        for caps in (AUDIO, VIDEO):
            self.rtc.emit("add-transceiver", GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY, Gst.Caps.from_string(caps))
        self.pipeline.set_state(Gst.State.PLAYING)

    def join(self) -> None:
        """Offer, answer; with all our candidates in the offer."""
        gathered = threading.Event()
        self.rtc.connect("notify::ice-gathering-state", lambda *_: self._gathering(gathered))
        reply = ask(self.rtc, "create-offer", None)
        ask(self.rtc, "set-local-description", reply.get_value("offer"))
        if not gathered.wait(10):
            raise TimeoutError("no candidates")
        offer = self.rtc.get_property("local-description").sdp.as_text()
        with http("POST", self.endpoint, offer, Content_Type="application/sdp") as response:
            answer, headers = response.read().decode(), response.headers
            say("answered", status=response.status, location=headers["Location"], etag=headers["ETag"], links=headers.get("Link"))
        self.resource = urljoin(self.endpoint, headers["Location"])
        ended = "a=mid:audio0\r\na=end-of-candidates\r\n"
        with http("PATCH", self.resource, ended, Content_Type=FRAGMENT, If_Match=headers["ETag"]) as patched:
            say("trickled", status=patched.status)
        _, message = GstSdp.SDPMessage.new_from_text(answer)
        described = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        ask(self.rtc, "set-remote-description", described)

    def leave(self) -> None:
        with http("DELETE", self.resource) as response:
            say("left", status=response.status)

    def _gathering(self, gathered: threading.Event) -> None:
        if self.rtc.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            gathered.set()

    def _decode(self, _rtc: object, pad: Any) -> None:
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        if "media=(string)video" not in pad.get_current_caps().to_string():
            return
        chain = Gst.parse_bin_from_description(DECODE, True)
        chain.get_by_name("out").connect("handoff", self._shown)
        self.pipeline.add(chain)
        chain.sync_state_with_parent()
        pad.link(chain.get_static_pad("sink"))

    def _shown(self, *_: object) -> None:
        self.count += 1
        if self.count % 6 == 1:
            say("frames", count=self.count)


def ask(rtc: Any, action: str, argument: Any) -> Any:
    promise = Gst.Promise.new()
    rtc.emit(action, argument, promise)
    promise.wait()
    return promise.get_reply()


def listen(player: Player) -> None:
    """The body of a thread: join, then do what the test wants."""
    player.join()
    for line in sys.stdin:
        if line.strip() == "leave":
            player.leave()


def watch_bus(_bus: object, message: Any) -> None:
    if message.type == Gst.MessageType.ERROR:
        error, detail = message.parse_error()
        say("broken", error=str(error), detail=str(detail))
    elif message.type == Gst.MessageType.EOS:
        say("ended", why="end of stream")


def main() -> None:
    Gst.init(None)
    player = Player(sys.argv[1])
    bus = player.pipeline.get_bus()
    bus.add_signal_watch()
    bus.connect("message", watch_bus)
    threading.Thread(target=listen, args=(player,), daemon=True).start()
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
