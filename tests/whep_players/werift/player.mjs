// A WHEP player on werift: offers audio and video, trickles by PATCH, counts whole H.264 access units and looks into each NAL unit.
import { createInterface } from 'node:readline';
import { RTCPeerConnection, RTCRtpCodecParameters } from 'werift';

const [endpoint] = process.argv.slice(2);
const FRAGMENT = 'application/trickle-ice-sdpfrag';
const say = (event, detail = {}) => process.stdout.write(`${JSON.stringify({ event, ...detail })}\n`);

const codec = (mimeType, clockRate, payloadType, more = {}) =>
  new RTCRtpCodecParameters({ mimeType, clockRate, payloadType, ...more });
const H264 = 'profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1';
const feedback = [{ type: 'nack' }, { type: 'nack', parameter: 'pli' }];
const pc = new RTCPeerConnection({
  bundlePolicy: 'max-bundle',
  codecs: {
    audio: [codec('audio/opus', 48000, 111, { channels: 2 })],
    video: [codec('video/H264', 90000, 102, { parameters: H264, rtcpFeedback: feedback })],
  },
});

// Access units: packets of one timestamp up to the marker. NAL unit types of RFC 6184 table 1.
const seen = { count: 0, keyframes: 0, nals: {}, broken: 0 };
let unit = { nals: [], fragment: false };
let expected = null;

function nal(type) {
  if (type < 1 || type > 23) seen.broken += 1;
  seen.nals[type] = (seen.nals[type] ?? 0) + 1;
  unit.nals.push(type);
}

function depacketize(payload) {
  const type = payload[0] & 31;
  if (type === 24) { // STAP-A: a length of two bytes before each
    for (let at = 1; at + 2 < payload.length; at += 2 + payload.readUInt16BE(at)) {
      const length = payload.readUInt16BE(at);
      if (!length || at + 2 + length > payload.length) seen.broken += 1;
      nal(payload[at + 2] & 31);
      if (!length) return;
    }
  } else if (type === 28) { // FU-A: its first fragment has the start bit, its last the end bit
    const start = payload[1] & 0x80, end = payload[1] & 0x40;
    if (Boolean(start) === unit.fragment) seen.broken += 1;
    if (start) nal(payload[1] & 31);
    unit.fragment = !end;
  } else nal(type);
}

function take(packet) {
  const { sequenceNumber, marker } = packet.header;
  if (!packet.payload.length) return; // probing
  const gap = expected !== null && sequenceNumber !== expected;
  expected = (sequenceNumber + 1) & 0xffff;
  if (gap) unit = { nals: [], fragment: false, lost: true };
  if (!unit.lost) depacketize(packet.payload);
  if (!marker) return;
  const pictures = unit.nals.filter((type) => type === 1 || type === 5);
  if (!unit.lost && !unit.fragment && pictures.length) {
    seen.count += 1;
    if (pictures[0] === 5) {
      seen.keyframes += 1;
      if (!unit.nals.includes(7) || !unit.nals.includes(8)) seen.broken += 1; // an IDR without SPS and PPS starts nobody
    }
  }
  unit = { nals: [], fragment: false };
}

pc.addTransceiver('audio', { direction: 'recvonly' });
const video = pc.addTransceiver('video', { direction: 'recvonly' });
video.onTrack.subscribe((track) => {
  track.onReceiveRtp.subscribe(take);
  setTimeout(() => video.receiver.sendRtcpPLI(track.ssrc), 300);
});

let resource = null, etag = null;
await pc.setLocalDescription(await pc.createOffer());
const response = await fetch(endpoint, {
  method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: pc.localDescription.sdp,
});
const answer = await response.text();
etag = response.headers.get('ETag');
say('answered', { status: response.status, location: response.headers.get('Location'), etag, links: response.headers.get('Link') });
if (response.status !== 201) process.exit(1);
resource = new URL(response.headers.get('Location'), endpoint);

const line = (name) => pc.localDescription.sdp.match(new RegExp(`^a=${name}:.*$`, 'm'))[0].trim();
const found = pc.localDescription.sdp.match(/^a=candidate:.*$/gm) ?? [];
const body = [line('ice-ufrag'), line('ice-pwd'), 'm=audio 9 UDP/TLS/RTP/SAVPF 0', 'a=mid:0', ...found.map((c) => c.trim()), 'a=end-of-candidates', ''];
const patched = await fetch(resource, {
  method: 'PATCH', headers: { 'Content-Type': FRAGMENT, 'If-Match': etag }, body: body.join('\r\n'),
});
say('trickled', { status: patched.status });
await pc.setRemoteDescription({ type: 'answer', sdp: answer });

let told = 0;
setInterval(() => {
  if (seen.count !== told) say('frames', seen);
  told = seen.count;
}, 200);

createInterface({ input: process.stdin }).on('line', async (text) => {
  if (text !== 'leave') return;
  const left = await fetch(resource, { method: 'DELETE' });
  say('left', { status: left.status });
});
