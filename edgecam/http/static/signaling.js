/**
 * The two ways to reach a camera, behind one interface. A transport carries descriptions and candidates; it never
 * sees media, so that losing it disturbs nothing that plays.
 *
 * @typedef {object} Problem
 * @property {'waiting'|'refused'|'unreachable'} kind  the camera is not there yet; the host says no; the host is silent
 * @property {string} message
 * @property {string} [remedy]
 * @property {string} [code]
 * @property {boolean} [final]      retrying by itself would not help
 * @property {number} [retryAfterMs]
 *
 * @typedef {object} TransportListener
 * @property {() => void} opened                the way to the camera is (again) open
 * @property {(retryMs: number) => void} closed  it is shut; the transport reopens it by itself
 * @property {(sdp: string) => void} answer
 * @property {(sdp: string) => void} offer       the camera calls us
 * @property {(candidate: RTCIceCandidateInit) => void} candidate
 * @property {(problem: Problem) => void} problem
 * @property {() => void} cameraBack
 * @property {(iceServers: RTCIceServer[]) => void} iceServers
 * @property {(cameras: {id: string, title?: string, online?: boolean}[]) => void} cameras
 * @property {() => boolean} healthy             whether media flows now
 *
 * @typedef {object} Transport
 * @property {boolean} usable                    whether an offer would go out now, or as soon as connecting is done
 * @property {() => void} open                   connect now (again); does nothing when connected
 * @property {(sdp: string) => void} offer       call the camera; ends the call before
 * @property {(sdp: string) => void} answer      answer the camera's call
 * @property {(candidate: RTCIceCandidate|null) => void} candidate  null: no more candidates
 * @property {() => void} hangUp                 end the call
 * @property {() => void} reset                  hang up and drop a connection that looks open but carries nothing
 * @property {() => void} close                  leave for good
 */
import { Backoff } from './backoff.js';
import { api } from './page.js';

const FULL = /full|limit|busy|too-many/;

/** What an HTTP refusal means to a person. @param {Response} response @returns {Promise<Problem>} */
export async function problemOf(response) {
  const text = (await response.text().catch(() => '')).slice(0, 500);
  let body = {};
  try {
    body = JSON.parse(text) ?? {};
  } catch {
    body = { error: /^\s*</.test(text) ? '' : text.trim() };
  }
  const { status } = response;
  const code = String(body.code ?? '');
  const retryAfter = Number(response.headers.get('Retry-After'));
  const known = {
    401: 'This page needs a sign-in',
    403: 'This page may not watch this camera',
    404: 'There is no such camera here',
    429: 'Too many viewers at the moment',
    503: 'The camera is not ready',
  };
  const full = status === 429 || (status === 503 && FULL.test(code));
  return {
    kind: status >= 500 && !full ? 'waiting' : 'refused',
    message: String(body.error || known[status] || `The camera host answered ${status}`),
    remedy: String(body.remedy || (status === 401 ? 'Open the link you were given again.' : '')),
    code,
    final: status === 401 || status === 403,
    retryAfterMs: retryAfter > 0 ? Math.min(retryAfter, 60) * 1000 : undefined,
  };
}

/** The `ice-ufrag`, `ice-pwd` and `m=` lines that an RFC 8840 fragment repeats. @param {string} sdp */
function iceDescription(sdp) {
  const line = (text, pattern) => pattern.exec(text)?.[0] ?? '';
  const media = sdp.split(/\r?\n(?=m=)/).slice(1);
  const byMid = new Map(media.map((part) => [/^a=mid:(\S+)/m.exec(part)?.[1] ?? '0', line(part, /^m=.*/)]));
  return { ufrag: line(sdp, /^a=ice-ufrag:.*$/m), pwd: line(sdp, /^a=ice-pwd:.*$/m), byMid };
}

/**
 * An `application/trickle-ice-sdpfrag` body (RFC 8840 section 9).
 * @param {ReturnType<typeof iceDescription>} ice
 * @param {(RTCIceCandidate|null)[]} candidates
 */
