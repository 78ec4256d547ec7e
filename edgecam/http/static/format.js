/** Numbers as people read them. Pure; null and undefined become an en dash. */

export const NONE = '–';

/** @param {number|null|undefined} value @param {(v: number) => string} write */
const known = (value, write) => (value === null || value === undefined || Number.isNaN(value) ? NONE : write(value));

/** @param {number|null|undefined} bps */
export const bitrate = (bps) =>
  known(bps, (v) => (v >= 1e6 ? `${(v / 1e6).toFixed(2)} Mb/s` : `${Math.round(v / 1000)} kb/s`));

/** @param {number|null|undefined} ms */
export const milliseconds = (ms) => known(ms, (v) => `${v < 10 ? v.toFixed(1) : Math.round(v)} ms`);

/** @param {number|null|undefined} value */
export const percent = (value) => known(value, (v) => `${v.toFixed(v > 0 && v < 10 ? 1 : 0)} %`);

/** @param {number|null|undefined} value */
export const count = (value) => known(value, (v) => Math.round(v).toLocaleString('en'));

/** @param {number|null|undefined} value */
export const fps = (value) => known(value, (v) => v.toFixed(1).replace(/\.0$/, ''));

/** @param {number|null|undefined} bytes */
export const bytes = (bytes) =>
  known(bytes, (v) => {
    const power = Math.min(4, v < 1000 ? 0 : Math.floor(Math.log10(v) / 3));
    return `${(v / 1000 ** power).toFixed(power ? 1 : 0)} ${['B', 'kB', 'MB', 'GB', 'TB'][power]}`;
  });

/** `12 s`, `3 min 4 s`, `2 h 5 min`, `6 d 1 h`. @param {number|null|undefined} seconds */
export const duration = (seconds) =>
  known(seconds, (v) => {
    const s = Math.max(0, Math.floor(v));
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
    if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
    return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
  });
