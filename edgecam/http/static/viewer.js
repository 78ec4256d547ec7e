/** The viewer page: joins the stream to the page's elements, keys and figures. */
import * as format from './format.js';
import { Screen } from './latency.js';
import { sentenceCase, setText, viewerPage } from './page.js';
import { Panel } from './panel.js';
import { Picture } from './picture.js';
import { PRIVATE } from './signaling.js';
import { figures } from './stats.js';
import { Stream } from './stream.js';
import { Talk } from './talk.js';

const byId = (id) => document.getElementById(id);
const camera = decodeURIComponent(location.pathname.replace(/\/+$/, '').split('/').pop());
const passive = new URLSearchParams(location.search).get('mode') === 'receive';
const video = byId('video');
const player = byId('player');
const picture = new Picture(video, byId('still'));
const panel = new Panel(byId);

let title = camera;
let previousReport = null;

// ── for tests and curious people ───────────────────────────────────────────────────────────────

const MAX_EVENTS = 200;
const edgecam = {
  get state() {
    return stream.state;
  },
  get pc() {
    return stream.pc;
  },
  get connectStartedAt() {
    return stream.connectStartedAt;
  },
  get firstFrameAt() {
    return stream.firstFrameAt;
  },
  /** The last second's figures, see stats.js, with g2g_p50_ms and g2g_p95_ms. */
  stats: {},
  /** What happened, oldest first. */
  events: [],
};
window.edgecam = edgecam;

function note(type, detail = {}) {
  edgecam.events.push({ ...detail, at: performance.now(), type });
  if (edgecam.events.length > MAX_EVENTS) edgecam.events.shift();
}

// ── the stream ─────────────────────────────────────────────────────────────────────────────────

const stream = new Stream(
  camera,
  picture,
  { changed: showState, event: note, report: showReport, cameras: showCameras, audio: showAudio },
  { passive },
);

const talk = new Talk(byId('btn-talk'), stream, toast);

const STATE = {
  connecting: 'Connecting…',
  waiting: 'Waiting for the camera',
  playing: 'Live',
  reconnecting: 'Reconnecting…',
  refused: 'Refused',
};

function showState() {
  const { state, problem } = stream;
  player.dataset.state = stream.frozenMs ? 'frozen' : state;
  setText(byId('state'), stream.frozenMs ? 'Frozen' : STATE[state]);
  const playing = state === 'playing';
  talk.update();
  byId('overlay').hidden = playing;
  byId('frozen').hidden = !stream.frozenMs;
  if (stream.frozenMs) setText(byId('frozen'), `No new pictures for ${Math.floor(stream.frozenMs / 1000)} s`);
  if (playing) offerPlay();
  else {
    byId('btn-play').hidden = true;
    if (problem?.code === PRIVATE) {
      setText(byId('state'), 'Private');
      setText(byId('overlay-title'), 'The camera is private');
      showLine(byId('overlay-detail'), 'The picture comes back by itself when that is over.');
      showLine(byId('overlay-next'), '');
      byId('btn-retry').hidden = false;
      return;
    }
    const refusal = state === 'refused' && problem?.message;
    setText(byId('overlay-title'), refusal ? sentenceCase(refusal) : STATE[state]);
    const detail = [!refusal && problem?.message, problem?.remedy].filter(Boolean).map(sentence).join(' ');
    showLine(byId('overlay-detail'), detail || (passive && 'Waiting for its call.'));
    showLine(byId('overlay-next'), nextTry());
    byId('btn-retry').hidden = problem === null;
  }
}

/** @param {HTMLElement} node @param {string|false|undefined} text */
function showLine(node, text) {
  node.hidden = !text;
  setText(node, text || '');
}

/** @param {string} text */
const sentence = (text) => `${sentenceCase(text.replace(/[.\s]*$/, ''))}.`;

function nextTry() {
  if (stream.nextTryAt === null) return '';
  const seconds = Math.ceil((stream.nextTryAt - performance.now()) / 1000);
  return seconds > 1 ? `Trying again in ${seconds} s` : 'Trying again';
}

