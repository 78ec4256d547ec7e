/** One viewer of this device's camera: a peer connection that sends, whichever side offers. */

const GONE_MS = 10_000; // without a path for so long, the viewer is gone
const BITS_PER_PIXEL = 0.054; // 1280x720 at 30: 1.5 Mbit/s
const LEAST_BPS = 300_000;

/**
 * @typedef {object} CallListener
 * @property {(message: object) => void} send  to that viewer
 * @property {() => void} changed
 * @property {() => void} ended
 */
export class OutgoingCall {
  #early = [];
  #goneTimer = 0;

  /**
   * @param {MediaStreamTrack|null} track
   * @param {RTCIceServer[]} iceServers
   * @param {CallListener} listener
   */
  constructor(track, iceServers, listener) {
    this.listener = listener;
    this.track = track;
    const pc = new RTCPeerConnection({ iceServers, bundlePolicy: 'max-bundle' });
    this.pc = pc;
    pc.onicecandidate = ({ candidate }) => {
      if (!candidate?.candidate) return; // this dialect has no end-of-candidates
      const { candidate: line, sdpMid, sdpMLineIndex } = candidate;
      listener.send({ type: 'ice-candidate', candidate: { candidate: line, sdpMid, sdpMLineIndex } });
    };
    pc.onconnectionstatechange = () => this.#follow();
  }

  get connected() {
    return this.pc.connectionState === 'connected';
  }

  /** Whether our offer waits for its answer. */
  get calling() {
    return this.pc.signalingState === 'have-local-offer';
  }

  async offer() {
    const transceiver = this.pc.addTransceiver(this.track ?? 'video', { direction: 'sendonly' });
    preferH264(transceiver);
    await this.pc.setLocalDescription();
    this.listener.send({ type: 'offer', sdp: this.pc.localDescription.sdp });
    await this.#limit();
  }

  /** @param {string} sdp  the viewer's offer */
  async answer(sdp) {
    await this.pc.setRemoteDescription({ type: 'offer', sdp });
    const video = this.pc.getTransceivers().find(({ receiver }) => receiver.track.kind === 'video');
    if (!video) throw new Error('the offer has no video');
    video.direction = 'sendonly';
    await video.sender.replaceTrack(this.track);
    await this.pc.setLocalDescription();
    this.listener.send({ type: 'answer', sdp: this.pc.localDescription.sdp });
    this.#flush();
    await this.#limit();
  }

  /** @param {string} sdp  the answer to our offer */
  async accept(sdp) {
    if (!this.calling) return;
    await this.pc.setRemoteDescription({ type: 'answer', sdp });
    this.#flush();
    await this.#limit();
  }

  /** @param {RTCIceCandidateInit|string} candidate */
  candidate(candidate) {
    const init = typeof candidate === 'string' ? { candidate, sdpMLineIndex: 0 } : candidate;
    if (!init?.candidate) return;
    if (!this.pc.remoteDescription) this.#early.push(init);
    else this.pc.addIceCandidate(init).catch(() => {}); // one that this browser cannot use costs only itself
  }

  /** Another picture on the same connection. @param {MediaStreamTrack} track */
  async replace(track) {
    this.track = track;
    await this.#sender?.replaceTrack(track);
    await this.#limit();
  }

  close() {
    clearTimeout(this.#goneTimer);
    this.pc.onicecandidate = this.pc.onconnectionstatechange = null;
    this.pc.close();
  }

  get #sender() {
    return this.pc.getSenders().find(({ track }) => track?.kind === 'video') ?? this.pc.getSenders()[0];
  }

  #flush() {
    this.#early.splice(0).forEach((candidate) => this.candidate(candidate));
  }

  #follow() {
    const { connectionState } = this.pc;
    clearTimeout(this.#goneTimer);
    if (connectionState === 'failed' || connectionState === 'closed') {
      this.listener.ended();
      return;
    }
    if (connectionState === 'disconnected') this.#goneTimer = setTimeout(() => this.listener.ended(), GONE_MS);
    this.listener.changed();
  }

  /** No more bits than the picture needs: the uplink of a phone is what all its viewers share. */
  async #limit() {
    const sender = this.#sender;
    if (!sender || !this.track) return;
    const { width = 1280, height = 720, frameRate = 30 } = this.track.getSettings();
    const parameters = sender.getParameters();
    if (!parameters.encodings?.length) return; // before the descriptions are exchanged
    parameters.encodings[0].maxBitrate = Math.max(LEAST_BPS, Math.round(width * height * frameRate * BITS_PER_PIXEL));
    await sender.setParameters(parameters).catch(() => {}); // then the browser's own limit holds
  }
}

/** Phones encode H.264 in hardware. @param {RTCRtpTransceiver} transceiver */
function preferH264(transceiver) {
  const codecs = RTCRtpSender.getCapabilities?.('video')?.codecs;
  if (!codecs || !transceiver.setCodecPreferences) return;
  const rank = (codec) => (codec.mimeType.toLowerCase() === 'video/h264' ? 0 : 1);
  transceiver.setCodecPreferences([...codecs].sort((a, b) => rank(a) - rank(b)));
}
