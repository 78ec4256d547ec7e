// A mediasoup server as seed 003 describes its events, and as servers of that kind differ; `/control` says how this one does.
// mediasoup's own JavaScript checks every parameter (its ortc module); its worker, which is a binary, is replaced by werift:
// ICE-lite, DTLS and SRTP are real, and whole H.264 access units are counted.
import { createServer } from 'node:http';
import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { Server } from 'socket.io';
import { PictureLossIndication, RTCDtlsParameters, RTCDtlsTransport, RTCIceGatherer, RTCIceParameters, RTCIceTransport,
  RtcpPayloadSpecificFeedback } from 'werift';
import { sayGoodbye } from './goodbye.mjs';
import { Stream } from './h264.mjs';

const ortc = createRequire(import.meta.url)('./node_modules/mediasoup/node/lib/ortc.js');
const [port, first] = process.argv.slice(2).map(JSON.parse); // what it is scripted to do from the first moment
const H264 = (profile, mode = 1) => ({ kind: 'video', mimeType: 'video/H264', clockRate: 90000,
  parameters: { 'packetization-mode': mode, 'profile-level-id': profile, 'level-asymmetry-allowed': 1 } });
const VP8 = { kind: 'video', mimeType: 'video/VP8', clockRate: 90000 };
const OPUS = { kind: 'audio', mimeType: 'audio/opus', clockRate: 48000, channels: 2 };

const usual = {
  profiles: ['4d0032', '42e01f'], mode: 1, // of H.264 in the router
  join: 'event', // event, ack (and event), ack-only, none
  form: 'data', // createWebRtcTransport takes (data, ack), or 'ack': (ack)
  capabilities: 'ack', // getRtpCapabilities takes (ack), or 'data': (data, ack)
  connect: 'connectWebRtcTransport', acknowledges: true, // how a transport is connected, and whether that is acknowledged
  errors: {}, // event: message of an {error} in its acknowledgement
  extra: false, // events carry a trailing argument, as connection state recovery adds
  wrapped: false, // acknowledgements wrap what they hold
  keeps: false, // transports outlive their participant's socket
  role: 'auto', address: null, crashes: false, strict: true,
};
let script = { ...usual, ...first };
const requests = [], told = [], participants = new Map(); // name: socket
const transports = new Map();

class Transport {
  id = randomUUID();
  stream = new Stream();
  unknown = 0; // packets that no producer expects
  state = 'new';
  producer = null;

  async open() {
    this.ice = new RTCIceTransport(new RTCIceGatherer({ iceLite: true, useIpv4: true, useIpv6: false, useTcp: false,
      ...(script.address && { additionalHostAddresses: [script.address], interfaceAddresses: { udp4: script.address } }) }));
    await this.ice.gather();
    const profiles = [7, 1]; // SRTP_AEAD_AES_128_GCM, SRTP_AES128_CM_SHA1_80
    this.dtls = new RTCDtlsTransport({}, this.ice, await RTCDtlsTransport.SetupCertificate(), profiles);
    this.dtls.role = script.role === 'client' ? 'client' : 'server';
    this.dtls.onStateChange.subscribe((state) => (this.state = state));
    this.dtls.onRtp.subscribe((packet) => {
      const { ssrc, payloadType } = packet.header, encoding = this.producer?.encodings[0];
      if (ssrc === encoding?.ssrc && payloadType === this.producer.codecs[0].payloadType) this.stream.take(packet);
      else if (ssrc !== encoding?.rtx?.ssrc) this.unknown += 1;
    });
    const { usernameFragment, password } = this.ice.localParameters;
    const { fingerprints } = this.dtls.localParameters;
    const found = this.ice.localCandidates.filter((c) => !script.address || c.ip === script.address);
    const candidates = found.map(({ ip, port }, index) => (
      { foundation: 'udpcandidate', priority: 1076302079 - index, ip, address: ip, protocol: 'udp', port, type: 'host' }));
    const tcp = { ...candidates[0], foundation: 'tcpcandidate', protocol: 'tcp', tcpType: 'passive' };
    const params = {
      id: this.id,
      iceParameters: { usernameFragment, password, iceLite: true },
      iceCandidates: [...candidates, tcp],
      dtlsParameters: { role: script.role, fingerprints: [{ algorithm: 'sha-1', value: '00:'.repeat(19) + '00' }, ...fingerprints] },
      sctpParameters: { port: 5000, OS: 1024, MIS: 1024, maxMessageSize: 262144 },
      iceServers: [{ urls: 'stun:127.0.0.1:9' }],
    };
    transports.set(this.id, this);
    return params;
  }

  connect({ role, fingerprints }) {
    if (this.remote) throw new Error('connect() already called');
    this.remote = { role, fingerprints };
    if ((role === 'server') !== (script.role === 'client')) throw new Error(`role ${role} does not fit`);
    this.dtls.setRemoteParams(new RTCDtlsParameters(fingerprints, role));
    // An ICE-lite server knows nothing of the client's side, and checks nothing.
    this.ice.setRemoteParams(new RTCIceParameters({ usernameFragment: 'unknown', password: 'unknown' }));
    this.ice.connection.iceControlling = false;
    this.ice.start().then(() => this.dtls.start()).catch((error) => (this.state = String(error)));
  }

