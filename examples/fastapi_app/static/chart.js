// A line over time, with what is known about it: a band, marks of quality, spans of alerts.

import { colour, faded } from "./dom.js";
import { metricName, metricUnit, moment, number, timeLabel } from "./words.js";

const MOST_POINTS = 20_000;
const MARKS = { suspect: "--warn", bad: "--bad", missing: "--off" };
const SPANS = { critical: "--bad", warning: "--warn", info: "--accent" };

export class Chart {
  // `onZoom(startS, endS)` when somebody drags over a piece of time.
  constructor(element, { onZoom = null, height = 240 } = {}) {
    Object.assign(this, { element, onZoom, height, plot: null, shown: null });
    new ResizeObserver(() => this.#fit()).observe(element);
    document.addEventListener("theme", () => this.shown && this.show(this.shown));
  }

  // shown: { metric, times, values, quality, low, high, spans: [{from, to, severity}], window: [startS, endS], label }
  show(shown) {
    this.shown = shown;
    this.plot?.destroy();
    this.plot = null;
    if (!shown?.metric) return;
    this.isBanded = Boolean(shown.low);
    this.plot = new uPlot(this.#options(shown), this.#data(), this.element);
    // What is drawn on a canvas is said in words beside it.
    this.plot.root.setAttribute("aria-hidden", "true");
  }

  clear() {
    this.plot?.destroy();
    this.plot = null;
    this.shown = null;
  }

  // A late point is put in its place, a repeated one replaces.
  add(timeS, value, quality) {
    const { shown } = this;
    if (!this.plot || this.isBanded) return;
    const { times, values } = shown;
    let at = times.length;
    while (at > 0 && times[at - 1] > timeS) at -= 1;
    const cut = at > 0 && times[at - 1] === timeS ? 1 : 0;
    times.splice(at - cut, cut, timeS);
    values.splice(at - cut, cut, value);
    shown.quality?.splice(at - cut, cut, quality);
    if (times.length > MOST_POINTS) for (const column of [times, values, shown.quality]) column?.shift();
  }

  redraw(window = this.shown?.window, spans = this.shown?.spans) {
    if (!this.plot) return;
    Object.assign(this.shown, { window, spans });
    this.plot.setData(this.#data());
  }

  #data() {
    const { times, values, low, high } = this.shown;
    return this.isBanded ? [times, values, low, high] : [times, values];
  }

  #options(shown) {
    const [ink, line, rule] = [colour("--muted"), colour("--accent"), colour("--line")];
    const grid = { stroke: rule, width: 1 };
    const font = "12px system-ui, sans-serif";
    const unit = metricUnit(shown.metric);
    const say = (_, v) => (v === null || v === undefined ? "–" : `${number(v)} ${unit}`);
    const series = [
      { value: (_, v) => (v === null ? "–" : moment(v)), label: "Time" },
      {
        label: shown.label ?? metricName(shown.metric), stroke: line, width: 1.75, spanGaps: false,
        fill: this.isBanded ? undefined : faded(line, 0.1),
        points: { show: shown.times.length < 60, size: 4 }, value: say,
      },
    ];
    if (this.isBanded) {
      const edge = { stroke: "transparent", width: 0, points: { show: false }, value: say };
      series.push({ ...edge, label: "lowest" }, { ...edge, label: "highest" });
    }
    return {
      ...this.#size(),
      cursor: { y: false, drag: { x: Boolean(this.onZoom), y: false, setScale: false } },
      select: { show: Boolean(this.onZoom) },
      legend: { live: true },
      bands: this.isBanded ? [{ series: [3, 2], fill: faded(line, 0.18) }] : [],
      scales: { x: { time: true, range: (_, low, high) => this.shown?.window ?? [low, high] } },
      axes: [
        { stroke: ink, grid, ticks: grid, font, space: 84, values: (_, ticks, __, ___, step) => ticks.map((at, place) => timeLabel(at, step, place === 0)) },
        { stroke: ink, grid, ticks: grid, font, size: 54, values: (_, ticks) => ticks.map((v) => number(v)) },
      ],
      series,
      hooks: {
        drawClear: [(plot) => this.#drawSpans(plot)],
        draw: [(plot) => this.#drawMarks(plot)],
        setSelect: [(plot) => this.#zoomed(plot)],
      },
    };
  }

  #drawSpans(plot) {
    const { ctx, bbox } = plot;
    for (const { from, to, severity } of this.shown.spans ?? []) {
      const left = Math.max(bbox.left, plot.valToPos(from, "x", true));
      const right = Math.min(bbox.left + bbox.width, plot.valToPos(to, "x", true));
      if (right <= bbox.left || left >= bbox.left + bbox.width) continue;
      const paint = colour(SPANS[severity] ?? "--warn");
      ctx.fillStyle = faded(paint, 0.1);
      ctx.fillRect(left, bbox.top, Math.max(2, right - left), bbox.height);
      ctx.fillStyle = paint;
      ctx.fillRect(left, bbox.top, Math.max(2, right - left), 3 * devicePixelRatio);
    }
  }

  // Along the foot: where a value was suspect, bad or missing.
  #drawMarks(plot) {
    const { times, quality } = this.shown;
    if (!quality) return;
    const { ctx, bbox } = plot;
    const [low, high] = this.shown.window;
    const size = 5 * devicePixelRatio;
    for (const [name, paint] of Object.entries(MARKS)) {
      ctx.fillStyle = colour(paint);
      for (let at = 0; at < times.length; at += 1) {
        if (quality[at] !== name || times[at] < low || times[at] > high) continue;
        ctx.fillRect(plot.valToPos(times[at], "x", true) - size / 2, bbox.top + bbox.height - size, size, size);
      }
    }
  }

  #zoomed(plot) {
    const { left, width } = plot.select;
    if (width < 8 || !this.onZoom) return;
    const [start, end] = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.onZoom(start, end);
  }

  #size() {
    return { width: Math.max(200, this.element.clientWidth), height: this.height };
  }

  #fit() {
    if (this.plot && this.plot.width !== this.#size().width) this.plot.setSize(this.#size());
  }
}
