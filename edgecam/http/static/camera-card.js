/** One camera on the status page: built once, then only its words and numbers change, so that focus stays put. */
import * as format from './format.js';
import { api, el, sentenceCase, setText, viewerPage } from './page.js';

const THUMB_MS = 5000;

/** How a condition looks; the words are the daemon's. */
export const TONE = { running: 'good', degraded: 'warn', resting: 'quiet', starting: 'warn', waiting: 'warn', stopped: 'bad' };

/** @param {string} condition */
export function conditionPill(condition) {
  return el('span', { class: `pill tone-${TONE[condition] ?? 'quiet'}` }, sentenceCase(condition));
}

/** A picture that renews itself while it can be seen and the camera runs. */
class Thumbnail {
  #visible = false;
  #running = false;
  #timer = 0;
  #shownAt = -Infinity;

  /** @param {string} camera @param {string} title */
  constructor(camera, title) {
    this.url = api(`api/v1/cameras/${encodeURIComponent(camera)}/snapshot.jpg`);
    this.note = el('span', { class: 'note' }, 'No picture yet');
    this.image = el('img', { alt: `Recent picture of ${title}`, hidden: true });
    this.node = el('div', { class: 'thumb' }, this.image, this.note);
    new IntersectionObserver(([entry]) => {
      this.#visible = entry.isIntersecting;
      this.#renew();
    }).observe(this.node);
    document.addEventListener('visibilitychange', () => this.#renew());
  }

  /** @param {boolean} running @param {string} condition  @param {string} why  instead of "no live picture" */
  update(running, condition, why) {
    if (running !== this.#running) {
      this.#running = running;
      this.#renew();
    }
    this.node.classList.toggle('old', !running);
    this.note.hidden = running && !this.image.hidden;
    if (!running) setText(this.note, why || `${sentenceCase(condition)}: no live picture`);
  }

  /** Show nothing of what was seen. */
  erase() {
    if (!this.image.src) return;
    URL.revokeObjectURL(this.image.src);
    this.image.removeAttribute('src');
    this.image.hidden = true;
    this.note.hidden = false;
  }

  async #renew() {
    clearTimeout(this.#timer);
    if (!this.#visible || !this.#running || document.hidden) return;
    const wait = this.#shownAt + THUMB_MS - performance.now();
    if (wait > 0) {
      this.#timer = setTimeout(() => this.#renew(), wait);
      return;
    }
    this.#shownAt = performance.now();
    const loaded = await this.#load();
    this.note.hidden = loaded || !this.image.hidden;
    if (!loaded) setText(this.note, 'No picture now');
    this.#timer = setTimeout(() => this.#renew(), THUMB_MS);
  }

  /** Fetched whole before it is shown: a half-loaded picture flickers. */
  async #load() {
    try {
      const response = await fetch(this.url, { cache: 'no-store', signal: AbortSignal.timeout(8000) });
      if (!response.ok) return false;
      const address = URL.createObjectURL(await response.blob());
      const before = this.image.src;
      this.image.src = address;
      await this.image.decode();
      this.image.hidden = false;
      if (before) URL.revokeObjectURL(before);
      return true;
    } catch {
      return false;
    }
  }
}

/** Bitrate between its floor and its ceiling. */
class Gauge {
  now = el('strong');
  target = el('span', { class: 'quiet' });
  floor = el('span');
  ceiling = el('span');
  track = el(
    'div',
    { class: 'track', 'aria-hidden': 'true' },
    el('div', { class: 'fill' }),
    el('div', { class: 'floor' }),
    el('div', { class: 'target' }),
  );
  node = el(
    'div',
    { class: 'gauge' },
    el('div', { class: 'line' }, this.now, this.target),
    this.track,
    el('div', { class: 'line scale' }, this.floor, this.ceiling),
  );

  update(camera) {
    const top = Math.max(camera.ceiling_bps ?? 0, camera.bitrate_bps ?? 0, 1);
    const share = (bps) => `${Math.min(100, (100 * (bps ?? 0)) / top).toFixed(1)}%`;
    this.track.style.setProperty('--now', share(camera.bitrate_bps));
    this.track.style.setProperty('--target', share(camera.target_bps));
    this.track.style.setProperty('--floor', share(camera.floor_bps));
    setText(this.now, format.bitrate(camera.bitrate_bps));
    setText(this.target, `target ${format.bitrate(camera.target_bps)}`);
    setText(this.floor, `floor ${format.bitrate(camera.floor_bps)}`);
    setText(this.ceiling, `ceiling ${format.bitrate(camera.ceiling_bps)}`);
  }
}

export class CameraCard {
  #facts = {};

  /** @param {string} name @param {string} title */
  constructor(name, title) {
    this.thumbnail = new Thumbnail(name, title);
    this.gauge = new Gauge();
    this.privacy = new PrivacyButton(name, title);
    this.title = el('h3', {}, title);
    this.state = el('span', { class: 'pill' });
    this.detail = el('p', { class: 'card-detail' });
    this.facts = el('dl', { class: 'facts' });
    this.reason = el('p', { class: 'quiet card-detail' });
    this.node = el(
      'li',
      { class: 'card' },
      this.thumbnail.node,
      el(
        'div',
        { class: 'card-body' },
        el('div', { class: 'card-head' }, this.title, this.state),
        this.detail,
        this.gauge.node,
        this.facts,
        this.reason,
        el(
          'div',
          { class: 'actions' },
          el('a', { class: 'button primary', href: viewerPage(name), 'aria-label': `Watch ${title}` }, 'Watch'),
          this.privacy.node,
          copyButton(api(`whep/${encodeURIComponent(name)}`).href, title),
        ),
      ),
    );
  }

