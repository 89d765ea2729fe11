// One node: what it looks like now, how it came to that, and what was wrong with it.

import { Chart } from "../chart.js";
import { choice, empty, made, mark, segments, text, throttled } from "../dom.js";
import { alertItem } from "../alertparts.js";
import { part } from "../api.js";
import { forecast } from "../forecast.js";
import { picture } from "../pictures.js";
import { KINDS, ago, metricName, number, quantity, shortName, span, statusName } from "../words.js";

const HOUR = 3600;
const RANGES = [["900", "15 min"], ["3600", "1 h"], ["21600", "6 h"], ["86400", "24 h"], ["604800", "7 d"], ["2592000", "30 d"], ["31536000", "1 y"]];
const STEPS = [["auto", "Auto"], ["raw", "Raw"], ["hour", "Hourly"], ["day", "Daily"]];
const SERIES_LIMIT = 10_000;
const SERIES_PAGES = 2;

export function nodeView(ctx) {
  const { api, store } = ctx;
  let id = null;
  let node = null;
  let alerts = [];
  let drawing = null;
  let window = null; // [start, end] in Unix seconds when zoomed; null: follows the clock
  let rangeS = 900;
  let step = "auto";
  let asked = 0;

  const heading = made("h2", { id: "n-label", tabindex: "-1" });
  const sub = made("p", { class: "sub" });
  const state = made("span", { class: "status" });
  const gauge = made("div", { class: "big" });
  const ahead = made("p", { class: "ahead", hidden: true });
  const values = made("dl", { class: "facts" });
  const health = made("p", { class: "sub" });
  const metric = choice("What to draw", [], "", () => loadSeries());
  const ranges = segments("Time range", RANGES, String(rangeS), (key) => { rangeS = Number(key); window = null; loadSeries(); });
  const steps = segments("Resolution", STEPS, step, (key) => { step = key; loadSeries(); });
  const reset = made("button", { type: "button", hidden: true, onclick: () => { window = null; ranges.show(String(rangeS)); loadSeries(); } }, "Leave the zoom");
  const box = made("div", { class: "chart" });
  const note = made("p", { class: "sub", id: "chart-note" });
  const list = made("ul", { class: "alerts" });
  const calm = empty("Nothing was wrong here", "Its alerts, present and past, will be listed here.");
  const chart = new Chart(box, { height: 320, onZoom: (start, end) => { window = [start, end]; ranges.show(null); loadSeries(); } });

  const element = made(
    "div", { class: "view node" },
    made("a", { class: "back", href: "#/nodes" }, "← All nodes"),
    made("div", { class: "columns" },
      made("section", { class: "panel", "aria-labelledby": "n-label" },
          made("div", { class: "head" }, made("div", {}, heading, sub), state),
          made("div", { class: "now" }, made("div", {}, gauge, ahead), values), health),
      made("section", { class: "panel over-time", "aria-labelledby": "n-chart" },
          made("div", { class: "head" }, made("h2", { id: "n-chart" }, "Over time"), made("div", { class: "filters" }, metric, reset)),
          made("div", { class: "filters" }, ranges, steps), box,
          made("ul", { class: "legend", "aria-label": "Marks in the chart" },
            ...[["suspect", "suspect"], ["bad", "bad"], ["missing", "no value"], ["span", "alert"]].map(([key, words]) => made("li", {}, made("i", { class: "swatch", "data-mark": key }), words))),
          note),
        made("section", { class: "panel", "aria-labelledby": "n-alerts" }, made("h2", { id: "n-alerts" }, "Alerts of this node"), list, calm)),
  );

  const cells = new Map();
  function drawValues() {
    const found = node.metrics.filter((name) => node.values?.[name]).map((name) => [name, node.values[name]]);
    if (!cells.seen || found.some(([name]) => !cells.has(name)) || cells.size !== found.length) {
      cells.clear();
      values.replaceChildren();
      for (const [name] of found) {
        const cell = { value: made("span"), quality: made("span", { class: "quality" }) };
        cells.set(name, cell);
        values.append(made("dt", {}, shortName(name)), made("dd", {}, cell.value, cell.quality));
      }
      cells.seen = made("dd");
      values.append(made("dt", {}, "Last reading"), cells.seen);
    }
    for (const [name, measured] of found) {
      text(cells.get(name).value, quantity(name, measured));
      text(cells.get(name).quality, measured.quality === "good" ? "" : measured.quality);
    }
    text(cells.seen, ago(node.last_reading_at, api.now()));
  }

  // A node may begin to say something while one looks at it.
  function drawMetrics() {
    node.metrics = [...new Set([...node.metrics, ...Object.keys(node.values ?? {})])];
    if (metric.childElementCount === node.metrics.length) return;
    const before = metric.value;
    metric.replaceChildren(...node.metrics.map((name) => made("option", { value: name }, metricName(name))));
    if (before) metric.value = before;
    else loadSeries();
  }

  function draw() {
    text(heading, node.label);
    const owners = [node.community, node.customer].map((owner) => owner?.name);
    text(sub, [...new Set([KINDS[node.kind] ?? node.kind, node.category, node.location_name, ...owners, node.channel_id && `channel ${node.channel_id}`])].filter(Boolean).join(" · "));
    text(state, statusName(node.status));
    mark(state, "status", node.status);
    drawing.show(node.values ?? {}, node);
    drawMetrics();
    drawValues();
    const reasons = node.health_reasons?.length ? `: ${node.health_reasons.join(", ")}` : "";
    text(health, node.health_score === null || node.health_score === undefined ? "Health is not judged yet." : `Health ${node.health_score} of 100${reasons}`);
  }

  function drawAhead() {
    const told = alerts.flatMap((alert) => (alert.state === "active" ? Object.entries(alert.facts?.evidence ?? {}) : []));
    const evidence = told.find(([name]) => /^minutes_to_(empty|full)$/.test(name));
    const isLevel = chart.shown?.metric === "level_percent" && !chart.isBanded && !window;
    const found = evidence
      ? { where: evidence[0].slice(11), minutes: evidence[1] }
      : isLevel ? forecast(chart.shown.times, chart.shown.values) : null;
    ahead.hidden = !found;
    if (found) text(ahead, found.minutes < 1 ? `About to be ${found.where}` : `${found.where === "full" ? "Full" : "Empty"} in about ${span(found.minutes * 60)}, at this pace`);
  }

  const shownWindow = () => window ?? [api.now() / 1000 - rangeS, api.now() / 1000];

  // A node that is younger than the range fills the chart all the same.
  function seenWindow() {
    const [start, end] = shownWindow();
    const first = chart.shown?.times[0];
    return window || first === undefined ? [start, end] : [Math.max(start, first - (end - first) * 0.02), end];
  }

  function resolution([start, end]) {
    if (step !== "auto") return step;
    const length = end - start;
    return length <= 36 * HOUR ? "raw" : length <= 100 * 24 * HOUR ? "hour" : "day";
  }

  async function loadSeries() {
    if (!node || !metric.value) return chart.clear();
    const mine = (asked += 1);
    const span = shownWindow();
    const by = resolution(span);
    reset.hidden = !window;
    element.setAttribute("aria-busy", "true");
    const found = await ctx.attempt(() => (by === "raw" ? raw(metric.value, span) : summed(metric.value, span, by)));
    if (mine !== asked) return undefined;
    element.removeAttribute("aria-busy");
    if (!found) return undefined;
    chart.show({ metric: metric.value, window: span, spans: spans(), ...found });
    chart.redraw(seenWindow());
    drawAhead();
    describe(by, found);
    return undefined;
  }

  function describe(by, { times, values: drawn, isCut }) {
    const known = drawn.filter((value) => value !== null);
    const words = by === "raw" ? "readings" : by === "hour" ? "hours" : "days";
    text(note, known.length
      ? `${number(known.length)} ${words}, from ${quantity(metric.value, { value: Math.min(...known) })} to ${quantity(metric.value, { value: Math.max(...known) })}.${isCut ? " The range holds more than is drawn: choose hourly." : ""} Drag over the chart to look closer.`
      : times.length ? "No usable value in this time." : "No reading in this time.");
  }

  async function raw(name, [start, end]) {
    const found = { times: [], values: [], quality: [] };
    let from = new Date(start * 1000).toISOString();
    for (let page = 0; from && page < SERIES_PAGES; page += 1) {
      const query = new URLSearchParams({ start: from, end: new Date(end * 1000 + 60_000).toISOString(), metric: name, limit: String(SERIES_LIMIT) });
      const series = await api.data(`/api/v1/nodes/${part(id)}/series?${query}`);
      found.times.push(...series.times);
      found.values.push(...(series.values[name] ?? []));
      found.quality.push(...(series.quality[name] ?? []));
      from = series.next_start;
    }
    return { ...found, isCut: Boolean(from) };
  }

  async function summed(name, [start, end], by) {
    const query = new URLSearchParams({ metric: name, by, start: new Date(start * 1000).toISOString(), end: new Date(end * 1000).toISOString() });
    const pieces = await api.data(`/api/v1/nodes/${part(id)}/summaries?${query}`);
    return {
      times: pieces.map((piece) => (Date.parse(piece.start_at) + Date.parse(piece.end_at)) / 2000),
      values: pieces.map((piece) => piece.mean), low: pieces.map((piece) => piece.minimum), high: pieces.map((piece) => piece.maximum),
      label: `${metricName(name)}, mean`,
    };
  }

  function spans() {
    const now = api.now() / 1000;
    return alerts.map((alert) => ({ from: Date.parse(alert.fired_at) / 1000, to: alert.resolved_at ? Date.parse(alert.resolved_at) / 1000 : now, severity: alert.severity }));
  }

  async function loadAlerts() {
    const mine = id;
    const found = await ctx.attempt(() => api.data(`/api/v1/alerts?state=all&node_id=${part(mine)}&limit=20`));
    if (!found || mine !== id) return;
    alerts = found;
    list.replaceChildren(...found.map((alert) => alertItem(ctx, alert, { isOfNode: true })));
    calm.hidden = found.length > 0;
    chart.redraw(seenWindow(), spans());
    drawAhead();
  }

  async function open(wanted) {
    if (wanted !== id) {
      [id, node, alerts, window] = [wanted, null, [], null];
      chart.clear();
      gauge.replaceChildren();
      values.replaceChildren();
      cells.clear();
      cells.seen = null;
      list.replaceChildren();
      text(heading, store.nodes.get(id)?.label ?? "…");
    }
    const found = await ctx.attempt(() => api.data(`/api/v1/nodes/${part(wanted)}`), { missing: "There is no such node, or it is not yours." });
    if (wanted !== id) return;
    if (!found) {
      if (!node) text(heading, "Not found");
      return;
    }
    const first = !node;
    node = store.keep(found);
    if (first) {
      drawing = picture(node.kind);
      gauge.replaceChildren(drawing.svg);
      metric.replaceChildren();
      document.title = `${node.label} · evara`;
    }
    draw();
    await Promise.all([first ? null : loadSeries(), loadAlerts()]); // the first time, drawMetrics has asked
  }

  const soonRedraw = throttled(1000, () => { if (!window) chart.redraw(seenWindow(), spans()); drawAhead(); });
  const soonAlerts = throttled(1500, () => loadAlerts());

  return {
    element,
    title: "Node",
    show: (path) => open(path),
    changed(ids, topics) {
      if (!node) return;
      if (ids.has(id)) draw();
      if (topics.has("alerts")) soonAlerts();
    },
    // Every reading belongs on the chart, the late ones too.
    reading(reading) {
      const measured = reading.node_id === id && chart.shown ? reading.values?.[chart.shown.metric] : null;
      if (!measured) return;
      chart.add(Date.parse(reading.measured_at) / 1000, measured.quality === "bad" ? null : measured.value, measured.quality);
      soonRedraw();
    },
    tick() {
      if (node && cells.seen) text(cells.seen, ago(node.last_reading_at, api.now()));
    },
    clear() {
      asked += 1;
      [id, node] = [null, null];
      chart.clear();
    },
  };
}
