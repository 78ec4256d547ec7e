"""From the page's wish to connect until the first decoded frame is on its way to the screen.

On the viewer page: from `edgecam.connectStartedAt` (before it even asks how to connect) to `edgecam.firstFrameAt`
(inside the first requestVideoFrameCallback). On a bare page: from `new RTCPeerConnection` to the same callback,
with one fetch of the WHEP endpoint in between. Each join of the viewer page is a fresh load, so that the page still
draws itself while it connects; "calls again" is its button on the page that is there. A pause of random length before
each makes joins fall anywhere in a group of pictures. The first join, with everything cold, is kept apart.
"""

from __future__ import annotations

import random

from tests.bench.figures import Figure
from tests.bench.scene import Scene
from tests.harness.browser import Browser

PAUSE = (0.35, 0.75)  # seconds between two joins
TOOK = "edgecam.firstFrameAt !== null && edgecam.firstFrameAt - edgecam.connectStartedAt"
BARE = """
async () => {
  const video = document.createElement('video');
  video.muted = video.autoplay = true;
  document.body.append(video);
  const begun = performance.now();
  const pc = new RTCPeerConnection();
  const { receiver } = pc.addTransceiver('video', { direction: 'recvonly' });
  video.srcObject = new MediaStream([receiver.track]);
  const shown = new Promise((resolve) => video.requestVideoFrameCallback(() => resolve(performance.now() - begun)));
  await pc.setLocalDescription();
  const response = await fetch('/whep/front', {
    method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: pc.localDescription.sdp,
  });
  await pc.setRemoteDescription({ type: 'answer', sdp: await response.text() });
  const took = await shown;
  pc.close();
  video.remove();
  return took;
}
"""


def measure(scene: Scene, joins: int) -> dict[str, Figure]:
    """`joins` warm ones for each way in, and a cold one before them."""
    ways = {
        "first_frame_whep_ms": ("first frame, viewer page over WHEP", f"{scene.daemon.url}/view/front"),
        "first_frame_websocket_ms": ("first frame, viewer page over websocket", f"{scene.server.url}/view/front"),
    }
    found = {key: _figure(what, _page_joins(scene.browser, url, joins + 1)) for key, (what, url) in ways.items()}
    again = _reconnects(scene.browser, f"{scene.daemon.url}/view/front", joins + 1)
    found["first_frame_again_ms"] = _figure("first frame, viewer page calls again over WHEP", again)
    bare = _bare_joins(scene.browser, f"{scene.daemon.url}/healthz", joins + 1)
    return {**found, "first_frame_bare_ms": _figure("first frame, bare page over WHEP", bare)}


def _figure(what: str, samples: list[float]) -> Figure:
    return Figure.of(what, "ms", samples[1:], first=samples[0])


def _page_joins(browser: Browser, url: str, joins: int) -> list[float]:
    with browser.visit(url) as visit:
        found = []
        for index in range(joins):
            if index:
                visit.page.wait_for_timeout(1000 * random.uniform(*PAUSE))
                visit.page.reload()
            found.append(float(visit.wait_for(f"window.edgecam && {TOOK}")))
        return found


def _reconnects(browser: Browser, url: str, joins: int) -> list[float]:
    with browser.visit(url) as visit:
        found = [float(visit.wait_for(f"window.edgecam && {TOOK}"))]
        for _ in range(joins - 1):
            visit.page.wait_for_timeout(1000 * random.uniform(*PAUSE))
            before = visit.page.evaluate("edgecam.connectStartedAt")
            visit.page.locator("#btn-reconnect").click()
            found.append(float(visit.wait_for(f"edgecam.connectStartedAt > {before} && {TOOK}")))
        return found


def _bare_joins(browser: Browser, url: str, joins: int) -> list[float]:
    with browser.visit(url) as visit:
        found = []
        for _ in range(joins):
            found.append(float(visit.page.evaluate(BARE)))
            visit.page.wait_for_timeout(1000 * random.uniform(*PAUSE))
        return found
