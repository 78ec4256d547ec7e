// A WHIP server (RFC 9725) on werift: really receives, counts whole access units, asks for keyframes. `/control` scripts it:
// tokens, redirects, errors, ICE-lite, trickle, and what it has seen.
import { createServer } from 'node:http';
import { randomUUID } from 'node:crypto';
import { RTCPeerConnection, RTCRtpCodecParameters, RTCIceCandidate } from 'werift';
import { sayGoodbye } from './goodbye.mjs';
import { Stream } from './h264.mjs';

const [port, first] = process.argv.slice(2).map(JSON.parse); // what it is scripted to do from the first moment
const FRAGMENT = 'application/trickle-ice-sdpfrag';
const H264 = 'profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1';

const usual = { tokens: null, redirect: null, fail: null, lite: false, trickle: true, links: [], location: 'relative', single: false, answer: null, hang: null };
const script = { ...usual, ...first };
const requests = [];
const sessions = new Map();

class Session {
  id = randomUUID();
  etag = `"${randomUUID().slice(0, 8)}"`;
  stream = new Stream();
  fragments = [];
  state = 'new';

  async answer(offer) {
    this.offer = offer;
    const rtcpFeedback = [{ type: 'nack' }, { type: 'nack', parameter: 'pli' }, { type: 'goog-remb' }];
    const codec = new RTCRtpCodecParameters({ mimeType: 'video/H264', clockRate: 90000, parameters: H264, rtcpFeedback });
    this.pc = new RTCPeerConnection({ iceLite: script.lite, codecs: { video: [codec] }, bundlePolicy: 'max-bundle' });
    this.pc.connectionStateChange.subscribe((state) => {
      this.state = state;
      if (['failed', 'closed'].includes(state)) this.end();
    });
    this.pc.iceConnectionStateChange.subscribe((state) => state === 'disconnected' && this.end());
    this.pc.onTrack.subscribe((track) => {
      this.receiver = this.pc.getTransceivers()[0].receiver;
      track.onReceiveRtp.subscribe((packet) => {
        this.ssrc = packet.header.ssrc;
        this.stream.take(packet);
      });
    });
    await this.pc.setRemoteDescription({ type: 'offer', sdp: offer });
    await this.pc.setLocalDescription(await this.pc.createAnswer());
    return this.pc.localDescription.sdp;
  }

  async trickled(fragment) {
    this.fragments.push(fragment);
    for (const [, candidate] of fragment.matchAll(/^a=(candidate:.*?)\r?$/gm))
      await this.pc.addIceCandidate(new RTCIceCandidate({ candidate, sdpMid: '0', sdpMLineIndex: 0 })).catch(() => {});
  }

  async end() {
    if (!sessions.delete(this.id)) return;
    await sayGoodbye(this.pc.dtlsTransports[0]).catch(() => {});
    await this.pc.close().catch(() => {});
  }

  get seen() {
    const { units, keyframes, broken } = this.stream;
    return { id: this.id, state: this.state, units, keyframes, broken, fragments: this.fragments, offer: this.offer };
  }
}

const body = async (request) => (await request.setEncoding('utf8').toArray()).join('');
const reply = (response, status, text = '', headers = {}) => response.writeHead(status, headers).end(text);

function refused(request, response) {
  const { tokens, fail, redirect } = script;
  const token = request.headers.authorization?.replace(/^Bearer /, '');
  if (redirect && request.method === 'POST' && !request.url.startsWith('/moved'))
    return reply(response, redirect.status ?? 307, '', { Location: redirect.location });
  if (fail && fail.times !== 0 && (fail.method ?? 'POST') === request.method) {
    if (fail.times > 0) fail.times -= 1;
    return reply(response, fail.status, fail.body ?? '', fail.retryAfter ? { 'Retry-After': fail.retryAfter } : {});
  }
  if (tokens && !(tokens[token] > Date.now())) return reply(response, 401, 'token unknown or expired', { 'WWW-Authenticate': 'Bearer' });
  return null;
}

async function publish(request, response, offer) {
  if (request.headers['content-type'] !== 'application/sdp') return reply(response, 415);
  if (script.single && sessions.size) return reply(response, 409, 'somebody is publishing already');
  if (script.answer) return reply(response, 201, script.answer, { 'Content-Type': 'application/sdp' });
  const session = new Session();
  const answer = await session.answer(offer);
  sessions.set(session.id, session);
  const path = `/session/${session.id}`;
  const headers = { 'Content-Type': 'application/sdp', ETag: session.etag };
  if (script.location) headers.Location = script.location === 'absolute' ? `http://127.0.0.1:${port}${path}` : path;
  if (script.trickle) headers['Accept-Patch'] = FRAGMENT;
  if (script.links.length) headers.Link = script.links;
  return reply(response, 201, answer, headers);
}

async function resource(request, response, text) {
  const session = sessions.get(request.url.split('/')[2]);
  if (!session) return reply(response, 404, 'no such session');
  if (request.method === 'DELETE') {
    session.end();
    return reply(response, 200);
  }
  if (request.method !== 'PATCH' || !script.trickle) return reply(response, 405);
  if (request.headers['content-type'] !== FRAGMENT) return reply(response, 415);
  if (request.headers['if-match'] !== session.etag) return reply(response, request.headers['if-match'] ? 412 : 428);
  await session.trickled(text);
  return reply(response, 204);
}

async function control(request, response, text) {
  const [, , what] = request.url.split('/');
  const all = [...sessions.values()], last = all.at(-1);
  if (what === 'h264') return reply(response, 200, Buffer.concat(last?.stream.kept ?? []));
  if (what === 'pli') await last.receiver.sendRtcpPLI(last.ssrc);
  if (what === 'close') all.forEach((session) => session.end());
  if (what === 'forget') sessions.clear(); // the resources, not the media
  if (what === 'reset') {
    all.forEach((session) => session.end());
    requests.length = 0;
    Object.assign(script, usual);
  }
  if (what === 'script') Object.assign(script, JSON.parse(text));
  return reply(response, 200, JSON.stringify({ requests, sessions: all.map((session) => session.seen) }), { 'Content-Type': 'application/json' });
}

createServer(async (request, response) => {
  const text = await body(request);
  if (request.url.startsWith('/control')) return control(request, response, text);
  const { method, url, headers } = request;
  const noted = { method, url, at: Date.now(), authorization: headers.authorization ?? null, type: headers['content-type'] ?? null,
    ifMatch: headers['if-match'] ?? null, body: text, reply: null };
  requests.push(noted);
  const end = response.end;
  response.end = (body) => {
    const kept = ['content-type', 'location', 'etag', 'accept-patch', 'link', 'retry-after'].filter((name) => sent[name]);
    noted.reply = { status: response.statusCode, headers: Object.fromEntries(kept.map((name) => [name, sent[name]])), body };
    return end.call(response, body);
  };
  const sent = {}, writeHead = response.writeHead;
  response.writeHead = (status, more = {}) => {
    for (const [name, value] of Object.entries(more)) sent[name.toLowerCase()] = value;
    return writeHead.call(response, status, more);
  };
  if (script.hang === method) return null; // for ever
  if (refused(request, response)) return null;
  if (url.startsWith('/session/')) return resource(request, response, text);
  return method === 'POST' ? publish(request, response, text) : reply(response, 405);
}).listen(port, '127.0.0.1', () => console.log('listening'));
