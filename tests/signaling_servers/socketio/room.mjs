// Rooms in which everybody calls everybody (mesh): Socket.IO passes offers, answers and candidates on. node room.mjs PORT PAGE

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Server } from 'socket.io';
import { Recording, bodyOf, json } from './recording.mjs';

const rooms = new Map(); // roomId to socket id to participant
const recording = new Recording();
// `copies`: how often each message is delivered. `objects`: leaving is told as an object. `bare`: newcomers get no list.
const habits = { copies: 1, objects: false, bare: false };

const http = createServer(async (request, response) => {
  const url = new URL(request.url, 'http://here');
  if (url.pathname === '/healthz') return json(response, { ok: true });
  if (url.pathname === '/') {
    response.writeHead(200, { 'content-type': 'text/html' });
    return response.end(readFileSync(process.argv[3]));
  }
  // for the test
  if (url.pathname === '/test/lines') return json(response, recording.lines);
  if (url.pathname === '/test/rooms') return json(response, Object.fromEntries([...rooms].map(([id, room]) => [id, [...room.values()]])));
  if (url.pathname === '/test/drop') {
    for (const socket of io.sockets.sockets.values()) if (socket.data.userName === url.searchParams.get('who')) socket.disconnect(true);
    return json(response, {});
  }
  if (url.pathname === '/test/say') {
    const { event, args } = await bodyOf(request);
    io.emit(event, ...args);
    return json(response, {});
  }
  if (url.pathname === '/test/set') {
    Object.assign(habits, await bodyOf(request));
    return json(response, habits);
  }
  return json(response, {}, 404);
});

const io = new Server(http, { pingInterval: 25000, pingTimeout: 20000 });

io.on('connection', (socket) => {
  const { roomId: queried, userName: named } = socket.handshake.query;
  socket.data.userName = named;
  recording.watch(socket, () => socket.data.userName ?? '');
  const deliver = (target, ...what) => { for (let copy = 0; copy < habits.copies; copy += 1) target.emit(...what); };

  socket.on('join-room', ({ roomId, userName }) => {
    if (roomId !== queried || userName !== named) return socket.emit('error', { message: 'join-room differs from the query' });
    if (!rooms.has(roomId)) rooms.set(roomId, new Map());
    const room = rooms.get(roomId);
    room.set(socket.id, { socketId: socket.id, userName, isMuted: false, isVideoOff: false });
    socket.data.roomId = roomId;
    socket.join(roomId);
    deliver(socket.to(roomId), 'user-joined', { socketId: socket.id, userName });
    if (!habits.bare) deliver(socket, 'participants-list', [...room.values()]); // it includes the newcomer
  });

  socket.on('get-users', ({ roomId }) => {
    if (!habits.bare) socket.emit('room-users', [...(rooms.get(roomId)?.values() ?? [])].filter(({ socketId }) => socketId !== socket.id));
  });

  for (const event of ['offer', 'answer'])
    socket.on(event, ({ targetId, sdp }) => deliver(socket.to(targetId), event, { fromId: socket.id, sdp }));
  socket.on('ice-candidate', ({ targetId, candidate }) =>
    deliver(socket.to(targetId), 'ice-candidate', { fromId: socket.id, candidate }));

  socket.on('media-state-change', (state) => {
    const participant = rooms.get(socket.data.roomId)?.get(socket.id);
    if (participant) Object.assign(participant, { isMuted: state.isMuted, isVideoOff: state.isVideoOff });
    socket.to(socket.data.roomId).emit('media-state-updated', state);
  });
  socket.on('send-message', ({ roomId, message }) => socket.to(roomId).emit('new-message', message));
  for (const event of ['screen-share-started', 'screen-share-ended']) socket.on(event, (data) => socket.broadcast.emit(event, data));

  socket.on('disconnect', () => {
    const { roomId } = socket.data;
    if (!rooms.get(roomId)?.delete(socket.id)) return;
    io.to(roomId).emit('user-left', habits.objects ? { socketId: socket.id } : socket.id);
    io.to(roomId).emit('participant-left', socket.id);
  });
});

http.listen(Number(process.argv[2]), '127.0.0.1');
