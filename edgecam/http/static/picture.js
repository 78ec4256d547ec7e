/** The picture on the page: the video element, and the last frame that stays while a new stream is being fetched. */
export class Picture {
  #frameRequest = 0;
  #stream = new MediaStream();
  #onFirstFrame = () => {};

  /** @param {HTMLVideoElement} video @param {HTMLCanvasElement} still */
  constructor(video, still) {
    this.video = video;
    this.still = still;
  }

  /** Prepare for a new stream; what is shown stays until its first track. @param {() => void} onFirstFrame */
  begin(onFirstFrame) {
    this.#stream = new MediaStream();
    this.#onFirstFrame = onFirstFrame;
  }

  /** @param {MediaStreamTrack} track  of the stream that `begin` announced; sound and picture in any order */
  attach(track) {
    this.#stream.addTrack(track);
    // A media element without data holds up the load event: with no picture the tab would load for ever.
    if (document.readyState === 'complete') this.#show();
    else window.addEventListener('load', () => this.#show(), { once: true });
  }

  #show() {
    const { video } = this;
    if (video.srcObject === this.#stream) return;
    video.srcObject = this.#stream;
    if ('requestVideoFrameCallback' in video) {
      video.cancelVideoFrameCallback(this.#frameRequest);
      this.#frameRequest = video.requestVideoFrameCallback(this.#onFirstFrame);
    }
  }

  get hasFrame() {
    return this.video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA && this.video.videoWidth > 0;
  }

  /** Keep what is on screen now: the next stream begins without a picture, and black frightens. */
  hold() {
    if (!this.hasFrame || !this.still.hidden) return;
    this.#drawTo(this.still);
    this.still.hidden = false;
  }

  /** Keep nothing: neither what is held nor the last frame of a stream that has ended. */
  erase() {
    this.still.hidden = true;
    this.still.width = this.still.height = 0;
    this.video.srcObject = null;
  }

  release() {
    this.still.hidden = true;
  }

  /** The current frame as a JPEG. @returns {Promise<Blob>} */
  snapshot() {
    const canvas = document.createElement('canvas');
    if (this.still.hidden) this.#drawTo(canvas);
    return new Promise((resolve, reject) => {
      (this.still.hidden ? canvas : this.still).toBlob(
        (blob) => (blob ? resolve(blob) : reject(new Error('the browser could not encode the picture'))),
        'image/jpeg',
        0.95,
      );
    });
  }

  /** @param {HTMLCanvasElement} canvas */
  #drawTo(canvas) {
    canvas.width = this.video.videoWidth;
    canvas.height = this.video.videoHeight;
    canvas.getContext('2d').drawImage(this.video, 0, 0);
  }
}
