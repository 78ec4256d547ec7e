/** The bundled server's front page: who is here, and how to add a camera. */
import { BASE, api, el, poll, setText, viewerPage } from './page.js';

const byId = (id) => document.getElementById(id);
/** @type {Map<string, {node: Element, update: (camera: any) => void}>} */
const cards = new Map();
let first = true;

poll(api('api/v1/cameras'), 3000, {
  data(cameras) {
    setFresh('good', 'Up to date');
    showCameras(cameras);
  },
  failed(reason) {
    setFresh('bad', `Stale: ${reason}`);
  },
});

function setFresh(tone, text) {
  byId('fresh').className = `pill tone-${tone}`;
  setText(byId('fresh'), text);
}

function showCameras(cameras) {
  const online = cameras.filter((camera) => camera.online).length;
  setText(byId('count'), cameras.length ? `${online} of ${cameras.length} online` : '');
  byId('empty').hidden = cameras.length > 0;
  // Opened for the person who needs it, once; from then on it is theirs to open and close.
  if (first) byId('add').open = cameras.length === 0;
  first = false;
  const ids = new Set(cameras.map(({ id }) => id));
  for (const [id, card] of cards) {
    if (ids.has(id)) continue;
    card.node.remove();
    cards.delete(id);
  }
  for (const camera of cameras) {
    if (!cards.has(camera.id)) {
      const card = cameraCard(camera);
      cards.set(camera.id, card);
      byId('cameras').append(card.node);
    }
    cards.get(camera.id).update(camera);
  }
}

function cameraCard({ id }) {
  const title = el('h2');
  const state = el('span', { class: 'pill' });
  const viewers = el('p', { class: 'quiet' });
  const lens = el('span', { class: 'lens', 'aria-hidden': 'true' }, lensIcon());
  const link = el('a', { href: viewerPage(id) }, lens, el('div', { class: 'about' }, title, viewers), state);
  return {
    node: el('li', {}, link),
    update(camera) {
      const tone = `tone-${camera.online ? 'good' : 'quiet'}`;
      link.className = `card camera-link ${tone}`;
      state.className = `pill ${tone}`;
      setText(title, camera.title || id);
      setText(state, camera.online ? 'Online' : 'Offline');
      setText(viewers, watching(camera.viewers ?? 0));
    },
  };
}

function lensIcon() {
  const icon = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  icon.setAttribute('viewBox', '0 0 32 32');
  for (const radius of [12, 5]) {
    const ring = document.createElementNS(icon.namespaceURI, 'circle');
    for (const [name, value] of Object.entries({ cx: 16, cy: 16, r: radius })) ring.setAttribute(name, String(value));
    icon.append(ring);
  }
  return icon;
}

const watching = (n) => (n === 0 ? 'Nobody is watching' : n === 1 ? '1 person is watching' : `${n} people are watching`);

function showExample() {
  const socket = new URL('ws', BASE);
  socket.protocol = socket.protocol.replace('http', 'ws');
  setText(byId('example'), `[signaling.home]\ntype = "websocket"\nurl = "${socket.href}"`);
  byId('loopback').hidden = !/^(localhost|127\.[\d.]+|\[::1\])$/.test(location.hostname);
}

showExample();
