// What a media server sees of an H.264 stream (RFC 6184): whole access units, put together again as Annex B.

const START = Buffer.from([0, 0, 0, 1]);
const LONGEST = 600; // access units kept

export class Stream {
  units = 0;
  keyframes = 0;
  broken = 0;
  kept = []; // access units since the last keyframe, as Annex B
  #nals = [];
  #fragment = null;
  #lost = false;
  #expected = null;

  take({ header: { sequenceNumber, marker }, payload }) {
    if (!payload.length) return; // probing
    if (this.#expected !== null && sequenceNumber !== this.#expected) this.#lost = true;
    this.#expected = (sequenceNumber + 1) & 0xffff;
    if (!this.#lost) this.#depacketize(payload);
    if (marker) this.#finish();
  }

  #depacketize(payload) {
    const type = payload[0] & 31;
    if (type === 24) { // STAP-A
      for (let at = 1; at + 2 < payload.length; ) {
        const length = payload.readUInt16BE(at);
        if (!length || at + 2 + length > payload.length) return void (this.broken += 1);
        this.#nals.push(payload.subarray(at + 2, at + 2 + length));
        at += 2 + length;
      }
    } else if (type === 28) { // FU-A
      const start = payload[1] & 0x80, end = payload[1] & 0x40;
      if (Boolean(start) === (this.#fragment !== null)) this.broken += 1;
      if (start) this.#fragment = [Buffer.from([(payload[0] & 0xe0) | (payload[1] & 31)])];
      this.#fragment?.push(payload.subarray(2));
      if (end && this.#fragment) {
        this.#nals.push(Buffer.concat(this.#fragment));
        this.#fragment = null;
      }
    } else if (type >= 1 && type <= 23) this.#nals.push(payload);
    else this.broken += 1;
  }

  #finish() {
    const nals = this.#nals, whole = !this.#lost && this.#fragment === null;
    this.#nals = [];
    this.#fragment = null;
    this.#lost = false;
    const types = nals.map((nal) => nal[0] & 31);
    if (!whole || !types.some((type) => type === 1 || type === 5)) return;
    this.units += 1;
    if (types.includes(5)) {
      this.keyframes += 1;
      if (!types.includes(7) || !types.includes(8)) this.broken += 1; // an IDR without SPS and PPS starts nobody
      this.kept = [];
    }
    if (this.kept.length < LONGEST) this.kept.push(Buffer.concat(nals.flatMap((nal) => [START, nal])));
  }
}
