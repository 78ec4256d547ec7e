/** This page as a camera at the signaling server: one socket kept for ever, one call for each viewer. */
import { Backoff } from './backoff.js';
import { OutgoingCall } from './outgoing-call.js';
import { api } from './page.js';

const MAX_VIEWERS = 8; // each is encoded on its own: more than a phone can do for long
const VIEWER_OFFERS_MS = 5000; // a viewer that said it would offer has so long
const TAKEN_MS = 3000; // between two attempts while another camera has the name
const REFRESH_MS = 300_000; // TURN credentials expire
const KEPT = 64; // messages that may have to be sent again

/**
 * @typedef {object} BroadcastListener
 * @property {() => void} changed           `state`, `problem` or the viewers have changed
 * @property {(type: string, detail?: object) => void} event
 */
export class Broadcast {
  #socket = null;
  #calls = new Map();
  #timer = 0;
  #refresh = 0;
  #backoff = new Backoff(300, 10_000);
  #instanceId = randomId();
  #iceServers = [];
  #track = null;
  #received = null; // messages since `registered`; null before the first
  #sent = [];
  #sentCount = 0;

  /** @type {'idle'|'connecting'|'waiting'|'registered'|'refused'} */
  state = 'idle';
  problem = '';

  /** @param {BroadcastListener} listener */
  constructor(listener) {
    this.listener = listener;
  }

