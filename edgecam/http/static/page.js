/** What all pages share: where the host's API is, building elements, and polling. */

/** The host's root. Taken from this module's own address, so that a reverse proxy may mount the host anywhere. */
export const BASE = new URL('../', import.meta.url);

/** @param {string} path @returns {URL} */
export const api = (path) => new URL(path, BASE);

/** The address of a camera's viewer page. @param {string} camera */
export const viewerPage = (camera) => api(`view/${encodeURIComponent(camera)}`).href;

/**
 * An element with properties and children. Strings become text nodes, never markup.
 * @param {string} tag
 * @param {Record<string, string|boolean|number|null>} [attributes]
 * @param {...(Node|string|null)} children
 */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === false) continue;
    node.setAttribute(name, value === true ? '' : String(value));
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** Change text only when it differs: live regions must not repeat themselves. @param {Element} node @param {string} text */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** @param {string} text */
export const sentenceCase = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/**
 * Fetch JSON for ever while the page is visible; the body carries `data-stale` while that fails.
 * @param {URL} url
 * @param {number} periodMs
 * @param {{data: (json: any) => void, failed: (reason: string) => void}} listener
 */
export function poll(url, periodMs, listener) {
  let timer = 0;
  const round = async () => {
    clearTimeout(timer);
    try {
      const response = await fetch(url, { cache: 'no-store', signal: AbortSignal.timeout(4000) });
      if (response.status === 401 || response.status === 403) throw new Error('you are not signed in here any more');
      if (!response.ok) throw new Error(`the host answered ${response.status}`);
      listener.data(await response.json());
      delete document.body.dataset.stale;
    } catch (error) {
      // fetch reports a refused connection as TypeError and a silent host as TimeoutError.
      const silent = error instanceof TypeError || error.name === 'TimeoutError';
      document.body.dataset.stale = '';
      listener.failed(silent ? 'the host does not answer' : error.message);
    }
    if (!document.hidden) timer = setTimeout(round, periodMs);
  };
  document.addEventListener('visibilitychange', () => {
    clearTimeout(timer);
    if (!document.hidden) round();
  });
  round();
}
