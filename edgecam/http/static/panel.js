/** The figures panel: writes Figures into the page and draws their recent past. */
import * as format from './format.js';
import { setText } from './page.js';

const HISTORY = 60; // samples, one a second

/** A line of the last minute. */
class Sparkline {
  #values = [];

  /** @param {HTMLCanvasElement} canvas @param {number} floor  smallest full scale, so that calm looks calm */
  constructor(canvas, floor) {
    this.canvas = canvas;
    this.floor = floor;
  }

  /** @param {number|null} value */
  push(value) {
    this.#values.push(value);
    if (this.#values.length > HISTORY) this.#values.shift();
    this.#draw();
  }

  #draw() {
    const { canvas } = this;
    const { clientWidth, clientHeight } = canvas;
    if (!clientWidth) return; // the panel is closed
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(clientWidth * scale);
    canvas.height = Math.round(clientHeight * scale);
    const context = canvas.getContext('2d');
    context.scale(scale, scale);
    const known = this.#values.filter((v) => v !== null);
    const top = Math.max(this.floor, ...known) * 1.15;
    const x = (i) => (clientWidth - 2) * (1 - (this.#values.length - 1 - i) / (HISTORY - 1)) + 1;
    const y = (v) => clientHeight - 1.5 - (clientHeight - 3) * (Math.max(0, v) / top);
    const colour = getComputedStyle(canvas).color;
    // A gap in the figures is a gap in the line.
    for (const run of runs(this.#values)) {
      context.beginPath();
      run.forEach(([i, v]) => context.lineTo(x(i), y(v)));
      context.strokeStyle = colour;
      context.lineWidth = 1.5;
      context.lineJoin = 'round';
      context.stroke();
      context.lineTo(x(run[run.length - 1][0]), clientHeight);
      context.lineTo(x(run[0][0]), clientHeight);
      context.fillStyle = colour;
      context.globalAlpha = 0.12;
      context.fill();
      context.globalAlpha = 1;
    }
  }
}

/** Unbroken stretches of known values, as [index, value]. @param {(number|null)[]} values */
function runs(values) {
  const found = [];
  let run = [];
  values.forEach((v, i) => {
    if (v !== null) run.push([i, v]);
    if ((v === null || i === values.length - 1) && run.length) {
      found.push(run);
      run = [];
    }
  });
  return found;
}

export class Panel {
  /** @param {(id: string) => HTMLElement} byId */
  constructor(byId) {
    this.byId = byId;
    this.sparks = {
      g2g: new Sparkline(byId('spark-g2g'), 50),
      bitrate: new Sparkline(byId('spark-bitrate'), 500_000),
      rtt: new Sparkline(byId('spark-rtt'), 10),
    };
  }

  /**
   * @param {import('./stats.js').Figures} f
   * @param {{p50: number, p95: number}|null} latency
   * @param {Date|null} since
   */
  show(f, latency, since) {
    const text = {
      'stat-resolution': f.width ? `${f.width}×${f.height}` : format.NONE,
      'stat-fps': f.fps === null ? format.NONE : `${format.fps(f.fps)} fps`,
      'stat-bitrate': format.bitrate(f.bitrate_bps),
      'stat-loss': `${format.percent(f.loss_pct)} (all ${format.percent(f.loss_total_pct)})`,
      'stat-jitter': format.milliseconds(f.jitter_ms),
      'stat-buffer': `${format.milliseconds(f.buffer_ms)}, ${format.milliseconds(f.decode_ms)}`,
      'stat-rtt': format.milliseconds(f.rtt_ms),
      'stat-path': f.path === null ? format.NONE : f.path === 'relay' ? 'Relayed' : 'Direct',
      'stat-codec': [f.codec, f.decoder].filter(Boolean).join(', ') || format.NONE,
      'stat-decoded': format.count(f.framesDecoded),
      'stat-dropped': format.count(f.framesDropped),
      'stat-freezes': format.count(f.freezeCount),
      'stat-since': sinceText(since),
    };
    for (const [id, value] of Object.entries(text)) setText(this.byId(id), value);
    this.byId('stat-path').title = f.path_detail;
    this.byId('stat-codec').title = f.decoder;
    this.byId('stat-since').title = since ? since.toLocaleString() : '';
    this.#showLatency(latency);
    this.sparks.bitrate.push(f.bitrate_bps);
    this.sparks.rtt.push(f.rtt_ms);
    this.sparks.g2g.push(latency?.p50 ?? null);
  }

  /** Not connected: no figures. */
  clear() {
    for (const node of this.byId('panel').querySelectorAll('[id^="stat-"]')) {
      setText(node, format.NONE);
      node.title = '';
    }
    for (const spark of Object.values(this.sparks)) spark.push(null);
  }

  #showLatency(latency) {
    const node = this.byId('stat-g2g');
    setText(node, latency ? `${Math.round(latency.p50)} ms · p95 ${Math.round(latency.p95)} ms` : format.NONE);
    node.title = latency ? 'Median and 95th percentile of the last 30 seconds' : 'The camera says nothing about its clock';
  }
}

/** @param {Date|null} since */
function sinceText(since) {
  if (!since) return format.NONE;
  return format.duration((Date.now() - since.getTime()) / 1000);
}
