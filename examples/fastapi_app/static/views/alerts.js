// Alerts: what is wrong, what was, what people said of it.

import { choice, empty, made, segments, skeleton, throttled } from "../dom.js";
import { alertItem } from "../alertparts.js";
import { SEVERITIES } from "../words.js";

const PAGE = 20;

export function alertsView(ctx) {
  const opened = new Set();
  const within = Object.assign(Object.create(ctx), { opened });
  let state = "active";
  let cursor = null;
  let asked = 0;

  const tabs = segments("Which alerts", [["active", "Active"], ["resolved", "Resolved"], ["all", "All"]], state, (picked) => { ctx.go(picked === "active" ? "#/alerts" : `#/alerts?state=${picked}`); });
  const severity = choice("Severity", [["", "any severity"], ...Object.entries(SEVERITIES)], "", () => load());
  const list = made("ul", { class: "alerts wide", id: "alerts" }, made("li", {}, skeleton(3)));
  const none = empty("All calm", "An alert shows here the moment it fires.");
  none.hidden = true;
  const more = made("button", { class: "more", type: "button", hidden: true, onclick: () => load({ more: true }) }, "Show older");
  const element = made("section", { class: "view panel", "aria-label": "Alerts" }, made("div", { class: "filters" }, tabs, severity), list, none, more);

  async function load({ more: isMore = false } = {}) {
    const mine = (asked += 1);
    // As many as are shown already: what somebody reads does not go away under their eyes.
    const shown = isMore ? PAGE : Math.min(100, Math.max(PAGE, list.querySelectorAll(".alert").length));
    const query = new URLSearchParams({ state, limit: String(shown) });
    if (severity.value) query.set("severity", severity.value);
    if (isMore && cursor) query.set("cursor", cursor);
    const answer = await ctx.attempt(() => ctx.api.call(`/api/v1/alerts?${query}`));
    if (!answer || mine !== asked) return;
    const held = document.activeElement?.closest?.(".alert")?.dataset.id;
    const items = answer.data.map((alert) => alertItem(within, alert, { isOpen: opened.has(alert.id) }));
    if (isMore) list.append(...items);
    else list.replaceChildren(...items);
    cursor = answer.meta.pagination?.next_cursor ?? null;
    more.hidden = !cursor;
    none.hidden = list.childElementCount > 0;
    if (held && !isMore) [...list.children].find((item) => item.dataset.id === held)?.querySelector("button")?.focus({ preventScroll: true });
  }

  const soon = throttled(1500, () => load());

  return {
    element,
    title: "Alerts",
    show(_, params) {
      const wanted = ["resolved", "all"].includes(params.get("state")) ? params.get("state") : "active";
      if (wanted !== state) list.replaceChildren(made("li", {}, skeleton(3)));
      state = wanted;
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
