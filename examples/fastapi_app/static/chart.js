// The chart of one metric of one node.

import { metricName, metricUnit } from "./words.js";

const MOST_POINTS = 10_000;

export class Chart {
  constructor(element) {
    this.element = element;
    this.times = [];
    this.values = [];
    this.plot = null;
    new ResizeObserver(() => this.#fit()).observe(element);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.show(this.metric, this.times, this.values, this.window));
  }

  // `windowS` is [start, end] in Unix seconds: what the axis shows, also where there is nothing.
  show(metric, times, values, windowS) {
    Object.assign(this, { metric, times, values, window: windowS });
    this.plot?.destroy();
    this.plot = null;
    if (!metric) return;
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--muted").trim();
    const line = style.getPropertyValue("--water").trim();
    const grid = { stroke: style.getPropertyValue("--line").trim(), width: 1 };
    const unit = metricUnit(metric);
    this.plot = new uPlot(
      {
        ...this.#size(),
        cursor: { y: false },
        legend: { live: true },
        scales: { x: { time: true, range: (_, low, high) => (this.window ? this.window : [low, high]) } },
        axes: [
          { stroke: ink, grid, ticks: grid },
          { stroke: ink, grid, ticks: grid, size: 56, values: (_, ticks) => ticks.map((v) => v.toLocaleString()) },
        ],
        series: [
          { value: (_, v) => (v === null ? "–" : new Date(v * 1000).toLocaleString()) },
          {
            label: metricName(metric), stroke: line, width: 2, fill: `${line}22`, spanGaps: false,
            points: { show: times.length < 120, size: 4 },
            value: (_, v) => (v === null || v === undefined ? "–" : `${v.toLocaleString(undefined, { maximumFractionDigits: 2 })} ${unit}`),
          },
        ],
      },
      [this.times, this.values],
      this.element,
    );
  }

  // A late point is put in its place, a repeated one replaces.
  add(timeS, value, windowS) {
    if (!this.plot) return;
    let at = this.times.length;
    while (at > 0 && this.times[at - 1] > timeS) at -= 1;
    if (at > 0 && this.times[at - 1] === timeS) this.values[at - 1] = value;
    else {
      this.times.splice(at, 0, timeS);
      this.values.splice(at, 0, value);
    }
    if (this.times.length > MOST_POINTS) {
      this.times.shift();
      this.values.shift();
    }
    this.window = windowS;
    this.plot.setData([this.times, this.values]);
  }

  #size() {
    return { width: Math.max(240, this.element.clientWidth), height: 240 };
  }

  #fit() {
    this.plot?.setSize(this.#size());
  }
}