  produce(kind, rtpParameters) {
    ortc.validateRtpParameters(rtpParameters);
    const mapping = ortc.getProducerRtpParametersMapping(rtpParameters, capabilities());
    ortc.getConsumableRtpParameters(kind, rtpParameters, capabilities(), mapping);
    this.producer = { id: randomUUID(), ...rtpParameters };
    return this.producer.id;
  }

  async pli() {
    const mediaSsrc = this.producer.encodings[0].ssrc;
    await this.dtls.sendRtcp([new RtcpPayloadSpecificFeedback({ feedback: new PictureLossIndication({ senderSsrc: 1, mediaSsrc }) })]);
  }

  close() {
    transports.delete(this.id);
    sayGoodbye(this.dtls).then(() => this.dtls.stop()).catch(() => {});
  }

  get seen() {
    const { units, keyframes, broken } = this.stream;
    const { id, state, unknown, producer, remote, owner } = this;
    return { id, state, units, keyframes, broken, unknown, producer, remote, owner };
  }
}

const capabilities = () => ortc.generateRouterRtpCapabilities([OPUS, VP8, ...script.profiles.map((profile) => H264(profile, script.mode))]);

const http = createServer(async (request, response) => {
  const text = (await request.setEncoding('utf8').toArray()).join('');
  const what = request.url.split('/')[2], all = [...transports.values()], last = all.at(-1);
  if (what === 'h264') return response.end(Buffer.concat(last?.stream.kept ?? []));
  if (what === 'pli') await last.pli();
  if (what === 'close') all.forEach((transport) => transport.close());
  if (what === 'disconnect') [...participants.values()].forEach((socket) => socket.conn.close());
  if (what === 'reset') {
    all.forEach((transport) => transport.close());
    participants.clear();
    io.disconnectSockets(true);
    requests.length = told.length = 0;
    script = { ...usual };
  }
  if (what === 'script') Object.assign(script, JSON.parse(text));
  return response.setHeader('Content-Type', 'application/json').end(
    JSON.stringify({ requests, told, participants: [...participants.keys()], sessions: all.filter((t) => t.producer).map((t) => t.seen), transports: all.length }));
});

const io = new Server(http, { transports: ['websocket'] });
io.on('connection', (socket) => {
  const own = [];
  const tell = (event, ...body) => {
    const whole = [...body, ...(script.extra ? [randomUUID()] : [])];
    told.push({ after: requests.length, event, arguments: whole });
    socket.emit(event, ...whole);
  };
  const wrap = (name, body) => (script.wrapped ? { success: true, [name]: body } : body);

  // Notes what came, and what was acknowledged.
  const note = (method, said) => {
    const noted = { method, at: Date.now(), reply: null,
      arguments: said.map((a) => (typeof a === 'function' ? 'ack' : structuredClone(a))) };
    requests.push(noted);
    return said.map((a) => (typeof a === 'function' ? (...reply) => a(...(noted.reply = reply)) : a));
  };
  // Answers as scripted: `handle` returns what the acknowledgement holds.
  const serve = (event, form, handle) =>
    socket.on(event, async (...came) => {
      const said = note(event, came);
      const ack = form() === 'ack' ? said[0] : said[1];
      if (typeof ack !== 'function') {
        if (script.crashes) process.exit(1); // as a server does whose callback is not a function
        return;
      }
      if (script.errors[event]) return void ack({ error: script.errors[event] });
      try {
        const answer = await handle(said[0]);
        if (answer !== undefined) ack(answer);
      } catch (error) {
        ack({ error: error.message });
      }
    });

  socket.on('joinRoom', (...came) => {
    const [body, ack] = note('joinRoom', came);
    if (script.errors.joinRoom) return void ack?.({ error: script.errors.joinRoom });
    const older = participants.get(body.participantName);
    participants.set(body.participantName, socket);
    socket.data.name = body.participantName;
    older?.disconnect(true);
    if (script.join.startsWith('ack')) ack({ success: true });
    if (['event', 'ack'].includes(script.join)) {
      tell('existingParticipants', []);
      tell('roomJoined', { roomId: body.roomId, participantId: socket.id });
    }
    return null;
  });
  serve('getRtpCapabilities', () => script.capabilities, () => wrap('rtpCapabilities', capabilities()));
  serve('createWebRtcTransport', () => script.form, async () => {
    const transport = new Transport();
    transport.owner = socket.data.name;
    own.push(transport);
    return wrap('params', await transport.open());
  });
  const connect = ({ transportId, dtlsParameters }) => {
    transports.get(transportId).connect(dtlsParameters);
    return script.acknowledges ? {} : undefined;
  };
  for (const name of ['connectWebRtcTransport', 'connectTransport'])
    socket.on(name, (...came) => {
      const [body, ack] = note(name, came);
      const answer = script.connect === name ? connect(body) : undefined;
      if (answer) ack(answer);
    });
  serve('produce', () => 'data', ({ transportId, kind, rtpParameters, appData }) => {
    if (typeof appData !== 'object') throw new Error('appData is not an object');
    const id = transports.get(transportId).produce(kind, rtpParameters);
    socket.broadcast.emit('newProducer', { producerId: id });
    return { id };
  });
  socket.on('disconnect', () => {
    if (participants.get(socket.data.name) === socket) participants.delete(socket.data.name);
    if (!script.keeps) own.forEach((transport) => transport.close());
  });
});

http.listen(port, '127.0.0.1', () => console.log('listening'));
