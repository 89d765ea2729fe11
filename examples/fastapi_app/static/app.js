// The live page: who looks, which view, and the stream that keeps it true. Nothing polls.

import { EvaraStream } from "/api/v1/stream/client.js";
import { Api } from "./api.js";
import { made, mark, text, throttled } from "./dom.js";
import { Store } from "./store.js";
import { alertsView } from "./views/alerts.js";
import { mapView } from "./views/map.js";
import { nodeView } from "./views/node.js";
import { nodesView } from "./views/nodes.js";
import { overview } from "./views/overview.js";
import { rulesView } from "./views/rules.js";
import { plural } from "./words.js";

const $ = (id) => document.getElementById(id);
const VIEWS = { overview, nodes: nodesView, node: nodeView, map: mapView, alerts: alertsView, rules: rulesView };
const TOAST_MS = 8_000;
const MOST_TOASTS = 2;
const TICK_MS = 10_000;
const LINK_WORDS = { live: "live", lost: "offline, trying again", off: "not connected", refused: "signed out" };

const api = new Api();
const store = new Store(api);
const made_ = new Map(); // name → view, made when it is first looked at
let current = null;
let me = null;
let stream = null;
let session = 0; // goes up when another user signs in: late answers of the last one are dropped
let users = [];

const ctx = {
  api,
  store,
  me: () => me,
  may: (permission) => Boolean(me?.permissions?.includes(permission)),
  go: (hash) => (location.hash = hash),
  attempt,
  notice,
  toast,
};

// --- what the page says -----------------------------------------------------------------------

function notice(error, action = null) {
  const words = error && (error.requestId ? `${error.message} (request ${error.requestId})` : error.message ?? String(error));
  $("notice").hidden = !words;
  if (words) $("notice").replaceChildren(made("span", {}, words), action ?? made("button", { type: "button", onclick: () => notice(null) }, "Close"));
}

async function attempt(work, { missing = null } = {}) {
  const mine = session;
  try {
    const result = await work();
    return mine === session ? result : undefined;
  } catch (error) {
    if (mine !== session || error.name === "AbortError" || error.status === 401) return undefined;
    // That the server is away is said once, by the lamp.
    if (error.code !== "UNREACHABLE") notice(error.status === 404 && missing ? { message: missing } : error);
    return undefined;
  }
}

// When many things happen at once, the first are told and the others counted: nobody is shouted at.
// What somebody did themselves ("done") is always answered.
let untold = 0;
function toast(words, severity) {
  const box = $("toasts");
  let element = made("div", { class: "toast", "data-severity": severity }, words);
  if (severity !== "done" && box.childElementCount >= MOST_TOASTS) {
    untold += 1;
    element = box.querySelector("a") ?? box.appendChild(made("a", { class: "toast", href: "#/alerts" }));
    text(element, `and ${plural(untold, "more alert")}`);
    if (untold > 1) return;
  } else box.append(element);
  setTimeout(() => {
    if (element.matches("a")) untold = 0;
    element.remove();
  }, TOAST_MS);
}

function link(state) {
  const before = $("link").dataset.state;
  if (before === state) return;
  mark($("link"), "state", state);
  text($("link-text"), LINK_WORDS[state]);
  mark(document.body, "link", state);
  if (before === "lost" && state === "live") route({ isFirst: true }); // what could not be read meanwhile
}

// --- which view ---------------------------------------------------------------------------------

function view(name) {
  if (!made_.has(name)) {
    const found = VIEWS[name](ctx);
    found.element.hidden = true;
    $("main").append(found.element);
    made_.set(name, found);
  }
  return made_.get(name);
}

function route({ isFirst = false } = {}) {
  if (!me) return;
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [first, second] = path.split("/");
  let name = first === "nodes" && second ? "node" : first || "overview";
  if (!(name in VIEWS) || (name === "rules" && !ctx.may("rules:read"))) name = "overview";
  const next = view(name);
  if (current !== next) {
    if (current) current.element.hidden = true;
    next.element.hidden = false;
    current = next;
    scrollTo(0, 0);
  }
  document.title = `${next.title} · evara`;
  text($("title"), next.title);
  $("title").hidden = name === "node";
  for (const item of $("nav").querySelectorAll("a")) {
    if (item.dataset.view === (name === "node" ? "nodes" : name)) item.setAttribute("aria-current", "page");
    else item.removeAttribute("aria-current");
  }
  next.show(second ? decodeURIComponent(second) : null, new URLSearchParams(search));
  if (!isFirst) $("main").focus({ preventScroll: true });
}

