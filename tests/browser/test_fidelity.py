"""What Chromium gets is the encoder's output, byte for byte."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import pytest

from edgecam.media.h264 import nal_units
from edgecam.media.types import AccessUnit
from edgecam.rtc.sending.selftest import Capabilities
from tests.harness.browser import Browser
from tests.rtc.scene import Scene, scene

OFFER = """
async () => {
  const pc = (window.pc = new RTCPeerConnection({ encodedInsertableStreams: true }));
  window.frames_seen = [];
  const { receiver } = pc.addTransceiver('video', { direction: 'recvonly' });
  const { readable, writable } = receiver.createEncodedStreams();
  readable.pipeThrough(new TransformStream({
    transform(frame, controller) {
      window.frames_seen.push(btoa(String.fromCharCode(...new Uint8Array(frame.data))));
      controller.enqueue(frame);
    },
  })).pipeTo(writable);
  await pc.setLocalDescription();
  return pc.localDescription.sdp;
}
"""
ANSWER = "(sdp) => pc.setRemoteDescription({ type: 'answer', sdp })"


class Camera:
    """A scene on an event loop of its own, as the browser's tests have none."""

    def __init__(self) -> None:
        self.sent: list[AccessUnit] = []
        self.stage: Future[Scene] = Future()
        self.loop = asyncio.new_event_loop()
        self._over = asyncio.Event()

    def answer(self, offer: str) -> str:
        stage = self.stage.result(10)
        return asyncio.run_coroutine_threadsafe(stage.viewers.answer(stage.key(), offer), self.loop).result(10)

    def run(self) -> None:
        self.loop.run_until_complete(self._serve())
        self.loop.close()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._over.set)

    async def _serve(self) -> None:
        async with scene() as stage:
            stage.pipeline.attach(self.sent.append).start()
            self.stage.set_result(stage)
            await self._over.wait()


@contextmanager
def serving() -> Iterator[Camera]:
    camera = Camera()
    thread = threading.Thread(target=camera.run, name="camera")
    thread.start()
    try:
        yield camera
    finally:
        camera.stop()
        thread.join()


@pytest.mark.parametrize("gso", [True, False])
def test_chromium_gets_the_very_access_units(browser: Browser, gso: bool) -> None:
    with serving() as camera, browser.visit("about:blank") as visit:
        camera.stage.result(10).viewers.fanouts["front"].capabilities = Capabilities(usable=True, gso=gso)
        visit.page.evaluate(ANSWER, camera.answer(visit.page.evaluate(OFFER)))
        visit.page.wait_for_function("window.frames_seen.length >= 60")
        arrived = [list(nal_units(base64.b64decode(frame))) for frame in visit.page.evaluate("window.frames_seen")]
        sent = [list(nal_units(unit.data)) for unit in camera.sent]
        begin = sent.index(arrived[0])
        assert sent[begin : begin + len(arrived)] == arrived
        (session,) = camera.stage.result(10).viewers
        assert session.media_path == "fast"
