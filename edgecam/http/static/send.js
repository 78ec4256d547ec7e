/** The page that makes a phone, or any device with a camera, a camera of this server. */
import { Broadcast } from './broadcast.js';
import * as format from './format.js';
import { OwnCamera } from './own-camera.js';
import { api, setText, viewerPage } from './page.js';

const byId = (id) => document.getElementById(id);
const form = byId('choices');
const preview = byId('preview');
const REMEMBERED = 'edgecam.send';
const FIGURES_MS = 1000;

let sending = false;
let paused = false;
let cameraProblem = null;
let bytesBefore = null;

// ── for tests and curious people ───────────────────────────────────────────────────────────────

const MAX_EVENTS = 200;
const edgecam = {
  get state() {
    return state();
  },
  get viewers() {
    return broadcast.viewers;
  },
  get connections() {
    return broadcast.connections;
  },
  get settings() {
    return camera.track?.getSettings() ?? null;
  },
  /** What happened, oldest first. */
  events: [],
};
window.edgecam = edgecam;

function note(type, detail = {}) {
  edgecam.events.push({ ...detail, at: performance.now(), type });
  if (edgecam.events.length > MAX_EVENTS) edgecam.events.shift();
}

// ── camera and server ──────────────────────────────────────────────────────────────────────────

const broadcast = new Broadcast({ changed: show, event: note });

const camera = new OwnCamera({
  opened(track) {
    cameraProblem = null;
    paused = track.muted;
    preview.srcObject = new MediaStream([track]);
    preview.toggleAttribute('data-mirrored', camera.facesUser);
    broadcast.show(track);
    note('camera-opened', track.getSettings());
    listDevices();
    if (sending && broadcast.state === 'idle') broadcast.start(form.elements.name.value);
    show();
  },
  failed(message, remedy) {
    cameraProblem = { message, remedy };
    note('camera-failed', { message });
    show();
  },
  paused(now) {
    paused = now;
    show();
  },
});

/** @returns {import('./own-camera.js').Choice} */
function choice() {
  const { source, size, rate } = form.elements;
  const [width, height] = size.value.split('x').map(Number);
  return { source: source.value, width, height, fps: Number(rate.value) };
}

function start() {
  sending = true;
  remember();
  show();
  camera.open(choice());
}

function stop() {
  sending = false;
  cameraProblem = null;
  broadcast.stop();
  camera.close();
  preview.srcObject = null;
  show();
}

/** Front to back and back; among named cameras to the next. */
function flip() {
  const { source } = form.elements;
  const named = [...source.options].map(({ value }) => value).filter((value) => value !== 'environment' && value !== 'user');
  const order = named.length && named.includes(source.value) ? named : ['environment', 'user'];
  source.value = order[(order.indexOf(source.value) + 1) % order.length];
  changed();
}

function changed() {
  remember();
  if (sending) camera.open(choice());
}

/** Cameras by their names, where there are more than a front and a back. */
async function listDevices() {
  const { source } = form.elements;
  const devices = await camera.devices();
  if (devices.length < 2 || document.activeElement === source) return;
  const known = new Set([...source.options].map(({ value }) => value));
  source.append(...devices.filter(({ deviceId }) => !known.has(deviceId)).map(({ label, deviceId }) => new Option(label, deviceId)));
}

// ── what a person sees ─────────────────────────────────────────────────────────────────────────

const STATE = {
  idle: 'Not sending',
  starting: 'Starting…',
  live: 'Live',
  paused: 'Paused',
  waiting: 'Reconnecting…',
  refused: 'Refused',
};

function state() {
  if (!sending) return 'idle';
  if (broadcast.state === 'refused' || (cameraProblem && !camera.track)) return 'refused';
  if (broadcast.state === 'registered') return paused ? 'paused' : 'live';
  return broadcast.state === 'waiting' ? 'waiting' : 'starting';
}

