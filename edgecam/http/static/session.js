/** One RTCPeerConnection that receives: negotiation and early candidates. It is never restarted, only replaced. */
import { LatencyChannel } from './latency.js';

/**
 * @typedef {object} SessionListener
 * @property {(candidate: RTCIceCandidate|null) => void} candidate
 * @property {(track: MediaStreamTrack) => void} track  video at once, audio only when the camera sends some
 * @property {(reason: string) => void} down
 *
 * @typedef {{iceServers: RTCIceServer[], relayOnly: boolean}} IceConfig
 */

export class Session {
  #offer = null;
  #gathering = null;
  #early = [];
  /** @type {RTCRtpTransceiver|null} */
  #audio = null;
  startedAt = performance.now();
  /** When the descriptions were exchanged. @type {number|null} */
  answeredAt = null;
  /** When the first picture was shown. @type {number|null} */
  firstFrameAt = null;
  /** In calls that we make: what the camera offers has no room for it. @type {LatencyChannel|null} */
  latency = null;

  /** @param {SessionListener} listener */
  constructor(listener) {
    this.listener = listener;
    const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    this.pc = pc;
    pc.onicecandidate = ({ candidate }) => {
      // The empty candidate only ends one generation; null ends them all.
      if (candidate === null || candidate.candidate) listener.candidate(candidate);
    };
    pc.ontrack = ({ track, receiver }) => {
      hurry(receiver);
      listener.track(track);
    };
    pc.onconnectionstatechange = () => {
      if (pc.connectionState === 'failed') listener.down('The connection failed');
    };
  }

  /** The offer's text. Nothing is gathered yet: it can be on its way before the ICE servers are known. */
  async createOffer() {
    const { pc } = this;
    const video = pc.addTransceiver('video', { direction: 'recvonly' });
    // Sending without a track costs nothing, and lets the viewer talk later without another negotiation.
    this.#audio = pc.addTransceiver('audio', { direction: 'sendrecv' });
    preferH264(video);
    this.latency = new LatencyChannel(pc);
    hurry(video.receiver);
    const offer = pc.createOffer();
    this.listener.track(video.receiver.track); // costs milliseconds, which making the offer needs anyway
    this.#offer = await offer;
    return this.#offer.sdp ?? '';
  }

  /** @param {IceConfig} ice */
  gather(ice) {
    this.#configure(ice);
    this.#gathering = this.pc.setLocalDescription(this.#offer);
    return this.#gathering;
  }

  /** Whether our offer waits for its answer. */
  get calling() {
    return this.#offer !== null && this.answeredAt === null;
  }

  /** @param {string} sdp */
  async accept(sdp) {
    await this.#gathering; // an answer can overtake setLocalDescription on a fast host
    await this.pc.setRemoteDescription({ type: 'answer', sdp });
    this.#settled();
  }

  /** Answer the camera's offer. @param {string} sdp @param {IceConfig} ice @returns {Promise<string>} */
  async answer(sdp, ice) {
    this.#configure(ice);
    await this.pc.setRemoteDescription({ type: 'offer', sdp });
    await this.pc.setLocalDescription();
    this.#settled();
    return this.pc.localDescription?.sdp ?? '';
  }

  /** @param {RTCIceCandidateInit} candidate */
  candidate(candidate) {
    if (this.answeredAt === null) this.#early.push(candidate);
    // A candidate that this browser cannot use (an unresolvable name, say) costs only itself.
    else this.pc.addIceCandidate(candidate).catch(() => {});
  }

  /** Whether the camera plays what is said here. */
  get canTalk() {
    return ['sendrecv', 'sendonly'].includes(this.#audio?.currentDirection ?? '');
  }

  /** @param {MediaStreamTrack|null} track */
  async talk(track) {
    await this.#audio?.sender.replaceTrack(track);
  }

  get iceConnected() {
    return ['connected', 'completed'].includes(this.pc.iceConnectionState);
  }

  close() {
    const { pc } = this;
    pc.onicecandidate = pc.ontrack = pc.onconnectionstatechange = null;
    this.latency?.close();
    pc.close();
  }

  #settled() {
    this.answeredAt = performance.now();
    this.#early.splice(0).forEach((candidate) => this.candidate(candidate));
    // A camera that says goodbye closes DTLS: seconds before consent or frames would be missed.
    const dtls = this.pc.getReceivers()[0]?.transport;
    if (dtls) {
      dtls.onstatechange = () => {
        if (dtls.state === 'closed' && this.pc.connectionState !== 'closed') this.listener.down('The camera hung up');
      };
    }
  }

  /** @param {IceConfig} ice */
  #configure({ iceServers, relayOnly }) {
    this.pc.setConfiguration({
      bundlePolicy: 'max-bundle',
      iceServers,
      iceTransportPolicy: relayOnly ? 'relay' : 'all',
    });
  }
}

/** Cameras send H.264; phones may send something else, so the rest stays on offer. @param {RTCRtpTransceiver} transceiver */
function preferH264(transceiver) {
  const codecs = RTCRtpReceiver.getCapabilities?.('video')?.codecs;
  if (!codecs || !transceiver.setCodecPreferences) return;
  const rank = (codec) => (codec.mimeType.toLowerCase() === 'video/h264' ? 0 : 1);
  transceiver.setCodecPreferences([...codecs].sort((a, b) => rank(a) - rank(b)));
}

/** Ask for the smallest jitter buffer: this is a window on a place, not a film. @param {RTCRtpReceiver} receiver */
function hurry(receiver) {
  if ('jitterBufferTarget' in receiver) receiver.jitterBufferTarget = 0;
}
