// The list of nodes: filters, search, pages by cursor. What is on the screen never moves by itself.

import { choice, debounced, empty, made, mark, skeleton, text } from "../dom.js";
import { BANDS, BESIDE, KINDS, STATUSES, ago, bandOf, number, quantity, shortName, statusName, telling } from "../words.js";

const PAGE = 25;
const SORTS = [["label", "by name"], ["status", "by status"], ["-created_at", "newest first"]];

export function nodesView(ctx) {
  const { api, store } = ctx;
  const rows = new Map();
  let cursor = null;
  let asked = 0;
  let lastQuery = null;

  const search = made("input", { type: "search", placeholder: "Search name or place", "aria-label": "Search name or place", maxlength: "100", oninput: debounced(250, () => changedFilters()) });
  const kind = choice("Kind", [["", "all kinds"], ...Object.entries(KINDS).map(([key, name]) => [key, `${name.toLowerCase()}s`])], "", () => changedFilters());
  const status = choice("Status", [["", "any status"], ...STATUSES.map((each) => [each, statusName(each)])], "", () => changedFilters());
  const health = choice("Health", [["", "any health"], ...BANDS.map(({ key, name }) => [key, name])], "", () => changedFilters());
  const sort = choice("Order", SORTS, "label", () => changedFilters());
  const body = made("tbody", { id: "nodes" });
  const table = made(
    "table", { class: "nodes" },
    made("caption", { class: "hidden" }, "Nodes"),
    made("thead", {}, made("tr", {}, ...["Node", "Status", "Now", "", "Health", "Last reading"].map((name, at) => made("th", { scope: "col", "aria-label": at === 3 ? "Besides" : null }, name)))),
    body,
  );
  const none = empty("No node matches", "Try fewer filters.", made("button", { type: "button", onclick: () => clearFilters() }, "Clear the filters"));
  const more = made("button", { class: "more", type: "button", id: "more", onclick: () => load({ more: true }) }, "Show more");
  const told = made("p", { class: "sub", role: "status", id: "shown" });
  none.hidden = true;
  more.hidden = true;

  const element = made(
    "section", { class: "view panel", "aria-label": "Nodes" },
    made("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() }, search, kind, status, health, sort),
    made("div", { class: "scroll" }, table), none,
    made("div", { class: "foot" }, told, more),
  );

  function row(data) {
    const label = made("a", { class: "name", href: `#/nodes/${encodeURIComponent(data.id)}` }, data.label);
    const place = made("span", { class: "sub" }, [KINDS[data.kind] ?? data.kind, data.location_name].filter(Boolean).join(" · "));
    const state = made("span", { class: "status" });
    const meter = made("i", { class: "meter", "aria-hidden": "true" }, made("i"));
    const now = made("span", { class: "figure" });
    const beside = made("span", { class: "sub figure" });
    const score = made("b", { class: "score" });
    const seen = made("span", { class: "sub" });
    const element = made(
      "tr", { "data-id": data.id },
      made("th", { scope: "row" }, label, place), made("td", { class: "c-status" }, state), made("td", { class: "c-now" }, now, meter),
      made("td", { class: "c-beside" }, beside), made("td", { class: "c-health" }, score), made("td", { class: "c-seen" }, seen),
    );
    return { element, state, meter, now, beside, score, seen };
  }

  function draw(id) {
    const entry = rows.get(id);
    const node = store.nodes.get(id);
    if (!entry || !node) return;
    mark(entry.element, "status", node.status);
    mark(entry.state, "status", node.status);
    text(entry.state, statusName(node.status));
    const metric = telling(node);
    text(entry.now, metric ? quantity(metric, node.values[metric]) : "–");
    mark(entry.now, "quality", metric ? node.values[metric].quality : "missing");
    const percent = node.values?.level_percent?.value;
    const known = percent !== null && percent !== undefined;
    mark(entry.meter, "level", !known ? "none" : percent < 15 ? "low" : percent > 97 ? "high" : "ok");
    if (known) {
      const width = `${Math.max(0, Math.min(100, Math.round(percent)))}%`;
      if (entry.meter.firstChild.style.width !== width) entry.meter.firstChild.style.width = width;
    }
    const other = (BESIDE[node.kind] ?? []).find((name) => name !== metric && node.values?.[name]?.value != null);
    text(entry.beside, other ? `${shortName(other)} ${quantity(other, node.values[other])}` : "");
    text(entry.score, number(node.health_score));
    mark(entry.score, "band", bandOf(node.health_score));
    text(entry.seen, ago(node.last_reading_at, api.now()));
  }

  function query() {
    const found = new URLSearchParams({ limit: String(PAGE), sort: sort.value });
    if (search.value.trim()) found.set("search", search.value.trim());
    if (kind.value) found.set("kind", kind.value);
    if (status.value) found.set("status", status.value);
    const band = BANDS.find(({ key }) => key === health.value);
    if (band) {
      found.set("health_score__gte", String(band.from));
      found.set("health_score__lt", String(band.to));
    }
    return found;
  }

  async function load({ more: isMore = false } = {}) {
    const mine = (asked += 1);
    const wanted = query();
    lastQuery = wanted.toString();
    if (isMore && cursor) wanted.set("cursor", cursor);
    if (!isMore && !rows.size) body.replaceChildren(...Array.from({ length: 8 }, () => made("tr", { class: "loading" }, made("td", { colspan: "6" }, skeleton(1)))));
    more.disabled = true;
    const answer = await ctx.attempt(() => api.call(`/api/v1/nodes?${wanted}`));
    if (mine !== asked) return;
    more.disabled = false;
    if (!answer) {
      lastQuery = null; // asked again when the server is back
      return;
    }
    if (!isMore) {
      rows.clear();
      body.replaceChildren();
    }
    let first = null;
    for (const data of answer.data) {
      store.keep(data);
      if (rows.has(data.id)) continue;
      const entry = row(data);
      rows.set(data.id, entry);
      first ??= entry;
      body.append(entry.element);
      draw(data.id);
    }
    cursor = answer.meta.pagination?.next_cursor ?? null;
    if (isMore && !cursor) first?.element.querySelector("a").focus({ preventScroll: true }); // the button goes away
    more.hidden = !cursor;
    none.hidden = rows.size > 0;
    table.hidden = rows.size === 0;
    told.textContent = rows.size ? `${rows.size} shown${cursor ? ", there are more" : ""}` : "";
  }

  function clearFilters() {
    for (const each of [search, kind, status, health]) each.value = "";
    changedFilters();
  }

  // The address says what is shown: a link to it shows the same.
  function changedFilters() {
    const params = new URLSearchParams();
    for (const [name, field] of [["search", search], ["kind", kind], ["status", status], ["health", health]]) if (field.value.trim()) params.set(name, field.value.trim());
    if (sort.value !== "label") params.set("sort", sort.value);
    history.replaceState(null, "", params.size ? `#/nodes?${params}` : "#/nodes");
    load();
  }

  return {
    element,
    title: "Nodes",
    show(_, params) {
      for (const [name, field] of [["search", search], ["kind", kind], ["status", status], ["health", health]]) field.value = params.get(name) ?? "";
      sort.value = params.get("sort") ?? "label";
      if (query().toString() !== lastQuery) return load();
      for (const id of rows.keys()) draw(id);
      return undefined;
    },
    changed(ids) {
      for (const id of ids) draw(id);
    },
    tick() {
      for (const [id, entry] of rows) text(entry.seen, ago(store.nodes.get(id)?.last_reading_at, api.now()));
    },
    clear() {
      asked += 1;
      rows.clear();
      body.replaceChildren();
      lastQuery = null;
    },
  };
}
