// Alerts: what is wrong, what was, what people said of it.

import { choice, empty, made, segments, skeleton, throttled } from "../dom.js";
import { alertItem } from "../alertparts.js";
import { SEVERITIES } from "../words.js";

const PAGE = 20;
const MOST_AGAIN = 100;

export function alertsView(ctx) {
  const opened = new Set();
  const within = Object.assign(Object.create(ctx), { opened });
  let state = "active";
  let cursor = null;
  let oldest = null; // when the last of those that are shown fired
  let asked = 0;

  const tabs = segments("Which alerts", [["active", "Active"], ["resolved", "Resolved"], ["all", "All"]], state, (picked) => { ctx.go(picked === "active" ? "#/alerts" : `#/alerts?state=${picked}`); });
  const severity = choice("Severity", [["", "any severity"], ...Object.entries(SEVERITIES)], "", () => { oldest = null; load(); });
  const list = made("ul", { class: "alerts wide", id: "alerts" }, made("li", {}, skeleton(3)));
  const none = empty("All calm", "An alert shows here the moment it fires.");
  none.hidden = true;
  const more = made("button", { class: "more", type: "button", hidden: true, onclick: () => load("older") }, "Show older");
  const element = made("section", { class: "view panel", "aria-label": "Alerts" }, made("div", { class: "filters" }, tabs, severity), list, none, more);

  // How: "first", "older" (one more page), or "again": what is shown and what is newer, since what
  // somebody reads does not go away under their eyes.
  async function load(how = "first") {
    const mine = (asked += 1);
    const query = new URLSearchParams({ state, limit: String(how === "again" ? MOST_AGAIN : PAGE) });
    if (severity.value) query.set("severity", severity.value);
    if (how === "older" && cursor) query.set("cursor", cursor);
    if (how === "again" && oldest) query.set("fired_at__gte", oldest);
    const answer = await ctx.attempt(() => ctx.api.call(`/api/v1/alerts?${query}`));
    if (!answer || mine !== asked) return;
    const held = document.activeElement?.closest?.(".alert")?.dataset.id;
    const items = answer.data.map((alert) => alertItem(within, alert, { isOpen: opened.has(alert.id) }));
    if (how === "older") list.append(...items);
    else list.replaceChildren(...items);
    if (how !== "again" || !oldest) {
      cursor = answer.meta.pagination?.next_cursor ?? null;
      oldest = answer.data.at(-1)?.fired_at ?? oldest;
    }
    more.hidden = !cursor;
    none.hidden = list.childElementCount > 0;
    if (held && how !== "older") [...list.children].find((item) => item.dataset.id === held)?.querySelector("button")?.focus({ preventScroll: true });
  }

  const soon = throttled(1500, () => load("again"));

  return {
    element,
    title: "Alerts",
    show(_, params) {
      const wanted = ["resolved", "all"].includes(params.get("state")) ? params.get("state") : "active";
      if (wanted !== state) list.replaceChildren(made("li", {}, skeleton(3)));
      state = wanted;
      oldest = null;
      tabs.show(state);
      return load();
    },
    changed(_, topics) {
      if (topics.has("alerts")) soon();
    },
    clear() {
      asked += 1;
      opened.clear();
      list.replaceChildren();
    },
  };
}
