/** WHEP (draft-ietf-wish-whep): how the daemon itself is reached. */
import { api } from './page.js';
import { problemOf } from './signaling.js';

/**
 * @typedef {import('./signaling.js').Transport} Transport
 * @typedef {import('./signaling.js').TransportListener} TransportListener
 */

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

const FRAGMENT = 'application/trickle-ice-sdpfrag';

/** How many candidates the first section of a description has. @param {string} sdp */
const candidatesIn = (sdp) => (sdp.split(/\r?\n(?=m=)/)[1] ?? '').split(/\r?\na=candidate:/).length - 1;

/** One call over WHEP: the resource that POST made, and the candidates that wait to be PATCHed to it. */
class WhepCall {
  #ice;
  #resource = null;
  #etag = null;
  #candidates = [];
  #patching = false;
  #ended = false;
  #asking = new AbortController();

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

  /** Ask for the camera's candidates that its answer did not have yet. @param {string} answer @param {(candidate: RTCIceCandidateInit) => void} found */
  async listen(answer, found) {
    if (!this.#resource || !/^a=ice-options:.*trickle/m.test(answer)) return;
    const more = this.#candidatesUrl();
    let seen = candidatesIn(answer);
    while (!this.#ended) {
      more.searchParams.set('from', String(seen));
      const asked = { headers: { Accept: FRAGMENT }, signal: this.#asking.signal };
      const response = await fetch(more, asked).catch(() => null);
      if (!response?.ok || response.status === 205 || this.#ended) return;
      const text = await response.text();
      const lines = [...text.matchAll(/^a=(candidate:.*?)\r?$/gm)].map((match) => match[1]);
      const sdpMid = /^a=mid:(\S+)/m.exec(text)?.[1];
      for (const candidate of lines) found({ candidate, ...(sdpMid ? { sdpMid } : { sdpMLineIndex: 0 }) });
      seen += lines.length;
      if (/^a=end-of-candidates/m.test(text)) return;
    }
  }

  /** Where the camera tells what the standard has no word for. */
  #candidatesUrl() {
    const url = new URL(this.#resource);
    url.pathname += '/candidates';
    return url;
  }

  /** Whether the camera says that this call is over. */
  async isGone() {
    if (!this.#resource || this.#ended) return false;
    const response = await fetch(this.#candidatesUrl(), { method: 'HEAD' }).catch(() => null);
    return [205, 404].includes(response?.status) && !this.#ended;
  }

  end() {
    if (this.#ended) return;
    this.#ended = true;
    this.#asking.abort();
    this.#delete();
  }

  async #trickle() {
    if (this.#patching || this.#ended || !this.#resource || !this.#candidates.length) return;
    this.#patching = true;
    const body = fragment(this.#ice, this.#candidates.splice(0));
    const headers = { 'Content-Type': FRAGMENT };
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

/** One POST is one call. There is no connection to keep. @implements {Transport} */
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
        headers: { 'Content-Type': 'application/sdp', Accept: `application/sdp, ${FRAGMENT}` },
        body: sdp,
      });
      if (response.status !== 201) {
        const problem = await problemOf(response);
        if (!call.ended) this.listener.problem(problem);
        return;
      }
      call.begin(response);
      const answer = await response.text();
      if (call.ended) return;
      this.listener.answer(answer);
      call.listen(answer, (candidate) => this.listener.candidate(candidate));
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

  /** The pictures have stopped: perhaps the camera knows that the call is over. */
  async verify() {
    const call = this.#call;
    if (await call?.isGone()) this.listener.gone();
  }

  hangUp() {
    this.#call?.end();
    this.#call = null;
  }

  close() {
    this.hangUp();
  }
}
