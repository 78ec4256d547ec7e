// The least that a signaling relay can be, to compare with: cameras and viewers by id, messages passed on.
import { WebSocketServer } from 'ws';

const [port] = process.argv.slice(2);
const cameras = new Map();
const viewers = new Map();
const server = new WebSocketServer({ host: '127.0.0.1', port: Number(port), perMessageDeflate: false });
server.on('listening', () => console.log('listening'));
server.on('connection', (socket) => {
  const send = (to, message) => to?.send(JSON.stringify(message));
  socket.on('pong', () => { socket.alive = true; });
  socket.alive = true;
  send(socket, { type: 'welcome', turnConfig: { iceServers: [] } });
  socket.on('message', (data) => {
    const { type, ...rest } = JSON.parse(data);
    if (type === 'register' && rest.role === 'sender') {
      cameras.set(rest.cameraId, socket);
      socket.camera = rest.cameraId;
      send(socket, { type: 'registered', role: 'sender', turnConfig: { iceServers: [] } });
    } else if (type === 'register') {
      viewers.set(rest.peerId, socket);
      socket.peer = rest.peerId;
      socket.to = cameras.get(rest.cameraId);
      send(socket, { type: 'registered', role: 'receiver', turnConfig: { iceServers: [] } });
      send(socket.to, { type: 'peer-connected', peer: 'receiver', peerId: rest.peerId, offers: true });
    } else if (socket.peer) send(socket.to, { type, ...rest, peerId: socket.peer });
    else send(viewers.get(rest.peerId), { type, ...rest });
  });
  socket.on('close', () => {
    if (socket.camera) cameras.delete(socket.camera);
    if (socket.peer) {
      viewers.delete(socket.peer);
      send(socket.to, { type: 'peer-disconnected', peer: 'receiver', peerId: socket.peer });
    }
  });
});
setInterval(() => {
  for (const socket of server.clients) {
    if (!socket.alive) socket.terminate();
    socket.alive = false;
    socket.ping();
  }
}, 10_000);
