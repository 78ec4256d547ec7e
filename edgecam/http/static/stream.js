/**
 * Keeps one camera's picture on the page, for ever: calls, watches, calls again.
 *
 * `state` is what a person needs to know:
 *   connecting    first call under way          waiting   the camera is not there (yet)
 *   playing       pictures are coming           refused   the host says no
 *   reconnecting  had pictures, calling again
 */
import { Backoff } from './backoff.js';
import { askHost } from './host.js';
import { Session } from './session.js';
import { PRIVATE } from './signaling.js';
import { WebSocketTransport } from './websocket.js';
import { WhepTransport } from './whep.js';

// How long each step may take before a fresh call has better odds.
const ANSWER_MS = 6000; // a camera that opens its device on demand needs a few seconds
const PATH_MS = 12_000; // a relay behind a dead STUN server is found after about five
const SLOW_MS = 1500; // a person wants to know what takes so long
const EMPTY_MS = 60_000; // connected to a camera that has no picture: it will come on this connection
const FROZEN_MS = 2000; // shown to the person
const FROZEN_LOST_MS = 6000; // no frames, and ICE agrees that the path is gone
// No frames, though the path holds: the daemon lives and its camera is away. It goes on with this very call.
const FROZEN_HELD_MS = 120_000;
const TICK_MS = 500;

/**
 * @typedef {import('./signaling.js').Problem} Problem
 * @typedef {import('./host.js').Camera} Camera
 *
 * @typedef {object} StreamListener
 * @property {() => void} changed                     state, problem, frozenMs or nextTryAt changed
 * @property {(type: string, detail?: object) => void} event
 * @property {(report: RTCStatsReport|null) => void} report  about once a second while connected; null: no longer
 * @property {(cameras: Camera[]) => void} cameras
 * @property {(hasAudio: boolean) => void} audio
 */
export class Stream {
  #session = null;
  #transport = null;
  #host = null;
  #ice = { iceServers: [], relayOnly: false };
  #backoff = new Backoff(300, 10_000);
  #retryTimer = 0;
  #passiveCalls = 0;
  #lastFrameAt = 0;
  #framesDecoded = 0;
  #lastReportAt = 0;
  #hadPicture = false;
  #closed = false;

  /** @type {'connecting'|'waiting'|'playing'|'reconnecting'|'refused'} */
  state = 'connecting';
  /** Why it is not playing. @type {Problem|null} */
  problem = null;
  /** performance.now() of the next call, when one is planned. @type {number|null} */
  nextTryAt = null;
  /** Milliseconds without a new picture, once that is worth saying. */
  frozenMs = 0;
  /** performance.now() of the current call's start, and of its first picture. */
  connectStartedAt = performance.now();
  firstFrameAt = null;
  /** Date of the first picture of this call. @type {Date|null} */
  playingSince = null;

