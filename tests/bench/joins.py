"""From the page's wish to connect until the first decoded frame is on its way to the screen.

On the viewer page: from `edgecam.connectStartedAt` (before it even asks how to connect) to `edgecam.firstFrameAt`
(inside the first requestVideoFrameCallback). On a bare page: from `new RTCPeerConnection` to the same callback,
with one fetch of the WHEP endpoint in between. Each join of the viewer page is a fresh load, so that the page still
draws itself while it connects; "calls again" is its button on the page that is there. A pause of random length before
each makes joins fall anywhere in a group of pictures. The first join, with everything cold, is kept apart.

Relayed only: camera and page may send over TURN alone, so that each picture goes through the server twice; an allocation
stands by at the camera, and the page makes its own, which counts. Silent servers: a STUN and a TURN server that never
answer are in the camera's list and in the page's.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from tests.bench.figures import Figure
from tests.bench.scene import Scene
from tests.bench.turn import PASSWORD, USER, daemon_with, silent_servers, turn_server
from tests.harness.browser import Browser

PAUSE = (0.35, 0.75)  # seconds between two joins
RELAYED = {"policy": "relay", "standby_relay": True}
TOOK = "edgecam.firstFrameAt !== null && edgecam.firstFrameAt - edgecam.connectStartedAt"
BARE = """
async ({ iceServers, relayed }) => {
  const video = document.createElement('video');
  video.muted = video.autoplay = true;
  document.body.append(video);
  const begun = performance.now();
  const pc = new RTCPeerConnection({ iceServers, iceTransportPolicy: relayed ? 'relay' : 'all' });
  const { receiver } = pc.addTransceiver('video', { direction: 'recvonly' });
  video.srcObject = new MediaStream([receiver.track]);
  const shown = new Promise((resolve) => video.requestVideoFrameCallback(() => resolve(performance.now() - begun)));
  const type = 'application/trickle-ice-sdpfrag';
  let created = null;
  const told = new Promise((resolve) => { created = resolve; });
  pc.onicecandidate = async ({ candidate }) => {
    if (!candidate?.candidate || !relayed) return;
    const [, password] = pc.localDescription.sdp.match(/a=ice-pwd:([A-Za-z0-9+/]+)/);
    const mine = `a=ice-ufrag:${candidate.usernameFragment}\r\na=ice-pwd:${password}\r\n`;
    const body = `${mine}m=video 9 RTP/AVP 0\r\na=mid:0\r\na=${candidate.candidate}\r\n`;
    const { location, etag } = await told;
    await fetch(location, { method: 'PATCH', headers: { 'Content-Type': type, 'If-Match': etag }, body });
  };
  await pc.setLocalDescription();
  const headers = { 'Content-Type': 'application/sdp', ...(iceServers.length ? { Accept: `application/sdp, ${type}` } : {}) };
  const response = await fetch('/whep/front', { method: 'POST', headers, body: pc.localDescription.sdp });
  created({ location: response.headers.get('Location'), etag: response.headers.get('ETag') });
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


def measure_servers(browser: Browser, directory: Path, joins: int) -> dict[str, Figure]:
    """The same with STUN and TURN servers: only relayed, and with such as are silent."""
    found = {}
    with turn_server(directory / "turn") as url, daemon_with([url], RELAYED, directory / "relayed") as daemon:
        again = _reconnects(browser, f"{daemon.url}/view/front", joins + 1)
        bare = _bare_joins(browser, f"{daemon.url}/healthz", joins + 1, [url], relayed=True)
        found["first_frame_relayed_again_ms"] = _figure("first frame, only relayed, viewer page calls again over WHEP", again)
        found["first_frame_relayed_bare_ms"] = _figure("first frame, only relayed, bare page over WHEP", bare)
    with silent_servers() as urls, daemon_with(urls, {}, directory / "silent") as daemon:
        again = _reconnects(browser, f"{daemon.url}/view/front", joins + 1)
        bare = _bare_joins(browser, f"{daemon.url}/healthz", joins + 1, urls)
        found["first_frame_silent_again_ms"] = _figure("first frame, silent servers, viewer page calls again over WHEP", again)
        found["first_frame_silent_bare_ms"] = _figure("first frame, silent servers, bare page over WHEP", bare)
    return found


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


def _bare_joins(
    browser: Browser, url: str, joins: int, servers: Sequence[str] = (), *, relayed: bool = False
) -> list[float]:
    login = {"username": USER, "credential": PASSWORD}
    listed = [{"urls": each, **(login if each.startswith("turn") else {})} for each in servers]
    with browser.visit(url) as visit:
        found = []
        for _ in range(joins):
            found.append(float(visit.page.evaluate(BARE, {"iceServers": listed, "relayed": relayed})))
            visit.page.wait_for_timeout(1000 * random.uniform(*PAUSE))
        return found