// --- the stream ---------------------------------------------------------------------------------

const soonStats = throttled(2_000, () => attempt(() => store.loadStats()));

function onEvent({ event, data }) {
  if (event === "reading") {
    store.onReading(data);
    current?.reading?.(data);
  } else if (event === "node") {
    store.onNode(data);
    soonStats();
  } else if (event === "alert") {
    store.tell("alerts");
    soonStats();
    if (data.kind === "fired" || data.kind === "severity_changed") toast(data.alert.sentence, data.alert.severity);
  }
}

// The position first: what changes while the rest is read comes twice rather than never.
async function snapshot() {
  const { position } = await api.data("/api/v1/stream/position");
  await Promise.all([store.loadIndex(), store.loadStats()]);
  return { position };
}

function follow(mine) {
  const guarded = (run) => (...given) => { if (mine === session) run(...given); };
  stream = new EvaraStream({
    url: "/api/v1/stream",
    token: () => api.token,
    snapshot,
    firstPauseMs: 500,
    longestPauseMs: 10_000,
    onSnapshot: guarded(() => store.tell("alerts")),
    onEvent: guarded(onEvent),
    onState: guarded((state) => {
      if (state === "live") link("live");
      else if (["lost", "waiting", "gap", "let go"].includes(state)) link("lost");
      else if (state === "ended") leave("The server ended the session. Sign in again.");
    }),
  });
  stream.start();
}

// --- who looks ------------------------------------------------------------------------------------

async function enter(token) {
  forget();
  const mine = session;
  api.token = token;
  mark(document.body, "page", "loading");
  try {
    me = await api.data("/api/v1/auth/me");
  } catch (error) {
    if (mine === session) leave(error.status === 401 ? "This token is not good, or no longer." : error.message);
    return;
  }
  if (mine !== session) return;
  sessionStorage.setItem("token", token);
  notice(null);
  text($("who-name"), me.name ?? me.user_id);
  text($("who-role"), me.role.replaceAll("_", " "));
  $("nav-rules").hidden = !ctx.may("rules:read");
  mark(document.body, "page", "in");
  route({ isFirst: true });
  follow(mine);
}

function forget() {
  session += 1;
  stream?.stop();
  stream = null;
  me = null;
  store.clear();
  for (const each of made_.values()) {
    each.clear();
    each.element.hidden = true;
  }
  current = null;
  $("toasts").replaceChildren();
  link("off");
}

function leave(words = null) {
  forget();
  api.token = null;
  sessionStorage.removeItem("token");
  mark(document.body, "page", "out");
  text($("sign-problem"), words ?? "");
  document.title = "Sign in · evara";
  offer();
}

async function offer() {
  try {
    const demo = await new Api().data("/demo/users");
    users = demo.users;
    api.speed = demo.speed;
    $("mode").hidden = demo.mode !== "replay";
    text($("mode"), demo.mode === "replay" ? `replay, ${demo.speed}× as fast` : "");
  } catch {
    users = [];
  }
  $("people").hidden = !users.length;
  $("people").replaceChildren(...users.map((user) => made("button", { type: "button", onclick: () => enter(user.token) }, made("b", {}, user.name), made("span", {}, user.role.replaceAll("_", " ")))));
}

// --- light and dark ------------------------------------------------------------------------------

function theme(name) {
  if (name) document.documentElement.dataset.theme = name;
  document.dispatchEvent(new Event("theme"));
}

function begin() {
  theme(localStorage.getItem("theme"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => theme(null));
  $("theme").addEventListener("click", () => {
    const isDark = (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
    localStorage.setItem("theme", isDark ? "light" : "dark");
    theme(isDark ? "light" : "dark");
  });
  $("leave").addEventListener("click", () => leave());
  $("sign").addEventListener("submit", (event) => {
    event.preventDefault();
    const token = $("token").value.trim().replace(/^Bearer\s+/i, "");
    $("token").value = "";
    if (token) enter(token);
  });
  api.onRefused = () => me && leave("Your session is over. Sign in again.");
  store.listen((ids, topics) => {
    current?.changed(ids, topics);
    if (topics.has("stats") && store.stats) {
      const count = store.stats.active_alerts;
      text($("nav-count"), count ? String(count) : "");
    }
  });
  $("skip").addEventListener("click", (event) => { event.preventDefault(); $("main").focus(); });
  addEventListener("hashchange", () => route());
  setInterval(() => current?.tick?.(), TICK_MS);
  const kept = sessionStorage.getItem("token");
  if (kept) enter(kept);
  else leave();
}

begin();