  /** Viewers that are connected. */
  get viewers() {
    return [...this.#calls.values()].filter((call) => call.connected).length;
  }

  /** @returns {RTCPeerConnection[]} */
  get connections() {
    return [...this.#calls.values()].map(({ pc }) => pc);
  }

  /** @param {string} camera */
  start(camera) {
    this.camera = camera;
    this.#received = null;
    this.#open();
  }

  stop() {
    clearTimeout(this.#timer);
    clearInterval(this.#refresh);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
    for (const peer of [...this.#calls.keys()]) this.#end(peer);
    this.#become('idle');
  }

  /** What is sent from now on, to present viewers too. @param {MediaStreamTrack} track */
  show(track) {
    this.#track = track;
    for (const call of this.#calls.values()) call.replace(track).catch(() => {});
  }

  /** The network or the page came back: do not sit out a wait. */
  nudge() {
    if (this.state === 'waiting' && !this.#socket) this.#open();
  }

  #open() {
    clearTimeout(this.#timer);
    this.#become(this.#calls.size ? 'waiting' : 'connecting');
    const url = api('ws');
    url.protocol = url.protocol.replace('http', 'ws');
    const socket = new WebSocket(url);
    this.#socket = socket;
    const patience = setTimeout(() => socket.close(), 8000); // a host that swallows the handshake would hold us for minutes
    socket.onopen = () => {
      clearTimeout(patience);
      this.#register();
    };
    socket.onmessage = ({ data }) => this.#receive(socket, data);
    socket.onclose = () => {
      clearTimeout(patience);
      if (this.#socket !== socket) return;
      this.#socket = null;
      this.listener.event('signaling-closed');
      // Whoever watches goes on watching: pictures do not need the server.
      if (this.state === 'refused') return;
      this.#become('waiting', 'The server does not answer');
      this.#timer = setTimeout(() => this.#open(), this.#backoff.next());
    };
  }

  #register() {
    const received = this.#received ?? 0;
    const body = { type: 'register', role: 'sender', cameraId: this.camera, title: this.camera, instanceId: this.#instanceId, received };
    this.#socket?.send(JSON.stringify(body));
  }

  #send(peer, message) {
    this.#sendText(JSON.stringify({ ...message, peerId: peer, cameraId: this.camera }));
  }

  #sendText(text) {
    this.#sentCount += 1;
    this.#sent.push(text);
    if (this.#sent.length > KEPT) this.#sent.shift();
    // What cannot go now goes when the server has taken us back, if it does.
    if (this.state === 'registered' && this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(text);
  }

  #receive(socket, data) {
    if (socket !== this.#socket) return;
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    this.#iceServers = message.turnConfig?.iceServers ?? message.config?.iceServers ?? this.#iceServers;
    if (message.type === 'registered') this.#registered(message);
    else {
      if (this.state === 'registered') this.#received += 1;
      if (message.type === 'error') this.#error(message);
      else this.#fromViewer(message.peerId ?? 'receiver', message);
    }
  }

  #registered(message) {
    this.#backoff.reset();
    if (message.resumed) {
      const missing = this.#sentCount - message.received;
      this.listener.event('resumed', { missing });
      this.#become('registered');
      if (missing > 0) this.#sent.slice(-missing).forEach((text) => this.#socket.send(text));
    } else {
      this.#received = this.#sentCount = 0;
      this.#sent = [];
      this.listener.event('registered');
      this.#become('registered');
    }
    clearInterval(this.#refresh);
    this.#refresh = setInterval(() => this.#sendText('{"type":"get-turn-config"}'), REFRESH_MS);
  }

  #error({ code = '', message = 'The server refused' }) {
    this.listener.event('server-error', { code });
    if (code === 'sender-taken') {
      this.#become('waiting', 'Another camera has this name');
      this.#timer = setTimeout(() => this.#register(), TAKEN_MS);
    } else if (/^(forbidden|token|full)/.test(code) && this.state !== 'registered') {
      this.#refused(message);
    } else if (/^token/.test(code)) {
      this.#refused(message);
    }
  }

  #refused(message) {
    this.#become('refused', message);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  async #fromViewer(peer, message) {
    try {
      switch (message.type) {
        case 'peer-connected':
          if (message.peer === 'receiver') await this.#joined(peer, message.offers === true);
          break;
        case 'peer-disconnected':
          // The socket is gone, which says nothing about the pictures.
          if (this.#calls.get(peer)?.connected === false) this.#end(peer);
          break;
        case 'offer':
          await this.#begin(peer)?.answer(sdpOf(message));
          break;
        case 'answer':
          await this.#calls.get(peer)?.accept(sdpOf(message));
          break;
        case 'ice-candidate':
          this.#calls.get(peer)?.candidate(message.candidate);
          break;
      }
    } catch (error) {
      this.listener.event('call-failed', { message: error.message });
      this.#send(peer, { type: 'error', message: 'the camera could not use that', code: 'sdp-malformed' });
      this.#end(peer);
    }
  }

  async #joined(peer, offers) {
    const known = this.#calls.get(peer);
    if (known?.connected) return; // it has only reconnected to the server
    if (!offers) {
      await this.#begin(peer)?.offer();
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, VIEWER_OFFERS_MS));
    if (this.#socket && this.#calls.get(peer) === known) await this.#begin(peer)?.offer();
  }

  /** A fresh connection for a viewer; an older one gives way. @returns {OutgoingCall|null} */
  #begin(peer) {
    this.#end(peer);
    if (this.#calls.size >= MAX_VIEWERS) {
      this.#send(peer, { type: 'error', message: `this camera shows itself to ${MAX_VIEWERS} viewers at most`, code: 'viewers-full' });
      return null;
    }
    const call = new OutgoingCall(this.#track, this.#iceServers, {
      send: (message) => this.#send(peer, message),
      changed: () => this.listener.changed(),
      ended: () => this.#calls.get(peer) === call && this.#end(peer),
    });
    this.#calls.set(peer, call);
    this.listener.event('call', { peer: peer.slice(0, 6) });
    return call;
  }

  #end(peer) {
    const call = this.#calls.get(peer);
    if (!call) return;
    this.#calls.delete(peer);
    call.close();
    this.listener.changed();
  }

  #become(state, problem = '') {
    this.state = state;
    this.problem = problem;
    this.listener.changed();
  }
}

const sdpOf = ({ sdp }) => (typeof sdp === 'string' ? sdp : sdp?.sdp ?? '');

function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
