/**
 * Glass to glass: how old each picture is when it is shown, by the camera's clock.
 *
 * The camera stamps pictures with an RTP clock that runs with its own. A data channel beside the pictures asks what
 * that clock says now, and tells the camera what was found. No wall clock has to be right anywhere.
 */

export const LABEL = 'edgecam';

const RTP_KHZ = 90;
// The first few questions come quickly, because the best answer is the quickest one.
const EAGER = 5;
const EAGER_MS = 80;
const PERIOD_MS = 4000; // each question costs the camera half a millisecond
const WINDOW_MS = 30_000;
// Clocks run apart, by 50 ppm at worst: an old answer, however quick, must give way to a new one some day.
const DRIFT = 50e-6;

/** The camera's RTP clock in terms of performance.now(). */
export class CameraClock {
  #best = null;

  /**
   * Keeps the answer that says most: off by half its round trip at most, and by what the clocks drifted since. So a
   * delay that appears in one direction only is seen whole, as long as the path was once without it.
   * @param {number} askedAt performance.now() @param {number} answeredAt @param {number} rtp  RTP timestamp of then
   */
  learn(askedAt, answeredAt, rtp) {
    const found = { at: (askedAt + answeredAt) / 2, rtp, error: (answeredAt - askedAt) / 2 };
    const best = this.#best;
    if (best === null || found.error <= best.error + (found.at - best.at) * DRIFT) this.#best = found;
  }

  /** performance.now() when a picture was captured; null while unknown. @param {number|undefined} rtp */
  capturedAt(rtp) {
    if (this.#best === null || rtp === undefined) return null;
    return this.#best.at + ((rtp - this.#best.rtp) | 0) / RTP_KHZ; // the difference of 32-bit counters, signed
  }
}

/**
 * When pictures reach the screen: at the first tick of the screen's clock after the browser took them up. Browsers that
 * show each picture as it comes say when it came, others for which tick they meant it; `expectedDisplayTime` is a guess
 * that differs by up to two ticks between the two, and `now` may lie before the picture's arrival.
 */
export class Screen {
  #period = 1000 / 60;
  #last = 0;

  constructor() {
    requestAnimationFrame((now) => this.#measure(now, []));
  }

  /** @param {number} tick any tick: a frame callback's `now` @param {VideoFrameCallbackMetadata} metadata */
  shownAt(tick, { presentationTime }) {
    const SLACK_MS = 1; // ticks jitter
    return tick + Math.ceil((presentationTime - tick - SLACK_MS) / this.#period) * this.#period;
  }

  /** The median of a few intervals. @param {number} now @param {number[]} intervals */
  #measure(now, intervals) {
    if (this.#last) intervals.push(now - this.#last);
    this.#last = now;
    if (intervals.length < 15) requestAnimationFrame((next) => this.#measure(next, intervals));
    else this.#period = intervals.sort((a, b) => a - b)[7];
  }
}

/** The latencies of the last half minute, milliseconds. */
export class LatencyWindow {
  #samples = [];

  /** @param {number} at performance.now() @param {number} ms */
  add(at, ms) {
    this.#samples.push({ at, ms });
  }

  clear() {
    this.#samples = [];
  }

  /** Of the last `span` milliseconds. @param {number} now @returns {{p50: number, p95: number, frames: number}|null} */
  percentiles(now, span = WINDOW_MS) {
    this.#samples = this.#samples.filter(({ at }) => now - at < WINDOW_MS);
    const sorted = this.#samples.filter(({ at }) => now - at < span).map(({ ms }) => ms).sort((a, b) => a - b);
    if (!sorted.length) return null;
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
    return { p50: at(0.5), p95: at(0.95), frames: sorted.length };
  }
}

/** Asks the camera for its clock and tells it the latencies, for as long as the channel is open. */
export class LatencyChannel {
  #asked = 0;
  #timer = 0;
  clock = new CameraClock();
  window = new LatencyWindow();

  /** Before the offer is made. @param {RTCPeerConnection} pc */
  constructor(pc) {
    // An answer that comes late is worth nothing: none is sent again.
    const channel = pc.createDataChannel(LABEL, { ordered: false, maxRetransmits: 0 });
    this.channel = channel;
    channel.onopen = () => this.#ask();
    channel.onclose = () => clearTimeout(this.#timer);
    channel.onmessage = ({ data }) => this.#answered(data);
  }

  /** A picture was shown. @param {number} at performance.now() @param {number|undefined} rtp */
  shown(at, rtp) {
    const captured = this.clock.capturedAt(rtp);
    if (captured !== null) this.window.add(at, Math.max(0, at - captured));
  }

  close() {
    clearTimeout(this.#timer);
    this.channel.close();
  }

  #ask() {
    if (this.channel.readyState !== 'open') return;
    const now = performance.now();
    const latest = this.window.percentiles(now, PERIOD_MS);
    const rounded = (ms) => Math.round(ms * 10) / 10;
    const latency = latest && [rounded(latest.p50), rounded(latest.p95), latest.frames];
    this.channel.send(JSON.stringify({ ping: now, ...(latency && { latency }) }));
    this.#asked += 1;
    this.#timer = setTimeout(() => this.#ask(), this.#asked < EAGER ? EAGER_MS : PERIOD_MS);
  }

  #answered(data) {
    const now = performance.now();
    let answer;
    try {
      answer = JSON.parse(data);
    } catch {
      return;
    }
    const { pong, rtp } = answer ?? {};
    if (Number.isFinite(pong) && pong <= now && Number.isInteger(rtp)) this.clock.learn(pong, now, rtp);
  }
}
