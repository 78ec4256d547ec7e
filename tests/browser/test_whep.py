"""Watching straight from the daemon over WHEP, with our page and with one that has never heard of edgecam."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.browser.scenes import picture
from tests.harness.browser import Browser, Visit
from tests.harness.daemons import Daemon
from tests.harness.processes import children
from tests.harness.waiting import until

# What any WHEP player does, without trickling a single candidate.
JOIN = """
async (camera) => {
  const pc = (window.pc = new RTCPeerConnection());
  const video = document.createElement('video');
  video.muted = video.autoplay = true;
  document.body.append(video);
  pc.ontrack = ({ track }) => { video.srcObject = new MediaStream([track]); };
  pc.addTransceiver('video', { direction: 'recvonly' });
  await pc.setLocalDescription();
  const response = await fetch(`/whep/${camera}`, {
    method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: pc.localDescription.sdp,
  });
  window.resource = response.headers.get('Location');
  const sdp = await response.text();
  await pc.setRemoteDescription({ type: 'answer', sdp });
  return {
    status: response.status, type: response.headers.get('Content-Type'), location: window.resource, sdp,
  };
}
"""
# Offer, answer and the resource as RFC 9725 has them, for a page of another site with the token: audio too, and ICE servers by Link.
FOREIGN = """
async ([endpoint, token]) => {
  const authorized = { Authorization: `Bearer ${token}` };
  const asked = await fetch(endpoint, { method: 'OPTIONS', headers: authorized });
  const pc = (window.pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' }));
  const video = document.createElement('video');
  video.muted = video.autoplay = true;
  document.body.append(video);
  pc.ontrack = ({ track }) => { if (track.kind === 'video') video.srcObject = new MediaStream([track]); };
  pc.addTransceiver('audio', { direction: 'recvonly' });
  pc.addTransceiver('video', { direction: 'recvonly' });
  await pc.setLocalDescription();
  const response = await fetch(endpoint, {
    method: 'POST', headers: { 'Content-Type': 'application/sdp', ...authorized }, body: pc.localDescription.sdp,
  });
  const seen = (name) => response.headers.get(name);
  const [location, etag, link] = ['Location', 'ETag', 'Link'].map(seen);
  await pc.setRemoteDescription({ type: 'answer', sdp: await response.text() });
  const resource = new URL(location, endpoint);
  const body = pc.localDescription.sdp.match(/^a=ice-(ufrag|pwd):.*$/gm).slice(0, 2).join('\\r\\n') + '\\r\\na=end-of-candidates\\r\\n';
  const patched = await fetch(resource, {
    method: 'PATCH', headers: { 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': etag, ...authorized }, body,
  });
  window.end = async () => (await fetch(resource, { method: 'DELETE', headers: authorized })).status;
  return { options: asked.status, posted: response.status, link, patched: patched.status };
}
"""
# An ICE restart: new credentials and candidates by PATCH, ours back in a fragment, which becomes the answer.
RESTART = """
async ([resource, etag]) => {
  const pc = window.pc;
  const before = pc.currentRemoteDescription.sdp;
  const gathered = new Promise((resolve) => {
    pc.addEventListener('icecandidate', ({ candidate }) => candidate === null && resolve());
  });
  pc.restartIce();
  await pc.setLocalDescription(await pc.createOffer());
  await gathered;
  const sdp = pc.localDescription.sdp;
  const line = (text, name) => text.match(new RegExp(`^a=${name}:.*$`, 'm'))[0].trim();
  const candidates = sdp.match(/^a=candidate:.*$/gm).map((text) => text.trim());
  const body = [line(sdp, 'ice-ufrag'), line(sdp, 'ice-pwd'), 'm=video 9 UDP/TLS/RTP/SAVPF 0', 'a=mid:0', ...candidates, ''].join('\\r\\n');
  const response = await fetch(resource, {
    method: 'PATCH', headers: { 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '*' }, body,
  });
  const fragment = await response.text();
  const theirs = fragment.match(/^a=candidate:.*$/gm).map((text) => text.trim());
  const answer = before
    .replace(/^a=candidate:.*\\r\\n/gm, '').replace(/^a=end-of-candidates\\r\\n/gm, '')
    .replace(/^a=ice-ufrag:.*$/gm, line(fragment, 'ice-ufrag')).replace(/^a=ice-pwd:.*$/gm, line(fragment, 'ice-pwd'))
    + theirs.map((text) => `${text}\\r\\n`).join('');
  const port = () => pc.getReceivers()[0].transport.iceTransport.getSelectedCandidatePair()?.local.port;
  const old = port();
  const frozen = (async () => { // the longest time between two frames while the path changes
    let longest = 0, last = performance.now();
    const video = document.querySelector('video');
    for (let n = 0; n < 60; n += 1) {
      await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }
    return longest;
  })();
  await pc.setRemoteDescription({ type: 'answer', sdp: answer });
  const longest = await frozen;
  return {
    status: response.status, etag: response.headers.get('ETag'), old, port: port(), longest,
    state: pc.iceConnectionState, localUfrag: line(sdp, 'ice-ufrag'),
  };
}
"""
LEAVE = """
async () => {
  const resource = window.resource;
  window.resource = null;
  return resource && (await fetch(resource, { method: 'DELETE' })).status;
}
"""
HUNG_UP = "pc.getReceivers()[0].transport.state === 'closed'"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    cameras = {"front": picture(title="Front door"), "solo": picture(width=320, height=240, fps=10, max_viewers=1)}
    with Daemon({"camera": cameras}, tmp_path_factory.mktemp("whep")) as running:
        running.wait_ready()
        yield running
        running.assert_quiet()


def test_the_daemons_viewer_page_plays(daemon: Daemon, browser: Browser) -> None:
    with browser.visit(f"{daemon.url}/view/front") as visit:
        visit.wait_playing()
        visit.assert_moving()
        (viewer,) = daemon.wait_viewers(1)
        assert (viewer["camera"], viewer["via"], viewer["path"]) == ("front", "whep", "direct")
        assert viewer["sent_units"] >= 15
        assert viewer["sent_bytes"] > 10_000
        assert visit.page.title() == "Front door · edgecam"


def test_a_bare_page_posts_an_offer_and_sees_moving_pictures(daemon: Daemon, browser: Browser) -> None:
    with bare_page(daemon, browser) as visit:
        joined = visit.page.evaluate(JOIN, "front")
        assert (joined["status"], joined["type"]) == (201, "application/sdp")
        visit.wait_frames(30)
        visit.assert_moving()
        assert joined["location"].startswith("/whep/front/")
        viewer = daemon.viewer(id_in(joined["location"]))
        assert viewer is not None
        assert viewer["state"] == "connected"


def test_the_answer_names_the_profile_of_the_real_stream(daemon: Daemon, browser: Browser) -> None:
    with bare_page(daemon, browser) as visit:
        answer = visit.page.evaluate(JOIN, "front")["sdp"]
        visit.wait_frames(1)
    assert f"profile-level-id={daemon.camera('front')['profile_level_id']}" in answer


def test_the_same_session_goes_on_after_a_camera_restart(daemon: Daemon, browser: Browser) -> None:
    with bare_page(daemon, browser) as visit:
        resource = visit.page.evaluate(JOIN, "front")["location"]
        visit.wait_frames(60)  # two seconds
        restarts = daemon.camera("front")["restarts"]
        for capture in children(daemon.pid):  # both cameras'
            os.kill(capture, signal.SIGKILL)
        until(lambda: daemon.camera("front")["restarts"] > restarts, within=15, what="the camera's restart")
        visit.wait_frames(60)
        visit.assert_moving()
        viewer = daemon.viewer(id_in(resource))
        assert viewer is not None
        assert viewer["state"] == "connected"


def test_an_ice_restart_moves_the_session_to_a_new_path_and_pictures_go_on(daemon: Daemon, browser: Browser) -> None:
    with bare_page(daemon, browser) as visit:
        resource = visit.page.evaluate(JOIN, "front")["location"]
        visit.wait_frames(15)
        restarted = visit.page.evaluate(RESTART, [resource, ""])
        assert restarted["status"] == 200
        assert restarted["state"] in {"connected", "completed"}
        assert restarted["port"] != restarted["old"], "still on the path from before the restart"
        assert restarted["longest"] < 1000, f"no picture for {restarted['longest']:.0f} ms"
        visit.wait_frames(150, within=15)  # five seconds: longer than consent lasts on a path that nobody confirms
        visit.assert_moving()
        viewer = daemon.viewer(id_in(resource))
        assert viewer is not None
        assert viewer["remote"].endswith(f":{restarted['port']}")
        again = visit.page.evaluate(RESTART, [resource, restarted["etag"]])
        assert (again["status"], again["port"] != restarted["port"]) == (200, True)
        visit.wait_frames(60)


def test_a_page_of_another_site_with_the_token_plays(browser: Browser, tmp_path: Path) -> None:
    with foreign_site() as site:
        config = {"camera": {"front": picture()}, "web": {"token": "sesame", "cors_origins": [site]}}
        daemon = Daemon(config, tmp_path)
        daemon.file.write_text(daemon.file.read_text() + '[[ice.servers]]\nurls = ["stun:127.0.0.1:9"]\n')
        with daemon, browser.visit(site) as visit:
            daemon.wait_logged("daemon.ready", within=25)
            joined = visit.page.evaluate(FOREIGN, [f"{daemon.url}/whep/front", "sesame"])
            expected = {"options": 200, "posted": 201, "link": '<stun:127.0.0.1:9>; rel="ice-server"', "patched": 204}
            assert joined == expected
            visit.wait_frames(30)
            visit.assert_moving()
            assert visit.page.evaluate("end()") == 200
            visit.wait_for(HUNG_UP, within=2)


def test_delete_ends_the_session_at_once(daemon: Daemon, browser: Browser) -> None:
    with bare_page(daemon, browser) as visit:
        resource = visit.page.evaluate(JOIN, "front")["location"]
        visit.wait_frames(5)
        assert visit.page.evaluate(LEAVE) == 200
        until(lambda: daemon.viewer(id_in(resource)) is None, within=1.5, what="the session's end")
        visit.wait_for(HUNG_UP, within=2)
        assert daemon.request("DELETE", resource).status == 200, "leaving twice is no mistake"


def test_a_closed_tab_leaves_its_place_at_once(daemon: Daemon, browser: Browser) -> None:
    with browser.visit(f"{daemon.url}/view/front") as visit:
        visit.wait_playing()
        daemon.wait_viewers(1)
        visit.page.close()
        daemon.wait_viewers(0, within=3)


def test_a_crashed_tab_is_reaped_within_ten_seconds(daemon: Daemon, browser: Browser) -> None:
    with browser.visit(f"{daemon.url}/view/front", tolerates=["the page crashed"]) as visit:
        visit.wait_playing()
        daemon.wait_viewers(1)
        visit.crash()
        crashed = time.monotonic()
        until(lambda: not daemon.status()["viewers"], within=10, what="the viewer's session reaped")
        assert time.monotonic() - crashed > 1, "the session was ended by a goodbye: this was no crash"


def test_one_viewer_too_many_is_told_so_and_joins_when_there_is_room(daemon: Daemon, browser: Browser) -> None:
    url = f"{daemon.url}/view/solo"
    with browser.visit("about:blank", tolerates=["503"]) as late:
        with browser.visit(url) as first:
            first.wait_playing()
            late.page.goto(url)
            late.wait_for("window.edgecam && window.edgecam.state === 'refused'")
            assert "is full" in late.page.locator("#overlay-title").inner_text()
            assert "Wait for one to leave" in late.page.locator("#overlay-detail").inner_text()
            first.wait_frames(5)
        late.wait_playing()
    assert daemon.status()["viewers_refused"] >= 1


def id_in(resource: str) -> str:
    return resource.rsplit("/", 1)[1]


@contextmanager
def bare_page(daemon: Daemon, browser: Browser) -> Iterator[Visit]:
    """A page of the daemon's origin without any script of ours; its session ends with it."""
    with browser.visit(f"{daemon.url}/healthz") as visit:
        yield visit
        visit.page.evaluate(LEAVE)


@contextmanager
def foreign_site() -> Iterator[str]:
    """An empty page of another origin."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><link rel=icon href=data:,><title>player</title>")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
