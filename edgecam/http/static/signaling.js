/**
 * What the two ways to reach a camera (whep.js, websocket.js) have in common. A transport carries descriptions and candidates; it never
 * sees media, so that losing it disturbs nothing that plays.
 *
 * @typedef {object} Problem
 * @property {'waiting'|'refused'|'unreachable'} kind  the camera is not there yet; the host says no; the host is silent
 * @property {string} message
 * @property {string} [remedy]
 * @property {string} [code]
 * @property {boolean} [final]      retrying by itself would not help
 * @property {number} [retryAfterMs]
 *
 * @typedef {object} TransportListener
 * @property {() => void} opened                the way to the camera is (again) open
 * @property {(retryMs: number) => void} closed  it is shut; the transport reopens it by itself
 * @property {(sdp: string) => void} answer
 * @property {(sdp: string) => void} offer       the camera calls us
 * @property {(candidate: RTCIceCandidateInit) => void} candidate
 * @property {(problem: Problem) => void} problem
 * @property {() => void} cameraBack
 * @property {() => void} gone                  the camera says that the call is over
 * @property {(iceServers: RTCIceServer[]) => void} iceServers
 * @property {(cameras: {id: string, title?: string, online?: boolean}[]) => void} cameras
 * @property {() => boolean} healthy             whether media flows now
 *
 * @typedef {object} Transport
 * @property {boolean} usable                    whether an offer would go out now, or as soon as connecting is done
 * @property {() => void} open                   connect now (again); does nothing when connected
 * @property {(sdp: string) => void} offer       call the camera; ends the call before
 * @property {(sdp: string) => void} answer      answer the camera's call
 * @property {(candidate: RTCIceCandidate|null) => void} candidate  null: no more candidates
 * @property {() => void} hangUp                 end the call
 * @property {() => void} [verify]              ask the camera whether the call still lives
 * @property {() => void} reset                  hang up and drop a connection that looks open but carries nothing
 * @property {() => void} close                  leave for good
 */
/** Codes of a host that has room again later. */
export const FULL = /full|limit|busy|too-many/;

/** The owner has closed the camera: nothing of it is kept on the screen. */
export const PRIVATE = 'camera-private';

/** What an HTTP refusal means to a person. @param {Response} response @returns {Promise<Problem>} */
export async function problemOf(response) {
  const text = (await response.text().catch(() => '')).slice(0, 2000);
  let body = {};
  try {
    body = JSON.parse(text) ?? {};
  } catch {
    body = { title: /^\s*</.test(text) ? '' : text.trim() };
  }
  const { status } = response;
  const code = String(body.code ?? '');
  const retryAfter = Number(response.headers.get('Retry-After'));
  const known = {
    401: 'This page needs a sign-in',
    403: 'This page may not watch this camera',
    404: 'There is no such camera here',
    429: 'Too many viewers at the moment',
    503: 'The camera is not ready',
  };
  const full = status === 429 || (status === 503 && FULL.test(code));
  return {
    kind: status >= 500 && !full ? 'waiting' : 'refused',
    message: String(body.title || known[status] || `The camera host answered ${status}`),
    remedy: String(body.remedy || (status === 401 ? 'Open the link you were given again' : '')),
    code,
    final: status === 401 || status === 403,
    retryAfterMs: retryAfter > 0 ? Math.min(retryAfter, 60) * 1000 : undefined,
  };
}