function show() {
  const now = state();
  byId('sender').dataset.state = now;
  setText(byId('state'), STATE[now]);
  byId('btn-send').setAttribute('aria-pressed', String(sending));
  setText(byId('btn-send').firstElementChild, sending ? 'Stop' : 'Start');
  const name = form.elements.name.value;
  setText(byId('title'), sending && name ? name : 'Send pictures');
  document.title = `${sending && name ? name : 'Send'} · edgecam`;
  const { message, remedy } = cameraProblem ?? { message: broadcast.problem, remedy: '' };
  byId('problem').hidden = !sending || !message;
  setText(byId('problem-title'), message ? message.charAt(0).toUpperCase() + message.slice(1) : '');
  byId('problem-detail').hidden = !remedy;
  setText(byId('problem-detail'), remedy);
  const watching = broadcast.viewers;
  byId('audience').hidden = !sending || now === 'starting';
  setText(byId('audience'), watching === 0 ? 'Nobody is watching' : watching === 1 ? '1 person is watching' : `${watching} people are watching`);
}

setInterval(async () => {
  const { track } = camera;
  byId('figures').hidden = !track;
  if (!track) return;
  const { width, height, frameRate } = track.getSettings();
  let bytes = 0;
  for (const pc of broadcast.connections) {
    for (const entry of (await pc.getStats()).values()) if (entry.type === 'outbound-rtp') bytes += entry.bytesSent;
  }
  const bps = bytesBefore === null ? 0 : Math.max(0, ((bytes - bytesBefore) * 8000) / FIGURES_MS);
  bytesBefore = bytes;
  const parts = [`${width}×${height}`, `${format.fps(frameRate)} fps`];
  setText(byId('figures'), [...parts, ...(broadcast.viewers ? [`${format.bitrate(bps)} up`] : [])].join('  ·  '));
}, FIGURES_MS);

// ── what was chosen last time ──────────────────────────────────────────────────────────────────

function remember() {
  const { name, source, size, rate } = form.elements;
  try {
    localStorage.setItem(REMEMBERED, JSON.stringify({ name: name.value, source: source.value, size: size.value, rate: rate.value }));
  } catch {
    // Storage may be forbidden; it is then merely not remembered.
  }
}

function recall() {
  let known = {};
  try {
    known = JSON.parse(localStorage.getItem(REMEMBERED) ?? '{}');
  } catch {
    // As if nothing had been chosen before.
  }
  for (const [key, value] of Object.entries(known)) {
    const element = form.elements[key];
    if (element && (element.tagName === 'INPUT' || [...element.options].some((option) => option.value === value))) element.value = value;
  }
  const asked = new URLSearchParams(location.search).get('camera');
  if (asked) form.elements.name.value = asked;
}

/** An invite for one camera leaves no choice of its name. */
async function nameFromInvite() {
  const response = await fetch(api('api/v1/viewer'), { cache: 'no-store' });
  if (!response.ok) return;
  const { may } = await response.json();
  const only = may?.cameras?.length === 1 && !/[*?]/.test(may.cameras[0]) ? may.cameras[0] : '';
  if (only) {
    form.elements.name.value = only;
    form.elements.name.readOnly = true;
  } else if (!form.elements.name.value) form.elements.name.value = 'phone';
  show();
}

// ── controls ───────────────────────────────────────────────────────────────────────────────────

form.addEventListener('submit', (event) => {
  event.preventDefault();
  if (sending) stop();
  else start();
});
for (const id of ['source', 'size', 'rate']) byId(id).addEventListener('change', changed);
byId('btn-flip').addEventListener('click', flip);
byId('btn-share').addEventListener('click', async () => {
  const url = viewerPage(form.elements.name.value);
  const label = byId('btn-share').querySelector('span');
  try {
    await navigator.clipboard.writeText(url);
    setText(label, 'Copied');
    setTimeout(() => setText(label, 'Link'), 2000);
  } catch {
    window.prompt('Watch this camera at', url);
  }
});
window.addEventListener('online', () => broadcast.nudge());
document.addEventListener('visibilitychange', () => document.hidden || broadcast.nudge());
window.addEventListener('pagehide', () => sending && stop());

recall();
nameFromInvite().catch(() => {});
show();
