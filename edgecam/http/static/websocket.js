/** The bundled signaling server's messages: how cameras behind it are reached. */
import { Backoff } from './backoff.js';
import { api } from './page.js';
import { FULL } from './signaling.js';

/**
 * @typedef {import('./signaling.js').Transport} Transport
 * @typedef {import('./signaling.js').TransportListener} TransportListener
 * @typedef {import('./signaling.js').Problem} Problem
 */

/** One socket, kept for ever. @implements {Transport} */
export class WebSocketTransport {
  #socket = null;
  #held = [];
  #timer = 0;
  #backoff = new Backoff(300, 10_000);
  #closed = false;
  /** Messages since `registered`: with their number the server takes us back as if nothing had happened. */
  #received = 0;
  #registered = false;

  /**
   * @param {string} camera
   * @param {TransportListener} listener
   * @param {{passive: boolean}} options  passive: the camera is to call us
   */
  constructor(camera, listener, { passive }) {
    this.camera = camera;
    this.listener = listener;
    this.passive = passive;
    this.peerId = randomId();
  }

  get usable() {
    return this.#socket !== null && this.#socket.readyState <= WebSocket.OPEN;
  }

  open() {
    if (this.usable || this.#closed) return;
    clearTimeout(this.#timer);
    const url = api('ws');
    url.protocol = url.protocol.replace('http', 'ws');
    const socket = new WebSocket(url);
    this.#socket = socket;
    // A host that swallows the handshake would hold us for minutes.
    const patience = setTimeout(() => socket.close(), 8000);
    socket.onopen = () => {
      clearTimeout(patience);
      this.#register();
    };
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = () => {
      clearTimeout(patience);
      if (this.#socket !== socket || this.#closed) return;
      this.#socket = null;
      this.#held = [];
      const wait = this.#backoff.next();
      this.#timer = setTimeout(() => this.open(), wait);
      this.listener.closed(wait);
    };
  }

  offer(sdp) {
    this.#send({ type: 'offer', sdp });
  }

  answer(sdp) {
    this.#send({ type: 'answer', sdp });
  }

  candidate(candidate) {
    if (!candidate) return; // this dialect has no end-of-candidates
    const { candidate: line, sdpMid, sdpMLineIndex } = candidate;
    this.#send({ type: 'ice-candidate', candidate: { candidate: line, sdpMid, sdpMLineIndex } });
  }

  /** Nothing to say: an offer of the same peer replaces the call before, and the closed connection ends the last. */
  hangUp() {
    this.#held = [];
  }

  reset() {
    const socket = this.#socket;
    this.#socket = null; // its close is no longer news
    socket?.close();
    this.hangUp();
    // A camera that calls keeps a call whose consent is fresh; only a new peer is sure to be called again.
    if (this.passive) this.peerId = randomId();
    this.open();
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#socket?.close();
  }

  /** Messages are ordered: the offer follows `register` at once, one round trip earlier than after `registered`. */
  #register() {
    const offers = !this.passive || this.listener.healthy();
    // A call that was under way is made anew: what belongs to the old one must not be sent after us.
    const resumable = !this.#registered || this.listener.healthy();
    const register = { type: 'register', role: 'receiver', ...(offers && { offers: true }), ...(resumable && { received: this.#received }) };
    this.#socket.send(this.#addressed(register));
    for (const text of this.#held.splice(0)) this.#socket.send(text);
    this.listener.opened();
  }

  #addressed(message) {
    return JSON.stringify({ ...message, cameraId: this.camera, peerId: this.peerId });
  }

  #send(message) {
    const text = this.#addressed(message);
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(text);
    else if (this.usable) this.#held.push(text);
  }

  #receive(data) {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    const { listener } = this;
    if (message.type === 'registered') {
      this.#registered = true;
      if (!message.resumed) this.#received = 0;
    } else if (message.type !== 'welcome') this.#received += 1;
    const iceServers = message.turnConfig?.iceServers ?? message.config?.iceServers;
    if (iceServers) listener.iceServers(iceServers);
    if (Array.isArray(message.cameras)) listener.cameras(message.cameras);
    switch (message.type) {
      case 'registered':
        this.#backoff.reset();
        break;
      case 'offer':
        listener.offer(sdpOf(message));
        break;
      case 'answer':
        listener.answer(sdpOf(message));
        break;
      case 'ice-candidate': {
        const { candidate } = message;
        if (typeof candidate === 'string') listener.candidate({ candidate, sdpMLineIndex: 0 });
        else if (candidate?.candidate) listener.candidate(candidate);
        break;
      }
      case 'peer-connected':
        if (message.peer !== 'receiver') listener.cameraBack();
        break;
      case 'peer-disconnected':
        if (message.peer !== 'receiver') listener.problem({ kind: 'waiting', message: 'The camera went offline' });
        break;
      case 'error':
        listener.problem(socketProblem(message));
        break;
    }
  }
}

const sdpOf = ({ sdp }) => (typeof sdp === 'string' ? sdp : sdp?.sdp ?? '');

/** @returns {Problem} */
function socketProblem({ message, code = '', remedy = '' }) {
  if (code === 'peer-absent') return { kind: 'waiting', message: 'The camera is not connected to this server', code };
  const refused = FULL.test(code) || /^(unauthorized|forbidden|token)/.test(code);
  return { kind: refused ? 'refused' : 'waiting', message: String(message ?? 'The server refused'), code, remedy };
}

/** A random id. `crypto.randomUUID` is missing on plain http, where many a camera lives. */
function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
