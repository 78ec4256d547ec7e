"""Glass to glass: from the picture's making to the moment Chromium expects it on the screen, on one machine's clock.

Beginning: the wall clock that the test source draws into each frame as it makes it, whole milliseconds rounded down.
End: `expectedDisplayTime` of requestVideoFrameCallback for that frame, brought onto the wall clock with Date.now(),
which also rounds down, so that the two halves of a millisecond cancel out. In between lie encoding, the way from the
capture process to the daemon, packets, Chromium's jitter buffer and decoder, and the wait for the next of its 60
frames a second. Not in it: a sensor's exposure and a monitor's own delay, since there is neither.
"""

from __future__ import annotations

from tests.bench.figures import Figure
from tests.bench.scene import Scene

SAMPLE = """
async (seconds) => {
  const video = document.querySelector('video');
  const q = Math.floor(video.videoWidth / 40);
  const canvas = document.createElement('canvas');
  canvas.width = 32;
  canvas.height = 2;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.imageSmoothingEnabled = false;
  const found = [];
  const end = performance.now() + seconds * 1000;
  await new Promise((done) => {
    const sample = (now, metadata) => {
      const shown = Date.now() + metadata.expectedDisplayTime - performance.now();
      context.drawImage(video, 0, 0, 32 * q, 2 * q, 0, 0, 32, 2);
      const rgba = context.getImageData(0, 0, 32, 2).data;
      let clock = 0;
      let strip = true;
      for (let bit = 0; bit < 32; bit += 1) {
        const difference = rgba[bit * 4 + 1] - rgba[(32 + bit) * 4 + 1];
        strip &&= Math.abs(difference) >= 64;
        clock = clock * 2 + (difference > 0 ? 1 : 0);
      }
      if (strip) found.push((((shown - clock) % 2 ** 32) + 2 ** 32) % 2 ** 32);
      if (performance.now() < end) video.requestVideoFrameCallback(sample);
      else done();
    };
    video.requestVideoFrameCallback(sample);
  });
  return found;
}
"""
SETTLE = 2000  # milliseconds for the jitter buffer to find its size


def measure(scene: Scene, seconds: float) -> dict[str, Figure]:
    """Every frame of `seconds` on the viewer page."""
    with scene.browser.visit(f"{scene.daemon.url}/view/front") as visit:
        visit.wait_playing()
        visit.page.wait_for_timeout(SETTLE)
        samples = [float(each) for each in visit.page.evaluate(SAMPLE, seconds)]
    return {"glass_to_glass_ms": Figure.of("glass to glass", "ms", samples)}
