/** Talking to the people in front of the camera, where it has a loudspeaker: on and off, one viewer at a time. */

export class Talk {
  #button;
  #stream;
  #say;
  /** @type {MediaStreamTrack|null} */
  #track = null;

  /** @param {HTMLButtonElement} button @param {import('./stream.js').Stream} stream @param {(text: string) => void} say */
  constructor(button, stream, say) {
    this.#button = button;
    this.#stream = stream;
    this.#say = say;
  }

  get talking() {
    return this.#track !== null;
  }

  /** The call has changed: show the button where one may talk, and begin no call with an open microphone. */
  update() {
    const possible = this.#stream.state === 'playing' && this.#stream.canTalk;
    this.#button.hidden = !possible && !this.talking;
    if (this.talking && !possible) this.stop();
    this.#show();
  }

  async toggle() {
    if (this.talking) return this.stop();
    if (!this.#stream.canTalk) return;
    if (!navigator.mediaDevices) {
      this.#say('Browsers open the microphone over https only');
      return;
    }
    try {
      const constraints = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
      const media = await navigator.mediaDevices.getUserMedia({ audio: constraints });
      [this.#track] = media.getAudioTracks();
      this.#track.onended = () => this.stop();
      await this.#stream.talk(this.#track);
      this.#say('You can be heard at the camera');
    } catch (error) {
      this.stop();
      this.#say(error.name === 'NotAllowedError' ? 'The microphone is not allowed here' : `No microphone: ${error.message}`);
    }
    this.#show();
  }

  stop() {
    this.#track?.stop();
    this.#track = null;
    this.#stream.talk(null).catch(() => {}); // the call may be over
    this.#show();
  }

  #show() {
    this.#button.setAttribute('aria-pressed', String(this.talking));
    this.#button.title = `${this.talking ? 'Stop talking' : 'Talk to the people there'} (T)`;
  }
}
