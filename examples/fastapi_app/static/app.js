// The live page: a snapshot, then the stream. Nothing polls.

import { Api } from "./api.js";
import { Chart } from "./chart.js";
import { picture } from "./pictures.js";
import { Stream } from "./stream.js";
import { KINDS, ago, metricName, quantity, shortName } from "./words.js";

const PAGE = 60;
const RANGES = [["15 min", 900], ["1 h", 3600], ["6 h", 21600], ["24 h", 86400], ["7 d", 604800], ["30 d", 2592000]];
const ALERTS_SHOWN = 6;
const GRAVITY = { critical: 0, warning: 1, info: 2 };
const SERIES_LIMIT = 10_000;
const SERIES_PAGES = 3;
const $ = (id) => document.getElementById(id);

const api = new Api();
const chart = new Chart($("chart"));
const nodes = new Map(); // id → { data, card parts }
const seenMessages = new Set();
let stream = null;
let me = null;
let cursor = null;
let chosen = null;
let rangeS = 900;
let allAlerts = false;
let session = 0; // goes up when another user signs in: late answers of the last one are dropped

// --- small helpers ---------------------------------------------------------------------------

function made(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// Runs at most once in `ms`, and once more at the end when it was asked for meanwhile.
function throttled(ms, run) {
  let timer = null;
  let again = false;
  return function ask() {
    if (timer) return void (again = true);
    run();
    timer = setTimeout(() => {
      timer = null;
      if (again) { again = false; ask(); }
    }, ms);
  };
}

function notice(error) {
  const text = error && (error.requestId ? `${error.message} (request ${error.requestId})` : error.message ?? String(error));
  $("notice").textContent = text ?? "";
  $("notice").hidden = !text;
}

async function attempt(work) {
  const mine = session;
  try {
    const result = await work();
    if (mine === session) notice(null);
    return mine === session ? result : undefined;
  } catch (error) {
    if (mine === session && error.name !== "AbortError") notice(error);
    return undefined;
  }
}

function toast(text, severity) {
  const element = made("div", { class: `toast ${severity}` }, text);
  $("toasts").append(element);
  setTimeout(() => element.remove(), 8000);
}

// --- nodes ------------------------------------------------------------------------------------

function card(data) {
  const drawing = picture(data.kind);
  const status = made("span", { class: "status" });
  const figure = made("span", { class: "line" });
  const seen = made("span", { class: "sub" });
  const element = made(
    "button", { class: "node", type: "button", onclick: () => choose(data.id) },
    made("span", { class: "gauge" }, drawing.svg),
    made("span", { class: "text" }, made("span", { class: "label" }, data.label), figure, made("span", { class: "foot" }, status, seen)),
  );
  return { data, element, drawing, status, figure, seen };
}

const TELLING = {
  tank: ["volume_l", "level_cm", "battery_v"],
  deep: ["dynamic_level_m", "static_level_m", "pump_current_a"],
  flow: ["total_volume_l", "flow_l_per_min", "pressure_bar"],
};

function draw(entry) {
  const { data } = entry;
  entry.drawing.show(data.values ?? {}, data);
  entry.element.dataset.status = data.status;
  entry.status.textContent = data.status;
  entry.status.dataset.status = data.status;
  const metric = (TELLING[data.kind] ?? []).find((name) => data.values?.[name]?.value != null);
  entry.figure.textContent = metric ? `${shortName(metric)} ${quantity(metric, data.values[metric])}` : KINDS[data.kind] ?? data.kind;
  entry.seen.textContent = ago(data.last_reading_at, api.now());
  entry.element.setAttribute("aria-pressed", String(data.id === chosen));
}

function keep(data) {
  const known = nodes.get(data.id);
  if (known) {
    Object.assign(known.data, data);
    draw(known);
    return;
  }
  const entry = card(data);
  nodes.set(data.id, entry);
  $("nodes").append(entry.element);
  draw(entry);
}

function nodeQuery() {
  const query = new URLSearchParams({ limit: String(PAGE), sort: "label" });
  if ($("search").value.trim()) query.set("search", $("search").value.trim());
  if ($("kind").value) query.set("kind", $("kind").value);
  if ($("status").value) query.set("status", $("status").value);
  return query;
}

let listing = 0;
async function loadNodes({ more = false } = {}) {
  const mine = (listing += 1);
  const query = nodeQuery();
  if (more && cursor) query.set("cursor", cursor);
  const answer = await attempt(() => api.call(`/api/v1/nodes?${query}`));
  if (!answer || mine !== listing) return;
  if (!more) {
    nodes.clear();
    $("nodes").replaceChildren();
  }
  for (const data of answer.data) keep(data);
  cursor = answer.meta.pagination?.next_cursor ?? null;
  $("more").hidden = !cursor;
  $("none").hidden = nodes.size > 0;
}

// --- one node -----------------------------------------------------------------------------------

async function choose(id, { quiet = false } = {}) {
  chosen = id;
  for (const entry of nodes.values()) entry.element.setAttribute("aria-pressed", String(entry.data.id === id));
  const detail = await attempt(() => api.data(`/api/v1/nodes/${encodeURIComponent(id)}`));
  if (!detail || chosen !== id) return;
  if (nodes.has(id)) keep(detail);
  $("detail").hidden = false;
  $("detail").node = detail;
  $("d-gauge").drawing = picture(detail.kind);
  $("d-gauge").replaceChildren($("d-gauge").drawing.svg);
  const before = $("metric").value;
  $("metric").replaceChildren(...detail.metrics.map((m) => made("option", { value: m }, metricName(m))));
  if (detail.metrics.includes(before)) $("metric").value = before;
  drawDetail();
  await loadSeries();
  if (!quiet && matchMedia("(max-width: 900px)").matches) $("detail").scrollIntoView({ behavior: "smooth" });
}

function drawDetail() {
  const detail = $("detail").node;
  if (!detail) return;
  $("d-label").textContent = detail.label;
  $("d-sub").textContent = [detail.category, detail.location_name, `channel ${detail.channel_id ?? "–"}`].filter(Boolean).join(" · ");
  $("d-status").textContent = detail.status;
  $("d-status").dataset.status = detail.status;
  $("d-gauge").drawing.show(detail.values ?? {}, detail);
  const rows = Object.entries(detail.values ?? {}).flatMap(([metric, measured]) => {
    const value = made("dd", {}, quantity(metric, measured));
    if (measured.quality !== "good") value.append(made("span", { class: "quality" }, measured.quality));
    return [made("dt", {}, shortName(metric)), value];
  });
  rows.push(made("dt", {}, "Last reading"), made("dd", {}, ago(detail.last_reading_at, api.now())));
  $("d-values").replaceChildren(...rows);
  const reasons = detail.health_reasons?.length ? `: ${detail.health_reasons.join(", ")}` : "";
  $("d-health").textContent = detail.health_score == null ? "" : `Health ${detail.health_score} of 100${reasons}`;
}

function windowS() {
  const end = api.now() / 1000;
  return [end - rangeS, end];
}

async function loadSeries() {
  const id = chosen;
  const metric = $("metric").value;
  if (!id || !metric) return chart.show(null, [], [], null);
  const [startS, endS] = windowS();
  let start = new Date(startS * 1000).toISOString();
  const times = [];
  const values = [];
  for (let page = 0; start && page < SERIES_PAGES; page += 1) {
    const query = new URLSearchParams({ start, end: new Date(endS * 1000 + 60_000).toISOString(), metric, limit: String(SERIES_LIMIT) });
    const series = await attempt(() => api.data(`/api/v1/nodes/${encodeURIComponent(id)}/series?${query}`));
    if (!series || chosen !== id || $("metric").value !== metric) return;
    times.push(...series.times);
    values.push(...(series.values[metric] ?? []));
    start = series.next_start;
  }
  chart.show(metric, times, values, windowS());
  $("chart-note").textContent = times.length ? "" : "No reading in this time.";
}

// --- alerts and counts ----------------------------------------------------------------------------

async function loadAlerts() {
  const alerts = await attempt(() => api.data("/api/v1/alerts?state=active&limit=50"));
  if (!alerts) return;
  const mayAcknowledge = me?.permissions?.includes("alerts:write");
  alerts.sort((a, b) => Boolean(a.acknowledged_at) - Boolean(b.acknowledged_at) || GRAVITY[a.severity] - GRAVITY[b.severity]);
  const shown = allAlerts ? alerts : alerts.slice(0, ALERTS_SHOWN);
  $("alerts").replaceChildren(
    ...shown.map((alert) => {
      const item = made(
        "li", { class: `alert ${alert.severity}` },
        made("div", { class: "what" },
          made("button", { class: "plain", type: "button", onclick: () => choose(alert.node_id) }, alert.node_label ?? alert.node_id),
          made("span", { class: "severity" }, alert.severity)),
        made("p", {}, alert.sentence),
        made("p", { class: "sub" }, `${alert.rule_name ?? alert.rule_id} · since ${ago(alert.fired_at, api.now())}${alert.acknowledged_at ? " · acknowledged" : ""}`),
      );
      if (mayAcknowledge && !alert.acknowledged_at) {
        item.append(made("button", { class: "ack", type: "button", onclick: () => acknowledge(alert.id) }, "Acknowledge"));
      }
      return item;
    }),
  );
  $("calm").hidden = alerts.length > 0;
  $("more-alerts").hidden = alerts.length <= ALERTS_SHOWN;
  $("more-alerts").textContent = allAlerts ? "Show fewer" : `Show all ${alerts.length}`;
}

async function acknowledge(id) {
  if (await attempt(() => api.call(`/api/v1/alerts/${encodeURIComponent(id)}/acknowledge`, { method: "POST" }))) await loadAlerts();
}

async function loadStats() {
  const stats = await attempt(() => api.data("/api/v1/dashboard/stats"));
  if (!stats) return;
  const show = (id, value) => { $(id).textContent = value ?? "–"; };
  show("c-total", stats.total_nodes);
  show("c-online", stats.online_nodes);
  show("c-alert", stats.alert_nodes);
  show("c-offline", stats.offline_nodes);
  show("c-alerts", stats.active_alerts);
  show("c-health", stats.average_health_score == null ? "–" : Math.round(stats.average_health_score));
}

const soonStats = throttled(2000, loadStats);
const soonAlerts = throttled(700, loadAlerts);
const soonSeries = throttled(2000, loadSeries);

// --- the stream -----------------------------------------------------------------------------------

function isNewer(data, moment) {
  return !data.last_reading_at || !moment || Date.parse(moment) >= Date.parse(data.last_reading_at);
}

function onReading(reading) {
  const entry = nodes.get(reading.node_id);
  const judged = {};
  for (const name of ["status", "health_score"]) if (name in reading) judged[name] = reading[name];
  if (entry && isNewer(entry.data, reading.measured_at)) {
    keep({ id: reading.node_id, ...judged, values: { ...entry.data.values, ...reading.values }, last_reading_at: reading.measured_at });
  }
  if (reading.node_id !== chosen) return;
  const detail = $("detail").node;
  if (detail && isNewer(detail, reading.measured_at)) {
    Object.assign(detail, { ...judged, values: { ...detail.values, ...reading.values }, last_reading_at: reading.measured_at });
    drawDetail();
  }
  // A fast replay sends only the newest of many readings: the chart asks for the others.
  if (api.speed > 1) return soonSeries();
  const measured = reading.values[$("metric").value];
  if (measured) {
    chart.add(Date.parse(reading.measured_at) / 1000, measured.value, windowS());
    $("chart-note").textContent = "";
  }
}

function onNode(change) {
  const entry = nodes.get(change.node_id);
  const { node_id: id, ...rest } = change;
  if (entry) keep({ id, ...rest });
  if (id === chosen && $("detail").node) {
    Object.assign($("detail").node, rest);
    drawDetail();
  }
  soonStats();
}

function onAlert({ kind, alert }) {
  const label = nodes.get(alert.node_id)?.data.label;
  if (kind === "fired") toast(alert.sentence, alert.severity);
  if (kind === "resolved") toast(`${label ? `${label}: ` : ""}resolved`, "info");
  soonAlerts();
  soonStats();
}

function onEvent(event, body) {
  if (event === "resync") return void snapshot();
  if (body.id) {
    if (seenMessages.has(body.id)) return;
    seenMessages.add(body.id);
    if (seenMessages.size > 5000) seenMessages.delete(seenMessages.values().next().value);
  }
  if (event === "reading") onReading(body.data);
  else if (event === "node") onNode(body.data);
  else if (event === "alert") onAlert(body.data);
}

function onState(state, error) {
  const texts = { live: "live", lost: "reconnecting …", refused: "signed out", off: "not connected" };
  $("link").dataset.state = state;
  $("link-text").textContent = texts[state];
  if (state === "refused") signInAgain(error);
}

async function snapshot() {
  await Promise.all([loadNodes(), loadAlerts(), loadStats()]);
  const first = chosen && nodes.has(chosen) ? chosen : nodes.keys().next().value;
  if (first) await choose(first, { quiet: true });
}

async function enter(token) {
  session += 1;
  stream?.stop();
  seenMessages.clear();
  nodes.clear();
  chosen = null;
  $("nodes").replaceChildren();
  $("detail").hidden = true;
  onState("off");
  api.token = token;
  sessionStorage.setItem("token", token);
  me = await attempt(() => api.data("/api/v1/auth/me"));
  if (!me) return;
  // The position is taken before the snapshot is read: what changes in between comes twice, not never.
  const start = await attempt(() => api.data("/api/v1/stream/position"));
  if (!start) return;
  await snapshot();
  stream = new Stream(api, { onEvent, onState });
  stream.start(start.position);
}

function askForToken() {
  if ($("user").options.length) return;
  $("user").hidden = true;
  $("token").hidden = false;
  $("enter").hidden = false;
}

// In a demonstration the server says who may sign in. Each of its starts makes new keys, so this is asked again.
async function demoUsers() {
  const demo = await fetch("/demo/users", { cache: "no-store" }).then((r) => (r.ok ? r.json() : null)).catch(() => null);
  if (!demo?.data) return false;
  const before = $("user").selectedIndex;
  const kept = sessionStorage.getItem("token");
  api.speed = demo.data.speed;
  if (demo.data.mode === "replay" && $("mode").hidden) {
    rangeS = 2592000;
    for (const button of $("ranges").children) button.setAttribute("aria-pressed", String(button.textContent === "30 d"));
    $("mode").textContent = `replay × ${demo.data.speed}`;
    $("mode").hidden = false;
  }
  $("user").replaceChildren(...demo.data.users.map((u) => made("option", { value: u.token }, `${u.name} (${u.role})`)));
  if (demo.data.users.some((u) => u.token === kept)) $("user").value = kept;
  else if (before >= 0) $("user").selectedIndex = before;
  return true;
}

async function signInAgain(error) {
  const token = $("user").value;
  if (token && (await demoUsers()) && $("user").value !== token) return enter($("user").value);
  notice(error);
  askForToken();
}

async function begin() {
  $("ranges").replaceChildren(
    ...RANGES.map(([text, seconds]) =>
      made("button", { type: "button", "aria-pressed": String(seconds === rangeS), onclick: (event) => {
        rangeS = seconds;
        for (const other of $("ranges").children) other.setAttribute("aria-pressed", String(other === event.target));
        loadSeries();
      } }, text)),
  );
  let searching;
  $("search").addEventListener("input", () => { clearTimeout(searching); searching = setTimeout(loadNodes, 250); });
  $("kind").addEventListener("change", () => loadNodes());
  $("status").addEventListener("change", () => loadNodes());
  $("filters").addEventListener("submit", (event) => { event.preventDefault(); loadNodes(); });
  $("more").addEventListener("click", () => loadNodes({ more: true }));
  $("metric").addEventListener("change", loadSeries);
  $("more-alerts").addEventListener("click", () => { allAlerts = !allAlerts; loadAlerts(); });
  $("counts").addEventListener("click", (event) => {
    const status = event.target.closest("[data-status]")?.dataset.status;
    if (!status) return;
    $("status").value = $("status").value === status ? "" : status;
    loadNodes();
  });
  $("who").addEventListener("submit", (event) => { event.preventDefault(); if ($("token").value) enter($("token").value.trim()); });
  $("user").addEventListener("change", () => enter($("user").value));
  setInterval(() => { for (const entry of nodes.values()) entry.seen.textContent = ago(entry.data.last_reading_at, api.now()); }, 5000);

  if (await demoUsers()) return enter($("user").value);
  askForToken();
  const kept = sessionStorage.getItem("token");
  if (kept) await enter(kept);
}

begin();
