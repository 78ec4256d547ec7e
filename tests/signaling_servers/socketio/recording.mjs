// What one socket says and hears, for tests to read and to keep as a transcript.

export class Recording {
  lines = [];

  watch(socket, who) {
    // Who it is may become known later: the names are looked up when somebody asks.
    socket.onAny((event, ...args) => this.lines.push({ get from() { return who(); }, event, args }));
    socket.onAnyOutgoing((event, ...args) => this.lines.push({ from: 'server', get to() { return who(); }, event, args }));
  }
}

export const json = (response, body, status = 200) => {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
};

export const bodyOf = async (request) => {
  let text = '';
  for await (const chunk of request) text += chunk;
  return text ? JSON.parse(text) : {};
};