function fragment(ice, candidates) {
  const lines = [ice.ufrag, ice.pwd];
  const [firstMid] = ice.byMid.keys();
  for (const [mid, mediaLine] of ice.byMid) {
    const own = candidates.filter((c) => (c === null ? mid === firstMid : (c.sdpMid ?? firstMid) === mid));
    if (!own.length) continue;
    lines.push(mediaLine, `a=mid:${mid}`);
    for (const c of own) lines.push(c === null ? 'a=end-of-candidates' : `a=${c.candidate}`);
  }
  return `${lines.map((text) => text.trim()).join('\r\n')}\r\n`;
}

/** One call over WHEP: the resource that POST made, and the candidates that wait to be PATCHed to it. */
class WhepCall {
  #ice;
  #resource = null;
  #etag = null;
  #candidates = [];
  #patching = false;
  #ended = false;

  /** @param {string} sdp */
  constructor(sdp) {
    this.#ice = iceDescription(sdp);
  }

  get ended() {
    return this.#ended;
  }

  /** @param {Response} created */
  begin(created) {
    const location = created.headers.get('Location');
    this.#resource = location ? new URL(location, created.url) : null;
    this.#etag = created.headers.get('ETag');
    // A call that was hung up while its POST was in flight still holds a place at the camera: give it back.
    if (this.#ended) this.#delete();
    else this.#trickle();
  }

  /** @param {RTCIceCandidate|null} candidate */
  candidate(candidate) {
    this.#candidates.push(candidate);
    this.#trickle();
  }

  end() {
    if (this.#ended) return;
    this.#ended = true;
    this.#delete();
  }

  async #trickle() {
    if (this.#patching || this.#ended || !this.#resource || !this.#candidates.length) return;
    this.#patching = true;
    const body = fragment(this.#ice, this.#candidates.splice(0));
    const headers = { 'Content-Type': 'application/trickle-ice-sdpfrag' };
    if (this.#etag) headers['If-Match'] = this.#etag;
    // A host without trickling (404, 405, 501) learns our address from the connectivity checks: failing is no news.
    const response = await fetch(this.#resource, { method: 'PATCH', headers, body }).catch(() => null);
    if (response && [404, 405, 501].includes(response.status)) this.#candidates.length = 0;
    else {
      this.#patching = false;
      this.#trickle();
    }
  }

  #delete() {
    if (this.#resource) fetch(this.#resource, { method: 'DELETE', keepalive: true }).catch(() => {});
  }
}

/** WHEP (draft-ietf-wish-whep): one POST is one call. There is no connection to keep. @implements {Transport} */
export class WhepTransport {
  #call = null;
  usable = true;

  /** @param {string} camera @param {TransportListener} listener */
  constructor(camera, listener) {
    this.endpoint = api(`whep/${encodeURIComponent(camera)}`);
    this.listener = listener;
  }

  open() {}

  reset() {
    this.hangUp();
  }

  async offer(sdp) {
    this.hangUp();
    const call = new WhepCall(sdp);
    this.#call = call;
    try {
      const response = await fetch(this.endpoint, {
        method: 'POST',
        headers: { 'Content-Type': 'application/sdp', Accept: 'application/sdp' },
        body: sdp,
      });
      if (response.status !== 201) {
        const problem = await problemOf(response);
        if (!call.ended) this.listener.problem(problem);
        return;
      }
      call.begin(response);
      const answer = await response.text();
      if (!call.ended) this.listener.answer(answer);
    } catch {
      if (!call.ended) this.listener.problem({ kind: 'unreachable', message: 'The camera host does not answer' });
    }
  }

  answer() {
    throw new Error('a WHEP host never calls');
  }

  candidate(candidate) {
    this.#call?.candidate(candidate);
  }

  hangUp() {
    this.#call?.end();
    this.#call = null;
  }

  close() {
    this.hangUp();
  }
}

/** The bundled signaling server's websocket: one socket, kept for ever. @implements {Transport} */
export class WebSocketTransport {
  #socket = null;
  #held = [];
  #timer = 0;
  #backoff = new Backoff(300, 10_000);
  #closed = false;

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
    const register = { type: 'register', role: 'receiver', ...(offers && { offers: true }) };
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