/** Browsers may refuse to start even a silent video (data saver, low power): then a person has to. */
async function offerPlay() {
  if (!video.paused) {
    byId('btn-play').hidden = true;
    return;
  }
  try {
    await video.play();
    byId('btn-play').hidden = true;
  } catch (error) {
    if (error.name === 'NotAllowedError') byId('btn-play').hidden = false;
  }
}

function showCameras(cameras) {
  const own = cameras.find(({ id }) => id === camera);
  title = own?.title || camera;
  setText(byId('title'), title);
  document.title = `${title} · edgecam`;
  byId('picker').hidden = cameras.length < 2;
  byId('title').classList.toggle('visually-hidden', cameras.length >= 2);
  const select = byId('camera');
  if (document.activeElement === select) return; // do not rebuild a list that a person has open
  select.replaceChildren(
    ...cameras.map(({ id, title: name, online }) => {
      const option = new Option(`${name || id}${online === false ? ' (offline)' : ''}`, id);
      option.selected = id === camera;
      return option;
    }),
  );
}

function showAudio(hasAudio) {
  const button = byId('btn-mute');
  button.disabled = !hasAudio;
  video.muted ||= !hasAudio;
  showMuted();
}

function showMuted() {
  const button = byId('btn-mute');
  button.setAttribute('aria-pressed', String(!video.muted));
  button.title = button.disabled ? 'This camera sends no sound' : `${video.muted ? 'Sound on' : 'Mute'} (M)`;
}

// ── figures ────────────────────────────────────────────────────────────────────────────────────

// A call begins with pictures that were captured before it did: they are old, and say nothing about the path.
const SETTLE_MS = 1000;
const display = new Screen();

/** @param {number} now @param {VideoFrameCallbackMetadata} metadata */
function measureLatency(now, metadata) {
  video.requestVideoFrameCallback(measureLatency);
  if (stream.firstFrameAt === null || now - stream.firstFrameAt < SETTLE_MS) return;
  stream.latency?.shown(display.shownAt(now, metadata), metadata.rtpTimestamp);
}
if ('requestVideoFrameCallback' in video) video.requestVideoFrameCallback(measureLatency);

function showReport(report) {
  if (report === null) {
    // Yesterday's figures beside a dimmed picture would be read as today's.
    previousReport = null;
    panel.clear();
    setText(byId('summary'), '');
    return;
  }
  const now = figures(report, previousReport);
  previousReport = report;
  const latency = stream.latency?.window.percentiles(performance.now()) ?? null;
  edgecam.stats = { ...now, g2g_p50_ms: latency?.p50 ?? null, g2g_p95_ms: latency?.p95 ?? null };
  panel.show(now, latency, stream.playingSince);
  const brief = [
    now.width && `${now.width}×${now.height}`,
    now.fps !== null && `${Math.round(now.fps)} fps`,
    now.bitrate_bps !== null && format.bitrate(now.bitrate_bps),
    latency && `${Math.round(latency.p50)} ms`,
  ];
  setText(byId('summary'), brief.filter(Boolean).join('  ·  '));
}

const PANEL_KEY = 'edgecam.panel';

function showPanel(open) {
  player.dataset.panel = open ? 'open' : 'closed';
  byId('panel').hidden = !open;
  byId('btn-stats').setAttribute('aria-expanded', String(open));
}

function togglePanel() {
  const open = byId('panel').hidden;
  showPanel(open);
  try {
    localStorage.setItem(PANEL_KEY, open ? 'open' : 'closed');
  } catch {
    // Storage may be forbidden; the panel is then merely not remembered.
  }
}

function rememberedPanel() {
  try {
    return localStorage.getItem(PANEL_KEY) !== 'closed';
  } catch {
    return true;
  }
}

// ── controls ───────────────────────────────────────────────────────────────────────────────────

let toastTimer = 0;

function toast(text) {
  const node = byId('toast');
  node.hidden = false;
  setText(node, text);
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => (node.hidden = true), 3000);
}

async function toggleFullscreen() {
  try {
    if (document.fullscreenElement) await document.exitFullscreen();
    else if (player.requestFullscreen) await player.requestFullscreen();
    else video.webkitEnterFullscreen?.(); // iPhones give only the video itself the whole screen
  } catch {
    toast('Full screen is not allowed here');
  }
}

