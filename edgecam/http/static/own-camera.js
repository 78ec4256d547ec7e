/** This device's own camera: opened as chosen, opened again when the system takes it away, and a screen that stays on. */
import { Backoff } from './backoff.js';

/**
 * @typedef {{source: string, width: number, height: number, fps: number}} Choice  source: environment, user, or a device's id
 *
 * @typedef {object} OwnCameraListener
 * @property {(track: MediaStreamTrack) => void} opened
 * @property {(message: string, remedy: string) => void} failed   it is tried again by itself
 * @property {(paused: boolean) => void} paused                    the system holds the pictures back
 */

const FACING = new Set(['environment', 'user']);

export class OwnCamera {
  #stream = null;
  #choice = null;
  #timer = 0;
  #backoff = new Backoff(1000, 10_000);
  #opening = Promise.resolve();
  #lock = null;

  /** @param {OwnCameraListener} listener */
  constructor(listener) {
    this.listener = listener;
    document.addEventListener('visibilitychange', () => {
      if (document.hidden || !this.#choice) return;
      this.#stayAwake();
      if (this.#stream?.getVideoTracks()[0]?.readyState !== 'live') this.open(this.#choice);
    });
  }

  /** @returns {MediaStreamTrack|null} */
  get track() {
    return this.#stream?.getVideoTracks()[0] ?? null;
  }

  /** Whether it looks at the person who holds it. */
  get facesUser() {
    return this.track?.getSettings().facingMode === 'user' || (this.#choice?.source === 'user' && !this.track?.getSettings().facingMode);
  }

  /** Open, or change to another choice. One after the other: a phone has one camera open at a time. @param {Choice} choice */
  open(choice) {
    this.#choice = choice;
    this.#opening = this.#opening.then(() => this.#open(choice));
    return this.#opening;
  }

  close() {
    this.#choice = null;
    clearTimeout(this.#timer);
    this.#stop();
    this.#lock?.release();
    this.#lock = null;
  }

  /** The cameras that there are, by name; names come only after permission. @returns {Promise<MediaDeviceInfo[]>} */
  async devices() {
    const all = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
    return all.filter(({ kind, deviceId, label }) => kind === 'videoinput' && deviceId && label);
  }

  async #open(choice) {
    if (choice !== this.#choice) return; // another one was chosen meanwhile
    clearTimeout(this.#timer);
    this.#stop();
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: constraints(choice) });
      if (choice !== this.#choice) {
        stream.getTracks().forEach((track) => track.stop());
        return;
      }
      this.#stream = stream;
      this.#watch(stream.getVideoTracks()[0]);
      this.#backoff.reset();
      this.#stayAwake();
    } catch (error) {
      if (choice !== this.#choice) return;
      const { message, remedy, final } = reason(error);
      this.listener.failed(message, remedy);
      if (!final) this.#timer = setTimeout(() => this.open(choice), this.#backoff.next());
    }
  }

  #watch(track) {
    track.onended = () => {
      if (track !== this.track || !this.#choice) return;
      this.listener.failed('The camera was taken away', 'It is opened again as soon as it is free.');
      const choice = this.#choice;
      this.#timer = setTimeout(() => this.open(choice), this.#backoff.next());
    };
    track.onmute = () => this.listener.paused(true);
    track.onunmute = () => this.listener.paused(false);
    this.listener.opened(track);
  }

  #stop() {
    this.#stream?.getTracks().forEach((track) => {
      track.onended = track.onmute = track.onunmute = null;
      track.stop();
    });
    this.#stream = null;
  }

  async #stayAwake() {
    try {
      if (!this.#lock || this.#lock.released) this.#lock = await navigator.wakeLock?.request('screen');
    } catch {
      // Low battery, or a browser without: then the person has to keep the screen on.
    }
  }
}

/** @param {Choice} choice @returns {MediaTrackConstraints} */
function constraints({ source, width, height, fps }) {
  const which = FACING.has(source) ? { facingMode: { ideal: source } } : { deviceId: { exact: source } };
  return { ...which, width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: fps, max: fps } };
}

/** What an error of getUserMedia means to a person. @param {DOMException} error */
function reason(error) {
  if (!window.isSecureContext) {
    return { message: 'Browsers give cameras to https pages only', remedy: 'Open this page by its https address.', final: true };
  }
  switch (error.name) {
    case 'NotAllowedError':
      return { message: 'This page may not use the camera', remedy: 'Allow it in the browser, then start again.', final: true };
    case 'NotFoundError':
    case 'OverconstrainedError':
      return { message: 'That camera is not there', remedy: 'Choose another one.', final: true };
    case 'NotReadableError':
      return { message: 'The camera is in use elsewhere', remedy: 'Close the other program; it is tried again.', final: false };
    default:
      return { message: 'The camera cannot be opened', remedy: error.message, final: false };
  }
}
