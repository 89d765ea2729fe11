// How the fleet stands: counts, health, the worst, what is wrong now.

import { empty, made, mark, skeleton, text } from "../dom.js";
import { alertItem } from "../alertparts.js";
import { FleetMap } from "../map.js";
import { BANDS, STATUSES, bandOf, number, statusName } from "../words.js";

const WORST = 10;
const LATEST = 6;

export function overview(ctx) {
  const { store, api } = ctx;
  const tiles = new Map();
  const counts = made("div", { class: "tiles" });
  const tile = (key, name, href) => {
    const figure = made("b", {}, "–");
    tiles.set(key, figure);
    counts.append(made(href ? "a" : "div", { class: "tile", href, "data-key": key }, figure, made("span", {}, name)));
  };
  tile("total", "nodes", "#/nodes");
  for (const status of STATUSES) tile(status.toLowerCase(), statusName(status).toLowerCase(), `#/nodes?status=${status}`);
  tile("alerts", "active alerts", "#/alerts");
  tile("health", "mean health");

  const bar = made("div", { class: "bands", role: "img" });
  const legend = made("ul", { class: "legend" });
  const parts = new Map();
  for (const { key, name } of [...BANDS, { key: "none", name: "Not judged" }]) {
    const piece = made("i", { "data-band": key });
    const count = made("b", {}, "–");
    const label = [made("i", { "data-band": key, class: "swatch" }), made("span", {}, name), count];
    bar.append(piece);
    legend.append(made("li", {}, key === "none" ? made("span", { class: "band" }, ...label) : made("a", { class: "band", href: `#/nodes?health=${key}` }, ...label)));
    parts.set(key, { piece, count });
  }
  const capped = made("p", { class: "sub", hidden: true }, "Counted over the first 1,000 nodes.");

  const worst = made("ol", { class: "rows" }, ...[1, 2, 3].map(() => made("li", {}, skeleton(1))));
  const alerts = made("ul", { class: "alerts" });
  const calm = empty("All calm", "An alert shows here the moment it fires.");
  calm.hidden = true;
  const map = new FleetMap({ store, width: 700, height: 250 });

  const element = made(
    "div", { class: "view overview" },
    counts,
    made("div", { class: "columns" },
      made("section", { class: "panel", "aria-labelledby": "h-now" }, made("div", { class: "head" }, made("h2", { id: "h-now" }, "Active alerts"), made("a", { href: "#/alerts" }, "All alerts")), alerts, calm),
      made("div", { class: "stack" },
        made("section", { class: "panel", "aria-labelledby": "h-health" }, made("h2", { id: "h-health" }, "Health"), bar, legend, capped),
        made("section", { class: "panel", "aria-labelledby": "h-map" }, made("div", { class: "head" }, made("h2", { id: "h-map" }, "Where"), made("a", { href: "#/map" }, "Open the map")), map.element),
        made("section", { class: "panel", "aria-labelledby": "h-worst" }, made("h2", { id: "h-worst" }, "Worst ten"), worst))),
  );

  function drawStats() {
    const { stats } = store;
    if (!stats) return;
    text(tiles.get("total"), number(stats.total_nodes));
    for (const status of STATUSES) {
      const count = stats.nodes_by_status[status.toLowerCase()] ?? 0;
      text(tiles.get(status.toLowerCase()), number(count));
      mark(tiles.get(status.toLowerCase()).parentElement, "none", count === 0);
    }
    text(tiles.get("alerts"), number(stats.active_alerts));
    text(tiles.get("health"), stats.average_health_score === null ? "–" : number(Math.round(stats.average_health_score)));
  }

  function drawHealth() {
    const found = Object.fromEntries([...parts.keys()].map((key) => [key, 0]));
    for (const node of store.nodes.values()) found[bandOf(node.health_score)] += 1;
    for (const [key, { piece, count }] of parts) {
      if (piece.style.flexGrow !== String(found[key])) piece.style.flexGrow = found[key];
      piece.hidden = !found[key];
      text(count, number(found[key]));
      if (key === "none") count.parentElement.parentElement.hidden = !found.none;
    }
    const words = BANDS.map(({ key, name }) => `${found[key]} ${name.toLowerCase()}`).join(", ");
    if (bar.getAttribute("aria-label") !== words) bar.setAttribute("aria-label", words);
    capped.hidden = store.isWhole;
  }

  const worstRows = [];
  function drawWorst() {
    const bad = [...store.nodes.values()]
      .filter((node) => node.health_score !== null && node.health_score !== undefined)
      .sort((a, b) => a.health_score - b.health_score || a.label.localeCompare(b.label))
      .slice(0, WORST);
    if (!worstRows.length && bad.length) worst.replaceChildren();
    while (worstRows.length < bad.length) {
      const row = { name: made("span", { class: "name" }), status: made("span", { class: "status" }), score: made("b") };
      row.link = made("a", { class: "row" }, row.name, row.status, row.score);
      row.item = made("li", {}, row.link);
      worstRows.push(row);
      worst.append(row.item);
    }
    while (worstRows.length > bad.length) worstRows.pop().item.remove();
    bad.forEach((node, at) => {
      const row = worstRows[at];
      const href = `#/nodes/${encodeURIComponent(node.id)}`;
      if (row.link.getAttribute("href") !== href) row.link.setAttribute("href", href);
      text(row.name, node.label);
      text(row.status, statusName(node.status));
      mark(row.status, "status", node.status);
      text(row.score, number(node.health_score));
      mark(row.score, "band", bandOf(node.health_score));
    });
  }

  async function loadAlerts() {
    const found = await ctx.attempt(() => api.data(`/api/v1/alerts?state=active&limit=${LATEST}`));
    if (!found) return;
    alerts.replaceChildren(...found.map((alert) => alertItem(ctx, alert, { brief: true })));
    calm.hidden = found.length > 0;
  }

  return {
    element,
    title: "Overview",
    show() {
      drawStats();
      drawHealth();
      drawWorst();
      map.show();
      return loadAlerts();
    },
    changed(ids, topics) {
      if (topics.has("stats")) drawStats();
      if (ids.size) {
        drawHealth();
        drawWorst();
        map.changed(ids);
      }
      if (topics.has("index")) map.show();
      if (topics.has("alerts")) loadAlerts();
    },
    clear() {
      worstRows.length = 0;
      worst.replaceChildren();
      alerts.replaceChildren();
    },
  };
}