  /**
   * @param {string} camera
   * @param {import('./picture.js').Picture} picture
   * @param {StreamListener} listener
   * @param {{passive: boolean}} options  passive: wait for the camera's call (websocket only)
   */
  constructor(camera, picture, listener, { passive }) {
    this.camera = camera;
    this.picture = picture;
    this.listener = listener;
    this.passive = passive;
    setInterval(() => this.#tick(), TICK_MS);
  }

  /** @returns {RTCPeerConnection|null} */
  get pc() {
    return this.#session?.pc ?? null;
  }

  /** Of the present call, when there is one and it has such a channel. */
  get latency() {
    return this.#session?.latency ?? null;
  }

  get canTalk() {
    return this.#session?.canTalk ?? false;
  }

  /** Send that to the camera's loudspeaker; null: nothing more. @param {MediaStreamTrack|null} track */
  async talk(track) {
    await this.#session?.talk(track);
  }

  start() {
    this.#closed = false;
    this.#begin();
  }

  /** Call again now, whatever the state. */
  reconnect(reason = 'asked') {
    this.#backoff.reset();
    this.#drop(reason);
    this.#begin();
  }

  /** The network or the page came back: do not sit out a wait that was meant for a dead network. */
  nudge() {
    if (this.#closed) return;
    if (!this.#session) this.reconnect('nudged');
    else this.#recheck();
  }

  /** Leave politely; `start` begins anew (a page restored from the back/forward cache). */
  close() {
    this.#closed = true;
    this.#drop('leaving');
    this.#transport?.close();
    this.#transport = null;
  }

  // ── calling ──────────────────────────────────────────────────────────────────────────────────

  async #begin() {
    clearTimeout(this.#retryTimer);
    this.nextTryAt = null;
    if (this.#closed) return;
    this.connectStartedAt = performance.now();
    this.firstFrameAt = null;
    if (this.state !== 'waiting' && this.state !== 'refused') this.#become(this.#fetching);
    this.listener.event('call');

    const host = this.#learnHost(); // under way while the offer is made
    host.catch(() => {}); // seen below, unless this call is replaced before
    if (this.passive) return this.#awaitCall(host);

    const session = this.#newSession();
    try {
      // Sent before gathering begins: the camera can work on its answer meanwhile.
      const [sdp, transport] = await Promise.all([session.createOffer(), this.#transport ?? host]);
      if (session !== this.#session) return;
      transport.open();
      transport.offer(sdp);
      await host;
      if (session !== this.#session) return;
      await session.gather(this.#ice);
    } catch (error) {
      if (session === this.#session) this.#fail(asProblem(error));
    }
  }

  async #awaitCall(host) {
    try {
      const transport = this.#transport ?? (await host);
      this.#passiveCalls += 1;
      if (this.#passiveCalls > 1) transport.reset();
      else transport.open();
    } catch (error) {
      this.#fail(asProblem(error));
    }
  }

  /** How to reach the camera now; the first answer makes the transport. */
  async #learnHost() {
    const asked = askHost(this.#host).then((host) => {
      this.#host = this.#ice = host;
      this.listener.cameras(host.cameras);
    });
    // Only TURN credentials expire. Without any, what the host said last serves, and its news may come later.
    if (this.#host?.iceServers.length === 0) asked.catch(() => {});
    else await asked;
    this.#transport ??=
      this.#host.transport === 'websocket'
        ? new WebSocketTransport(this.camera, this.#signaling, { passive: this.passive })
        : new WhepTransport(this.camera, this.#signaling);
    return this.#transport;
  }

  #newSession() {
    this.#drop('replaced');
    const session = new Session({
      candidate: (candidate) => this.#transport?.candidate(candidate),
      track: (track) => {
        this.picture.attach(track);
        if (track.kind === 'audio') this.listener.audio(true);
      },
      down: (message) => {
        if (session === this.#session) this.#fail({ kind: 'unreachable', message });
      },
    });
    this.#session = session;
    this.#framesDecoded = 0;
    this.picture.begin(() => this.#frameShown(session));
    this.listener.audio(false);
    return session;
  }

  /** What the transport tells us. @type {import('./signaling.js').TransportListener} */
  #signaling = {
    opened: () => {
      this.listener.event('signaling-open');
      if (!this.#session && !this.passive) this.#begin();
    },
    closed: (retryMs) => {
      this.listener.event('signaling-closed');
      // Media does not need the socket. A call that nobody has answered does.
      if (this.#session && !this.#session.calling) return;
      this.#drop('signaling closed');
      clearTimeout(this.#retryTimer);
      this.nextTryAt = performance.now() + retryMs;
      this.#become(this.#fetching, { kind: 'unreachable', message: 'The signaling server does not answer' });
    },
    answer: async (sdp) => {
      const session = this.#session;
      if (!session?.calling) return;
      try {
        await session.accept(sdp);
        this.listener.event('answered');
        this.#become(this.#fetching);
      } catch (error) {
        this.listener.event('answer-unusable', { message: error.message });
        if (session === this.#session) this.#fail({ kind: 'unreachable', message: 'The answer could not be used' });
      }
    },
    offer: async (sdp) => {
      this.listener.event('called', { glare: this.#session?.calling === true });
      // Always on a fresh connection: our own offer, if any, gives way without a rollback.
      const session = this.#newSession();
      this.connectStartedAt = performance.now();
      this.firstFrameAt = null;
      try {
        const answer = await session.answer(sdp, this.#ice);
        if (session !== this.#session) return;
        this.#transport.answer(answer);
        this.#become(this.#fetching);
      } catch (error) {
        this.listener.event('offer-unusable', { message: error.message });
        if (session === this.#session) this.#fail({ kind: 'unreachable', message: 'The call could not be used' });
      }
    },
    candidate: (candidate) => this.#session?.candidate(candidate),
    problem: (found) => {
      this.listener.event('problem', found);
      // Whoever is being served is not concerned: frames, not messages, decide about a call that plays.
      if (this.#session && !this.#session.calling) return;
      this.#fail(found);
    },
    gone: () => {
      this.listener.event('gone');
      if (this.#session) this.#fail({ kind: 'unreachable', message: 'The camera ended the connection' });
    },
    cameraBack: () => {
      this.listener.event('camera-back');
      if (this.passive) return;
      if (!this.#session) this.#begin();
      else if (!this.#session.calling) this.#recheck();
    },
    iceServers: (servers) => {
      this.#ice = { ...this.#ice, iceServers: servers };
    },
    cameras: (cameras) => this.listener.cameras(cameras),
    healthy: () => this.state === 'playing' && this.frozenMs === 0,
  };

  // ── failing and trying again ─────────────────────────────────────────────────────────────────

  /** @param {Problem} found */
  #fail(found) {
    this.listener.event('failed', found);
    const silent = this.#session?.calling && found.code === 'no-answer';
    this.#drop(found.message);
    if (silent) this.#transport?.reset();
    if (found.code === PRIVATE) this.picture.erase();
    const state = found.kind === 'unreachable' ? this.#fetching : found.kind;
    clearTimeout(this.#retryTimer);
    this.nextTryAt = null;
    if (!found.final && !this.#closed) {
      const wait = Math.max(this.#backoff.next(), found.retryAfterMs ?? 0);
      this.nextTryAt = performance.now() + wait;
      this.#retryTimer = setTimeout(() => this.#begin(), wait);
    }
    this.#become(state, found);
  }

  #drop(reason) {
    const session = this.#session;
    if (!session) return;
    this.listener.event('dropped', { reason });
    this.picture.hold();
    this.#session = null;
    this.playingSince = null;
    this.frozenMs = 0;
    session.close();
    this.#transport?.hangUp();
    this.listener.report(null);
  }

  /** Something changed elsewhere: if pictures have stopped, a moment decides instead of the long wait. */
  #recheck() {
    const session = this.#session;
    setTimeout(() => {
      if (session !== this.#session || performance.now() - this.#lastFrameAt < FROZEN_MS) return;
      if (session?.firstFrameAt) this.#fail({ kind: 'unreachable', message: 'The pictures stopped' });
    }, 1500);
  }

  get #fetching() {
    return this.#hadPicture ? 'reconnecting' : 'connecting';
  }

  #become(state, found = null) {
    const before = this.state;
    this.state = state;
    this.problem = found;
    if (before !== state) this.listener.event('state', { state });
    this.listener.changed();
  }

  // ── watching ─────────────────────────────────────────────────────────────────────────────────

  #frameShown(session) {
    if (session !== this.#session || session.firstFrameAt !== null) return;
    const now = performance.now();
    session.firstFrameAt = this.firstFrameAt = this.#lastFrameAt = now;
    this.#hadPicture = true;
    this.playingSince = new Date();
    this.picture.release();
    this.listener.event('first-frame', { ms: now - this.connectStartedAt });
    this.#become('playing');
    // A call that breaks at once must not be repeated at full speed.
    setTimeout(() => session === this.#session && this.#backoff.reset(), 5000);
  }

  #tick() {
    const session = this.#session;
    if (!session) {
      if (this.nextTryAt !== null) this.listener.changed(); // the countdown
      return;
    }
    const now = performance.now();
    if (session.answeredAt !== null && now - this.#lastReportAt >= 2 * TICK_MS - 50) {
      this.#lastReportAt = now;
      this.#readReport(session);
    }
    if (session.calling) {
      if (now - session.startedAt > ANSWER_MS) {
        this.#fail({ kind: 'unreachable', code: 'no-answer', message: 'The camera does not answer' });
      }
    } else if (session.firstFrameAt === null) {
      if (session.answeredAt !== null) this.#awaitPicture(session, now - session.answeredAt);
    } else {
      this.#watchFrames(session, now);
    }
  }

  #awaitPicture(session, elapsed) {
    const found = session.iceConnected ? EMPTY : NO_PATH;
    if (elapsed > (session.iceConnected ? EMPTY_MS : PATH_MS)) this.#fail(found);
    else if (session.iceConnected && elapsed > SLOW_MS && this.state !== 'waiting') this.#become('waiting', EMPTY);
  }

  #watchFrames(session, now) {
    // A hidden page may stop decoding to save power; that is no fault to repair.
    if (document.hidden && !document.pictureInPictureElement) return;
    const idle = now - this.#lastFrameAt;
    const frozen = idle > FROZEN_MS ? idle : 0;
    if (idle > (session.iceConnected ? FROZEN_HELD_MS : FROZEN_LOST_MS)) {
      this.#fail({ kind: 'unreachable', message: 'The pictures stopped' });
    } else if (frozen || this.frozenMs) {
      if (!this.frozenMs) this.#transport?.verify?.();
      this.frozenMs = frozen;
      this.listener.changed();
    }
  }

  async #readReport(session) {
    const report = await session.pc.getStats();
    if (session !== this.#session) return;
    for (const entry of report.values()) {
      if (entry.type !== 'inbound-rtp' || entry.kind !== 'video') continue;
      if (entry.framesDecoded > this.#framesDecoded) {
        this.#framesDecoded = entry.framesDecoded;
        this.#lastFrameAt = performance.now();
        // A hidden page, or a browser without frame callbacks, learns of its first picture here.
        this.#frameShown(session);
      }
    }
    this.listener.report(report);
  }
}

/** @type {Problem} */
const EMPTY = { kind: 'waiting', message: 'Connected; the camera sends no pictures yet' };
/** @type {Problem} */
const NO_PATH = {
  kind: 'unreachable',
  message: 'No network path to the camera was found',
  remedy: 'The network in between may need a TURN relay',
};

/** @param {Error & {problem?: Problem}} error @returns {Problem} */
const asProblem = (error) => error.problem ?? { kind: 'unreachable', message: error.message };
