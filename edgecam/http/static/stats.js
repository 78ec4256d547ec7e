/** Figures from RTCPeerConnection.getStats(). Pure: reports in, numbers out; null where the browser does not say. */

/**
 * @typedef {object} Figures
 * @property {number|null} width
 * @property {number|null} height
 * @property {number|null} fps
 * @property {number|null} bitrate_bps
 * @property {number|null} loss_pct        of the last interval
 * @property {number|null} loss_total_pct
 * @property {number|null} packets_lost
 * @property {number|null} packets_received
 * @property {number|null} jitter_ms
 * @property {number|null} rtt_ms
 * @property {number|null} buffer_ms       time a frame waited in the jitter buffer, last interval
 * @property {number|null} decode_ms       time to decode a frame, last interval
 * @property {'direct'|'relay'|null} path
 * @property {string} path_detail          e.g. "UDP, host – host"
 * @property {string} codec                e.g. "H.264"
 * @property {string} decoder
 * @property {number|null} framesDecoded
 * @property {number|null} framesDropped
 * @property {number|null} freezeCount
 * @property {number|null} keyframesAsked
 */

/** What one report says, without history. @param {RTCStatsReport} report */
export function readReport(report) {
  const entries = [...report.values()];
  const inbound = entries.find((e) => e.type === 'inbound-rtp' && e.kind === 'video') ?? null;
  const transport = entries.find((e) => e.type === 'transport') ?? null;
  const pair =
    report.get(transport?.selectedCandidatePairId) ??
    // Firefox has no transport entry but marks the pair.
    entries.find((e) => e.type === 'candidate-pair' && (e.selected || (e.nominated && e.state === 'succeeded'))) ??
    null;
  return {
    inbound,
    pair,
    local: report.get(pair?.localCandidateId) ?? null,
    remote: report.get(pair?.remoteCandidateId) ?? null,
    codec: report.get(inbound?.codecId) ?? null,
  };
}

/** What happened between two reports. @param {RTCStatsReport} report @param {RTCStatsReport|null} previous @returns {Figures} */
export function figures(report, previous) {
  const { inbound, pair, local, remote, codec } = readReport(report);
  const now = inbound ?? {};
  const before = (previous && readReport(previous).inbound) ?? {};
  const sameStream = before.ssrc === now.ssrc && before.timestamp < now.timestamp;
  const delta = (key) => (sameStream && key in now && key in before ? now[key] - before[key] : null);
  const seconds = sameStream ? (now.timestamp - before.timestamp) / 1000 : null;
  const rate = (key) => (seconds && delta(key) !== null ? delta(key) / seconds : null);
  const mean = (total, count) => (delta(count) > 0 && delta(total) !== null ? delta(total) / delta(count) : null);
  const scaled = (value, factor) => (value === undefined || value === null ? null : value * factor);

  return {
    width: now.frameWidth ?? null,
    height: now.frameHeight ?? null,
    fps: rate('framesDecoded') ?? now.framesPerSecond ?? null,
    bitrate_bps: scaled(rate('bytesReceived'), 8),
    loss_pct: share(delta('packetsLost'), delta('packetsReceived')),
    loss_total_pct: share(now.packetsLost, now.packetsReceived),
    packets_lost: now.packetsLost ?? null,
    packets_received: now.packetsReceived ?? null,
    jitter_ms: scaled(now.jitter, 1000),
    rtt_ms: scaled(pair?.currentRoundTripTime, 1000),
    buffer_ms: scaled(mean('jitterBufferDelay', 'jitterBufferEmittedCount'), 1000),
    decode_ms: scaled(mean('totalDecodeTime', 'framesDecoded'), 1000),
    path: pair ? ([local, remote].some((c) => c?.candidateType === 'relay') ? 'relay' : 'direct') : null,
    path_detail: pair ? pathDetail(local, remote) : '',
    codec: codecName(codec?.mimeType),
    decoder: now.decoderImplementation && now.decoderImplementation !== 'unknown' ? now.decoderImplementation : '',
    framesDecoded: now.framesDecoded ?? null,
    framesDropped: now.framesDropped ?? null,
    freezeCount: now.freezeCount ?? null,
    keyframesAsked: now.pliCount ?? null,
  };
}

/** Lost packets in percent. Late packets can make an interval's loss negative; that is no loss. */
function share(lost, received) {
  if (lost === null || lost === undefined || received === null || received === undefined) return null;
  const all = Math.max(0, lost) + received;
  return all > 0 ? (100 * Math.max(0, lost)) / all : 0;
}

function pathDetail(local, remote) {
  const protocol = (local?.relayProtocol ?? local?.protocol ?? '').toUpperCase();
  const ends = [local, remote].map((c) => c?.candidateType ?? '?').join(' – ');
  return protocol ? `${protocol}, ${ends}` : ends;
}

function codecName(mimeType = '') {
  const name = mimeType.split('/')[1] ?? '';
  return name.toUpperCase() === 'H264' ? 'H.264' : name.toUpperCase() === 'H265' ? 'H.265' : name;
}
