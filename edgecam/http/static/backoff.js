/** Exponential backoff with jitter: many pages that lost the same host must not return in step. */
export class Backoff {
  #failures = 0;

  /** @param {number} firstMs @param {number} capMs */
  constructor(firstMs, capMs) {
    this.firstMs = firstMs;
    this.capMs = capMs;
  }

  /** The next wait in milliseconds: between half and all of the doubled step. */
  next() {
    const step = Math.min(this.capMs, this.firstMs * 2 ** this.#failures);
    this.#failures += 1;
    return step * (0.5 + Math.random() / 2);
  }

  reset() {
    this.#failures = 0;
  }
}
