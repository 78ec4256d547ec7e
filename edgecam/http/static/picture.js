/** The picture on the page: the video element, and the last frame that stays while a new stream is being fetched. */
export class Picture {
  #frameRequest = 0;

  /** @param {HTMLVideoElement} video @param {HTMLCanvasElement} still */
  constructor(video, still) {
    this.video = video;
    this.still = still;
  }

  /**
   * Show a new stream.
   * @param {MediaStreamTrack} track
   * @param {() => void} onFirstFrame
   */
  attachVideo(track, onFirstFrame) {
    const { video } = this;
    video.srcObject = new MediaStream([track]);
    if ('requestVideoFrameCallback' in video) {
      video.cancelVideoFrameCallback(this.#frameRequest);
      this.#frameRequest = video.requestVideoFrameCallback(onFirstFrame);
    }
  }

  /** @param {MediaStreamTrack} track */
  attachAudio(track) {
    this.video.srcObject?.addTrack(track);
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
