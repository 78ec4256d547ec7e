/**
 * Reads the clock strip that a test source paints into the picture: with q = floor(width / 40), a row of 32 squares
 * of q by q from the top-left corner, most significant bit first, white = 1: the wall clock in milliseconds modulo
 * 2^32 when the frame was made. Below it the same row inverted, which tells a strip from any other picture.
 */
const BITS = 32;
const CONTRAST = 64; // of 255; the strip is painted in 16 and 235

/** The strip's number, or null when the pixels are no strip. @param {Uint8ClampedArray} rgba 32×2 pixels */
export function decodeStrip(rgba) {
  let clock = 0;
  for (let bit = 0; bit < BITS; bit += 1) {
    const difference = rgba[bit * 4 + 1] - rgba[(BITS + bit) * 4 + 1];
    if (Math.abs(difference) < CONTRAST) return null;
    clock = clock * 2 + (difference > 0 ? 1 : 0);
  }
  return clock;
}

/** Milliseconds from `clock` to `wallMs`, both modulo 2^32, as a signed number. @param {number} clock @param {number} wallMs */
export function since(clock, wallMs) {
  const span = 2 ** 32;
  const difference = (((wallMs - clock) % span) + span) % span;
  return difference >= span / 2 ? difference - span : difference;
}

/** Reads the strip off a video element. Only the strip's rows are drawn, one pixel per square. */
export class StripReader {
  constructor() {
    const canvas = document.createElement('canvas');
    canvas.width = BITS;
    canvas.height = 2;
    this.context = canvas.getContext('2d', { willReadFrequently: true });
    this.context.imageSmoothingEnabled = false;
  }

  /** @param {HTMLVideoElement} video @returns {number|null} */
  read(video) {
    const q = Math.floor(video.videoWidth / 40);
    if (q < 2) return null;
    this.context.drawImage(video, 0, 0, BITS * q, 2 * q, 0, 0, BITS, 2);
    return decodeStrip(this.context.getImageData(0, 0, BITS, 2).data);
  }
}

/** The latencies of the last half minute. */
export class LatencyWindow {
  #samples = [];

  /** @param {number} at performance.now() @param {number} ms */
  add(at, ms) {
    this.#samples.push({ at, ms });
  }

  clear() {
    this.#samples = [];
  }

  /** @param {number} now performance.now() @returns {{p50: number, p95: number}|null} */
  percentiles(now) {
    this.#samples = this.#samples.filter(({ at }) => now - at < 30_000);
    if (!this.#samples.length) return null;
    const sorted = this.#samples.map(({ ms }) => ms).sort((a, b) => a - b);
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
    return { p50: at(0.5), p95: at(0.95) };
  }
}
