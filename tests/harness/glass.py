"""How old pictures are when a page can see them, by the clock strip in them; read with nothing of our page's own."""

from __future__ import annotations

from tests.harness.browser import Visit

# On every tick of the screen: has the picture changed, and how old is what it shows? This sees the same in every
# browser, whatever way it has of putting pictures on the screen. `now`, the tick, is brought onto the wall clock with
# Date.now(), which rounds down as the strip does.
AGES = """
async (seconds) => {
  const video = document.querySelector('video');
  const q = Math.floor(video.videoWidth / 40);
  const canvas = document.createElement('canvas');
  canvas.width = 32;
  canvas.height = 2;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.imageSmoothingEnabled = false;
  const read = () => {
    context.drawImage(video, 0, 0, 32 * q, 2 * q, 0, 0, 32, 2);
    const rgba = context.getImageData(0, 0, 32, 2).data;
    let clock = 0;
    for (let bit = 0; bit < 32; bit += 1) {
      const difference = rgba[bit * 4 + 1] - rgba[(32 + bit) * 4 + 1];
      if (Math.abs(difference) < 64) return null;
      clock = clock * 2 + (difference > 0 ? 1 : 0);
    }
    return clock;
  };
  const found = [];
  const end = performance.now() + seconds * 1000;
  let last = read();
  await new Promise((done) => {
    const tick = (now) => {
      const shown = Date.now() + now - performance.now();
      const clock = read();
      if (clock !== null && clock !== last) {
        const age = (((shown - clock) % 2 ** 32) + 2 ** 32) % 2 ** 32;
        found.push(age < 2 ** 31 ? age : age - 2 ** 32);
      }
      last = clock;
      if (performance.now() < end) requestAnimationFrame(tick);
      else done();
    };
    requestAnimationFrame(tick);
  });
  return found;
}
"""


def ages(visit: Visit, seconds: float) -> list[float]:
    """Milliseconds from each picture's making to the screen's tick at which the page's video element had it."""
    return [float(age) for age in visit.page.evaluate(AGES, seconds)]