async function saveSnapshot() {
  if (!picture.hasFrame && byId('still').hidden) {
    toast('There is no picture yet');
    return;
  }
  try {
    const address = URL.createObjectURL(await picture.snapshot());
    const link = document.createElement('a');
    link.href = address;
    link.download = `${camera}-${localStamp(new Date())}.jpg`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
    toast(`Saved ${link.download}`);
  } catch (error) {
    toast(`No snapshot: ${error.message}`);
  }
}

/** `2025-01-31-14-05-09` in local time; colons are not welcome in file names. @param {Date} date */
function localStamp(date) {
  const two = (n) => String(n).padStart(2, '0');
  return [
    date.getFullYear(),
    ...[date.getMonth() + 1, date.getDate(), date.getHours(), date.getMinutes(), date.getSeconds()].map(two),
  ].join('-');
}

function toggleMute() {
  if (byId('btn-mute').disabled) return;
  video.muted = !video.muted;
  if (video.paused) offerPlay();
}

async function togglePictureInPicture() {
  try {
    if (document.pictureInPictureElement) await document.exitPictureInPicture();
    else await video.requestPictureInPicture();
  } catch {
    toast('Picture in picture is not possible now');
  }
}

function reconnect() {
  if (stream.state === 'playing') toast('Connecting again');
  stream.reconnect();
}

const ACTIONS = {
  f: ['btn-fullscreen', toggleFullscreen],
  s: ['btn-snapshot', saveSnapshot],
  m: ['btn-mute', toggleMute],
  t: ['btn-talk', () => talk.toggle()],
  r: ['btn-reconnect', reconnect],
  i: ['btn-stats', togglePanel],
  p: ['btn-pip', togglePictureInPicture],
};

for (const [id, action] of Object.values(ACTIONS)) byId(id).addEventListener('click', action);
byId('btn-retry').addEventListener('click', reconnect);
byId('btn-play').addEventListener('click', offerPlay);
byId('stage').addEventListener('dblclick', ({ target }) => target.closest('button') ?? toggleFullscreen());
byId('camera').addEventListener('change', ({ target }) => location.assign(viewerPage(target.value)));
byId('btn-pip').hidden = !document.pictureInPictureEnabled;
if (!document.pictureInPictureEnabled) delete ACTIONS.p;

document.addEventListener('keydown', (event) => {
  const modified = event.ctrlKey || event.metaKey || event.altKey || event.repeat;
  if (modified || event.target.closest?.('select, input, textarea')) return;
  const action = ACTIONS[event.key.toLowerCase()];
  if (!action) return;
  event.preventDefault();
  action[1]();
});

video.addEventListener('volumechange', showMuted);
video.addEventListener('pause', () => {
  // The system's media keys and the picture-in-picture window can pause; a live picture must say so.
  if (stream.state === 'playing' && !document.hidden) byId('btn-play').hidden = false;
});
video.addEventListener('playing', () => (byId('btn-play').hidden = true));

// In full screen the controls leave when nobody needs them.
const IDLE_MS = 2500;
let idleTimer = 0;

function wake() {
  delete player.dataset.idle;
  clearTimeout(idleTimer);
  if (!document.fullscreenElement) return;
  idleTimer = setTimeout(() => (player.dataset.idle = ''), IDLE_MS);
}
for (const type of ['pointermove', 'pointerdown', 'keydown', 'focusin']) {
  document.addEventListener(type, wake, { passive: true });
}
document.addEventListener('fullscreenchange', () => {
  const full = document.fullscreenElement !== null;
  byId('btn-fullscreen').setAttribute('aria-pressed', String(full));
  byId('btn-fullscreen').title = full ? 'Leave full screen (F)' : 'Full screen (F)';
  wake();
});

// ── coming and going ───────────────────────────────────────────────────────────────────────────

window.addEventListener('online', () => stream.nudge());
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) stream.nudge();
});
window.addEventListener('pagehide', () => stream.close());
window.addEventListener('pageshow', ({ persisted }) => {
  if (persisted) stream.start();
});

setText(byId('title'), title);
document.title = `${title} · edgecam`;
showPanel(rememberedPanel());
showMuted();
stream.start();
