// People who call each other by e-mail address: REST login, Socket.IO for signaling. `to` becomes `from` on the way.
// node call.mjs PORT PAGE

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Server } from 'socket.io';
import { Recording, bodyOf, json } from './recording.mjs';

const PASSWORDS = {
  'front@calls.example': 'camera-secret',
  'anna@calls.example': 'anna-secret',
  'berta@calls.example': 'berta-secret',
  'mallory@elsewhere.example': 'mallory-secret',
};

const tokens = new Map(); // token to e-mail address
const sockets = new Map(); // e-mail address to ids of sockets
const recording = new Recording();
const told = { logins: 0, refused: 0, wrongPassword: false };

const http = createServer(async (request, response) => {
  const url = new URL(request.url, 'http://here');
  if (url.pathname === '/healthz') return json(response, { ok: true });
  if (url.pathname === '/') {
    response.writeHead(200, { 'content-type': 'text/html' });
    return response.end(readFileSync(process.argv[3]));
  }
  if (url.pathname === '/api/auth/login' && request.method === 'POST') return login(request, response);
  // for the test
  if (url.pathname === '/test/state') return json(response, { ...told, online: [...sockets.keys()] });
  if (url.pathname === '/test/lines') return json(response, recording.lines);
  if (url.pathname === '/test/expire') {
    tokens.clear();
    for (const socket of io.sockets.sockets.values()) if (socket.data.email === 'front@calls.example') socket.disconnect(true);
    return json(response, {});
  }
  if (url.pathname === '/test/set') {
    Object.assign(told, await bodyOf(request));
    return json(response, told);
  }
  return json(response, { detail: 'Not Found' }, 404);
});

async function login(request, response) {
  const { email, password } = await bodyOf(request);
  told.logins += 1;
  if (told.wrongPassword || !PASSWORDS[email] || PASSWORDS[email] !== password) {
    told.refused += 1;
    return json(response, { detail: 'Invalid email or password' }, 401);
  }
  const token = randomUUID();
  tokens.set(token, email);
  return json(response, { role: 'doctor', message: 'Login successful', access_token: token });
}

const io = new Server(http, { pingInterval: 25000, pingTimeout: 60000 });

io.on('connection', (socket) => {
  recording.watch(socket, () => socket.data.email ?? '');

  socket.on('user_joined', ({ email, token } = {}) => {
    if (token !== undefined && tokens.get(token) !== email) return socket.emit('error', { message: 'Token has expired' });
    socket.data.email = email;
    if (!sockets.has(email)) sockets.set(email, new Set());
    sockets.get(email).add(socket.id);
    io.emit('user_online', { email });
  });

  for (const event of ['call.invite', 'call.offer', 'call.answer', 'call.ice', 'call.end']) {
    socket.on(event, (data) => {
      const { to, ...rest } = data ?? {};
      if (!to || !socket.data.email) return socket.emit('error', { message: `${event}: to is required` });
      if (event === 'call.ice' && !rest.candidate) return socket.emit('error', { message: 'call.ice: candidate is required' });
      for (const id of sockets.get(to) ?? []) io.to(id).emit(event, { from: socket.data.email, ...rest });
    });
  }

  socket.on('disconnect', () => {
    const { email } = socket.data;
    const ids = sockets.get(email);
    if (!ids?.delete(socket.id) || ids.size) return;
    sockets.delete(email);
    io.emit('user_offline', { email, last_seen: new Date().toISOString() });
  });
});

http.listen(Number(process.argv[2]), '127.0.0.1');
