/** Asks the host how its cameras are reached. */
import { api } from './page.js';
import { problemOf } from './signaling.js';

/**
 * @typedef {{id: string, title?: string, online?: boolean}} Camera
 *
 * @typedef {object} Host
 * @property {'whep'|'websocket'} transport
 * @property {RTCIceServer[]} iceServers
 * @property {boolean} relayOnly
 * @property {Camera[]} cameras
 */

const RENEWAL_MS = 1500; // a renewal must not hold up a call that yesterday's answer would serve

/**
 * @param {Host|null} known  what it said before; asked again because TURN credentials expire
 * @returns {Promise<Host>}  rejects with an Error that carries a Problem
 */
export async function askHost(known) {
  // The first request must look exactly like the page's preload, or it is made twice.
  const options = known ? { cache: 'no-store', signal: AbortSignal.timeout(RENEWAL_MS) } : {};
  let response;
  try {
    response = await fetch(api('api/v1/viewer'), options);
  } catch {
    if (known) return known;
    throw asError({ kind: 'unreachable', message: 'The camera host does not answer' });
  }
  if (!response.ok) {
    if (known && response.status >= 500) return known;
    throw asError(await problemOf(response));
  }
  const { transport, iceServers = [], relayOnly = false, cameras = [] } = await response.json();
  return { transport, iceServers, relayOnly, cameras };
}

/** @param {import('./signaling.js').Problem} problem */
const asError = (problem) => Object.assign(new Error(problem.message), { problem });