  update(camera) {
    const tone = TONE[camera.condition] ?? 'quiet';
    const running = camera.condition === 'running' || (camera.condition === 'degraded' && camera.open);
    // Who looks at a picture is somebody who watches: this page would keep the camera open.
    const onDemand = camera.capture === 'on-demand' && !camera.private;
    this.thumbnail.update(running && !onDemand, camera.condition, onDemand && running ? 'Captured on demand: press Watch' : '');
    if (camera.private) this.thumbnail.erase();
    this.privacy.update(camera.private, camera.privacy?.by ?? []);
    setText(this.title, camera.title || camera.name);
    this.state.className = `pill tone-${tone}`;
    setText(this.state, sentenceCase(camera.condition));
    this.detail.className = `card-detail tone-${tone}`;
    const detail = camera.condition === 'running' ? '' : camera.detail || camera.code;
    this.detail.hidden = !detail;
    setText(this.detail, detail);
    this.gauge.update(camera);
    this.#fact('Picture', `${camera.width ?? '?'}×${camera.height ?? '?'} at ${format.fps(camera.measured_fps)} of ${format.fps(camera.fps)} fps`);
    this.#fact('Source', [camera.source, camera.pixel_format].filter(Boolean).join(', ') || format.NONE);
    const took = typeof camera.encode_ms === 'number' ? `, ${format.milliseconds(camera.encode_ms)} a frame` : '';
    this.#fact('Encoder', camera.encoder ? camera.encoder + took : format.NONE);
    this.#fact('Last frame', age(camera.last_frame_age_s));
    this.#fact('Viewers', `${format.count(camera.viewers)} of ${format.count(camera.max_viewers)}`);
    this.#fact('Restarts', format.count(camera.restarts));
    const dropped = (camera.frames_dropped ?? 0) + (camera.units_dropped ?? 0);
    this.#fact('Frames dropped', format.count(dropped));
    this.reason.hidden = !camera.encoder_reason;
    setText(this.reason, camera.encoder_reason ?? '');
  }

  #fact(label, text) {
    this.#facts[label] ??= this.facts.appendChild(el('dt', {}, label)) && this.facts.appendChild(el('dd'));
    setText(this.#facts[label], text);
  }
}

/** Closes the camera for everybody, and opens it again, after asking. */
class PrivacyButton {
  #private = false;
  #name;
  #title;

  /** @param {string} name @param {string} title */
  constructor(name, title) {
    this.#name = name;
    this.#title = title;
    this.node = el('button', { class: 'button', type: 'button', role: 'switch', 'aria-checked': 'false' }, 'Private');
    this.node.addEventListener('click', () => this.#toggle());
  }

  /** @param {boolean} isPrivate @param {string[]} by */
  update(isPrivate, by) {
    this.#private = isPrivate;
    // Only what a person has set can a person end here; files, schedules and switches have to say so themselves.
    this.node.disabled = isPrivate && !by.includes('operator');
    this.node.setAttribute('aria-checked', String(isPrivate));
    this.node.setAttribute('aria-label', `${this.#title} is private`);
    setText(this.node, isPrivate ? 'End privacy' : 'Make private');
  }

  async #toggle() {
    const question = this.#private
      ? `Open ${this.#title} again, for everybody who may watch it?`
      : `Close ${this.#title}? Everybody who watches is sent away, and it stays closed until somebody ends this.`;
    if (!window.confirm(question)) return;
    this.node.disabled = true;
    try {
      const response = await fetch(api(`api/v1/cameras/${encodeURIComponent(this.#name)}/privacy`), {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ private: !this.#private, by: 'page' }),
      });
      const state = await response.json();
      if (!response.ok) window.alert(sentenceCase([state.title, state.remedy].filter(Boolean).join('; ')));
      else this.update(state.private, state.by);
    } catch {
      window.alert('The host does not answer');
    } finally {
      this.node.disabled = false;
    }
  }
}

/** @param {number|null} seconds */
function age(seconds) {
  if (seconds === null || seconds === undefined) return format.NONE;
  return seconds < 1 ? `${format.milliseconds(seconds * 1000)} ago` : `${format.duration(seconds)} ago`;
}

/** @param {string} url @param {string} title */
function copyButton(url, title) {
  const button = el('button', { class: 'button', type: 'button', title: url, 'aria-label': `Copy the WHEP address of ${title}` }, 'Copy WHEP URL');
  let timer = 0;
  button.addEventListener('click', async () => {
    const copied = await copy(url);
    if (!copied) window.prompt('WHEP address', url);
    setText(button, copied ? 'Copied' : 'Copy WHEP URL');
    clearTimeout(timer);
    timer = setTimeout(() => setText(button, 'Copy WHEP URL'), 2000);
  });
  return button;
}

/** @param {string} text @returns {Promise<boolean>} */
async function copy(text) {
  try {
    // Only there on https and localhost; elsewhere a person copies from the prompt.
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
