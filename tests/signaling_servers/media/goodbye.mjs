// The DTLS alert with which real media servers end a session (RFC 8446 section 6.1); werift itself sends none.
import { createRequire } from 'node:module';
import { setTimeout } from 'node:timers/promises';

const { createPlaintext } = createRequire(import.meta.url)('./node_modules/werift/lib/dtls/src/record/builder.js');
const ALERT = 21, CLOSE_NOTIFY = Buffer.from([1, 0]);

export async function sayGoodbye({ dtls, state }) {
  if (state !== 'connected') return;
  const [packet] = createPlaintext(dtls.dtls)([{ type: ALERT, fragment: CLOSE_NOTIFY }], ++dtls.dtls.recordSequenceNumber);
  await dtls.transport.send(dtls.cipher.encryptPacket(packet).serialize());
  await setTimeout(50); // Node gives a datagram to the kernel a little later, and a socket that is closed by then to nobody
}
