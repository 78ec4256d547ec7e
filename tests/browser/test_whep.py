"""Watching straight from the daemon over WHEP, with our page and with one that has never heard of edgecam."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.browser.scenes import picture
from tests.harness.browser import Browser, Visit
from tests.harness.daemons import Daemon
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
