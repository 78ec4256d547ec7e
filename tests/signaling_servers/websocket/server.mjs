// A signaling server for one sender and one receiver, in Node with ws, as far as the document goes; where it leaves something
// open, each house decides differently. `node server.mjs PORT` serves them all, each below its own path.
//
// /plain    welcome on connect; tells both sides when the second has come; a stale sender is thrown out by a ping
// /quiet    no welcome; turnConfig only in registered; tells the sender only of receivers that come after it; relays raw
//           frames (which ws hands on as binary ones); knows no other fields than the document's
// /twice    every message to the sender is sent twice
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { WebSocketServer } from 'ws';

const [port, turn = ''] = process.argv.slice(2);
const iceServers = turn ? [{ urls: [turn] }] : [];
const page = readFileSync(new URL('./receiver.html', import.meta.url));
const PING = 1000; // milliseconds; a socket that has not answered the last one is stale
const KNOWN = new Set(['type', 'role', 'sdp', 'candidate']);

class House {
  constructor({ welcome = true, symmetrical = true, raw = false, strict = false, copies = 1 }) {
    Object.assign(this, { welcome, symmetrical, raw, strict, copies });
    this.seats = { sender: null, receiver: null };
    this.refused = 0;
    this.registered = 0;
  }

  tell(ws, message) {
    if (ws?.readyState !== 1) return;
    const times = ws === this.seats.sender ? this.copies : 1;
    for (let i = 0; i < times; i += 1) ws.send(typeof message === 'object' && !Buffer.isBuffer(message) ? JSON.stringify(message) : message);
  }

  connected(ws) {
    ws.alive = true;
    ws.on('pong', () => { ws.alive = true; });
    ws.on('error', () => {});
    if (this.welcome) this.tell(ws, { type: 'welcome', turnConfig: { iceServers } });
    ws.on('message', (data) => {
      let message;
      try {
        message = JSON.parse(data);
      } catch {
        return this.tell(ws, { type: 'error', message: 'Invalid JSON' });
      }
      return this.take(ws, message, data);
    });
    ws.on('close', () => this.gone(ws));
  }

  take(ws, message, data) {
    const extra = Object.keys(message).find((key) => !KNOWN.has(key));
    if (this.strict && extra) return this.tell(ws, { type: 'error', message: `Unknown field: ${extra}` });
    const role = ['sender', 'receiver'].find((name) => this.seats[name] === ws);
    const other = this.seats[role === 'sender' ? 'receiver' : 'sender'];
    switch (message.type) {
      case 'register':
        return this.register(ws, message.role);
      case 'offer':
      case 'answer':
        if (!role) return this.tell(ws, { type: 'error', message: 'Not registered' });
        if (!other) return this.tell(ws, { type: 'error', message: `No ${role === 'sender' ? 'receiver' : 'sender'} connected` });
        return this.tell(other, this.raw ? data : { type: message.type, sdp: message.sdp });
      case 'ice-candidate':
        return this.tell(other, this.raw ? data : { type: message.type, candidate: message.candidate });
      case 'get-turn-config':
        return this.strict
          ? this.tell(ws, { type: 'error', message: 'Unknown message type: get-turn-config' })
          : this.tell(ws, { type: 'turn-config', config: { iceServers } });
      default:
        return this.tell(ws, { type: 'error', message: `Unknown message type: ${message.type}` });
    }
  }

  register(ws, role) {
    if (!['sender', 'receiver'].includes(role)) return this.tell(ws, { type: 'error', message: 'Invalid role' });
    const holder = this.seats[role];
    if (holder && holder !== ws && role === 'sender') {
      this.refused += 1;
      return this.tell(ws, { type: 'error', message: 'sender role is already taken' });
    }
    this.seats[role] = ws;
    this.registered += role === 'sender';
    this.tell(ws, { type: 'registered', role, turnConfig: { iceServers } });
    const { sender, receiver } = this.seats;
    if (role === 'receiver' || this.symmetrical) this.tell(receiver && sender, { type: 'peer-connected', peer: 'receiver' });
    if (sender) this.tell(receiver, { type: 'peer-connected', peer: 'sender' });
    return undefined;
  }

  gone(ws) {
    for (const role of ['sender', 'receiver']) {
      if (this.seats[role] === ws) {
        this.seats[role] = null;
        if (this.welcome) this.tell(this.seats[role === 'sender' ? 'receiver' : 'sender'], { type: 'peer-disconnected', peer: role });
      }
    }
  }
}

const houses = {
  plain: new House({}),
  quiet: new House({ welcome: false, symmetrical: false, raw: true, strict: true }),
  twice: new House({ copies: 2 }),
};

const server = createServer((request, response) => {
  const name = request.url.split('/')[1].split('?')[0];
  if (request.url === '/healthz') return response.end('ok');
  if (request.url === '/counts') {
    return response.end(JSON.stringify(Object.fromEntries(Object.entries(houses).map(([key, { refused, registered }]) => [key, { refused, registered }]))));
  }
  if (!houses[name]) return response.writeHead(404).end();
  return response.writeHead(200, { 'Content-Type': 'text/html' }).end(page);
});
const wss = new WebSocketServer({ noServer: true });
server.on('upgrade', (request, socket, head) => {
  const house = houses[request.url.split('/')[1]];
  if (!house) return socket.end('HTTP/1.1 404 Not Found\r\n\r\n');
  return wss.handleUpgrade(request, socket, head, (ws) => house.connected(ws));
});
setInterval(() => {
  for (const ws of wss.clients) {
    if (!ws.alive) ws.terminate();
    else {
      ws.alive = false;
      ws.ping();
    }
  }
}, PING);
server.listen(Number(port), '127.0.0.1');
