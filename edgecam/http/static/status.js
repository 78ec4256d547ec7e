/** The daemon's status page: /api/v1/status for people, every two seconds. */
import { CameraCard, conditionPill } from './camera-card.js';
import * as format from './format.js';
import { api, el, poll, setText } from './page.js';

const byId = (id) => document.getElementById(id);
/** @type {Map<string, CameraCard>} */
const cards = new Map();
let answeredAt = 0;

poll(api('api/v1/status'), 2000, {
  data(status) {
    answeredAt = Date.now();
    setFresh('good', 'Up to date');
    showHead(status);
    showCameras(status.cameras ?? []);
    showViewers(status.viewers ?? []);
    showPublications(status.publications ?? []);
    showSignaling(status.signaling ?? []);
    showComponents(status.components ?? []);
  },
  failed(reason) {
    const age = answeredAt ? `Stale for ${format.duration((Date.now() - answeredAt) / 1000)}: ` : 'No status: ';
    setFresh('bad', age + reason);
  },
});

/** @param {string} tone @param {string} text */
function setFresh(tone, text) {
  byId('fresh').className = `pill tone-${tone}`;
  setText(byId('fresh'), text);
}

function showHead({ name, version, uptime_s, ready, reasons = [], warnings = [] }) {
  document.title = `${ready ? '' : '⚠ '}${name || 'edgecam'} · edgecam`;
  setText(byId('name'), name || 'edgecam');
  setText(byId('about'), `edgecam ${version}, up ${format.duration(uptime_s)}`);
  const verdict = byId('verdict');
  verdict.hidden = false;
  verdict.className = `verdict tone-${ready ? 'good' : 'warn'}`;
  setText(byId('verdict-title'), ready ? 'Ready' : 'Not ready');
  const lines = [...(reasons.length ? reasons : ['All components running']), ...warnings];
  const list = byId('verdict-reasons');
  // Rewriting a live region makes screen readers say it again.
  if (list.dataset.said === lines.join('\n')) return;
  list.dataset.said = lines.join('\n');
  list.replaceChildren(...lines.map((line) => el('li', {}, line)));
}

function showCameras(cameras) {
  byId('cameras-section').hidden = false;
  byId('no-cameras').hidden = cameras.length > 0;
  const names = new Set(cameras.map(({ name }) => name));
  for (const [name, card] of cards) {
    if (names.has(name)) continue;
    card.node.remove();
    cards.delete(name);
  }
  for (const camera of cameras) {
    let card = cards.get(camera.name);
    if (!card) {
      card = new CameraCard(camera.name, camera.title || camera.name);
      cards.set(camera.name, card);
      byId('cameras').append(card.node);
    }
    card.update(camera);
  }
}

/** Table cells carry their column's name: narrow screens show rows as small lists. */
function row(cells) {
  return el('tr', {}, ...cells.map(([label, content, kind = '']) => el('td', { 'data-label': label, class: kind || null }, content)));
}

function showViewers(viewers) {
  byId('viewers-section').hidden = false;
  byId('no-viewers').hidden = viewers.length > 0;
  byId('viewers-table').hidden = viewers.length === 0;
  setText(byId('viewers-count'), viewers.length ? String(viewers.length) : '');
  byId('viewers').replaceChildren(
    ...viewers.map((v) =>
      row([
        ['Camera', v.camera, 'name'],
        ['Came by', v.via],
        ['State', el('span', { class: `pill tone-${v.state === 'connected' ? 'good' : 'warn'}` }, v.state)],
        ['Path', v.path || format.NONE],
        ['For', format.duration(v.connected_s), 'number'],
        ['Sent', format.bytes(v.sent_bytes), 'number'],
        ['Loss', format.percent(v.loss_pct), 'number'],
        ['Round trip', format.milliseconds(v.rtt_ms), 'number'],
        ['Glass to glass', latency(v), 'number'],
        ['Can take', format.bitrate(v.available_bps ?? v.remb_bps), 'number'],
      ]),
    ),
  );
}

/** Media servers that the camera is published to: no viewers, however many watch there. */
function showPublications(publications) {
  byId('publications-section').hidden = publications.length === 0;
  byId('publications').replaceChildren(
    ...publications.map((p) =>
      row([
        ['Camera', p.camera, 'name'],
        ['To', p.via],
        ['State', el('span', { class: `pill tone-${p.state === 'connected' ? 'good' : 'warn'}` }, p.state)],
        ['Path', p.path || format.NONE],
        ['For', format.duration(p.connected_s), 'number'],
        ['Sent', format.bytes(p.sent_bytes), 'number'],
        ['Loss', format.percent(p.loss_pct), 'number'],
        ['Round trip', format.milliseconds(p.rtt_ms), 'number'],
        ['Can take', format.bitrate(p.available_bps ?? p.remb_bps), 'number'],
      ]),
    ),
  );
}

/** Only our own viewer page tells it. */
const latency = ({ latency_p50_ms: p50, latency_p95_ms: p95 }) =>
  p50 === null ? format.NONE : `${Math.round(p50)} · p95 ${Math.round(p95)} ms`;

function showSignaling(connections) {
  byId('signaling-section').hidden = connections.length === 0;
  byId('signaling').replaceChildren(
    ...connections.map((s) =>
      row([
        ['Connection', s.name, 'name'],
        ['State', conditionPill(s.condition)],
        ['Server', s.url],
        ['Cameras', (s.cameras ?? []).join(', ')],
        ['Detail', s.detail || s.code || '', 'detail'],
      ]),
    ),
  );
}

function showComponents(components) {
  byId('components-section').hidden = components.length === 0;
  byId('components').replaceChildren(
    ...components.map((c) =>
      row([
        ['Component', c.name, 'name'],
        ['State', conditionPill(c.condition)],
        ['For', format.duration(c.since_s), 'number'],
        ['Failures', format.count(c.failures), 'number'],
        ['Detail', c.detail || c.code || '', 'detail'],
      ]),
    ),
  );
}
