"""Glass to glass: from the picture's making to the first tick of Chromium's screen at which the page has it.

Beginning: the wall clock that the test source draws into each frame as it makes it. End: the animation frame at which the
video element first shows that clock (tests.harness.glass). In between lie encoding, the way from the capture process to
the daemon, packets, Chromium's jitter buffer and decoder, and the wait for the next of its 60 frames a second. Not in it:
a sensor's exposure, and what comes after the tick, drawing and a monitor's own delay.

`expectedDisplayTime` of requestVideoFrameCallback, which one would rather ask, cannot compare senders: where the stream
carries a playout delay of zero Chromium adds one to two ticks to it, elsewhere none.
"""

from __future__ import annotations

from tests.bench import live
from tests.bench.contestants import UnavailableError
from tests.bench.figures import Figure
from tests.bench.scene import Scene
from tests.harness.browser import Browser
from tests.harness.glass import ages

SETTLE = 2000  # milliseconds for the jitter buffer to find its size
# A page with nothing on it but a video, so that senders are compared and not pages.
BARE = """
async (path) => {
  const video = document.createElement('video');
  video.muted = video.autoplay = true;
  document.body.append(video);
  const pc = (window.pc = new RTCPeerConnection());
  const { receiver } = pc.addTransceiver('video', { direction: 'recvonly' });
  video.srcObject = new MediaStream([receiver.track]);
  const shown = new Promise((resolve) => video.requestVideoFrameCallback(resolve));
  await pc.setLocalDescription();
  const response = await fetch(path, {
    method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: pc.localDescription.sdp,
  });
  await pc.setRemoteDescription({ type: 'answer', sdp: await response.text() });
  await shown;
}
"""


def measure(scene: Scene, seconds: float, rounds: int) -> tuple[dict[str, Figure], str]:
    """Every frame of `seconds`: on the viewer page, and on a bare page fed by edgecam and by webrtcbin, `rounds` times
    in turns. Also returns why webrtcbin is missing, if it is."""
    with scene.browser.visit(f"{scene.daemon.url}/view/front") as visit:
        visit.wait_playing()
        visit.page.wait_for_timeout(SETTLE)
        page = ages(visit, seconds)
    found = {"glass_to_glass_ms": Figure.of("glass to glass, viewer page", "ms", page)}
    bare: list[float] = []
    other: list[float] = []
    missing = ""
    try:
        with live.webrtcbin() as base:
            for _ in range(rounds):
                bare += _bare(scene.browser, f"{scene.daemon.url}/healthz", "/whep/front", seconds / rounds)
                other += _bare(scene.browser, base, "/whep", seconds / rounds)
    except UnavailableError as error:
        missing = str(error)
        bare = _bare(scene.browser, f"{scene.daemon.url}/healthz", "/whep/front", seconds)
    found["glass_bare_ms"] = Figure.of("glass to glass, bare page", "ms", bare)
    if other:
        found["glass_webrtcbin_ms"] = Figure.of("glass to glass, bare page, GStreamer `webrtcbin`", "ms", other)
    return found, missing


def _bare(browser: Browser, url: str, path: str, seconds: float) -> list[float]:
    with browser.visit(url) as visit:
        visit.page.evaluate(BARE, path)
        visit.page.wait_for_timeout(SETTLE)
        return ages(visit, seconds)
