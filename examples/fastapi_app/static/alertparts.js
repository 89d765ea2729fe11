// An alert as a list item, what explains it, and what people may do with it.

import { made } from "./dom.js";
import { part } from "./api.js";
import { SEVERITIES, ago, moment, quantity, shortName, span } from "./words.js";

const SHELVE_HOURS = [["1", "1 hour"], ["4", "4 hours"], ["24", "1 day"], ["168", "1 week"]];

export function alertItem(ctx, alert, { brief = false, isOpen = false, isOfNode = false } = {}) {
  const mayWrite = ctx.may("alerts:write");
  const isActive = alert.state === "active";
  const rule = alert.rule_name ?? alert.rule_id;
  const since = isActive ? `for ${span((ctx.api.now() - Date.parse(alert.fired_at)) / 1000)}` : `lasted ${span((Date.parse(alert.resolved_at) - Date.parse(alert.fired_at)) / 1000)}`;
  const item = made(
    "li", { class: "alert", "data-severity": alert.severity, "data-state": alert.state, "data-id": alert.id },
    made("div", { class: "what" },
      isOfNode ? made("span", { class: "name" }, rule) : made("a", { class: "name", href: `#/nodes/${part(alert.node_id)}` }, alert.node_label ?? alert.node_id),
      made("span", { class: "severity" }, isActive ? SEVERITIES[alert.severity] ?? alert.severity : "Resolved")),
    made("p", {}, sentence(alert)),
    made("p", { class: "sub" }, [isOfNode ? null : rule, since, `since ${moment(alert.fired_at)}`].filter(Boolean).join(" · ")),
    alert.acknowledged_at ? made("p", { class: "sub seen" }, `✓ Acknowledged ${ago(alert.acknowledged_at, ctx.api.now())}${alert.acknowledged_by ? ` by ${alert.acknowledged_by}` : ""}`) : null,
  );
  const actions = made("div", { class: "actions" });
  const act = (name, run, attributes = {}) => actions.append(made("button", { type: "button", "aria-label": `${name}: ${alert.node_label ?? alert.node_id}, ${rule}`, onclick: run, ...attributes }, name));
  if (mayWrite && isActive && !alert.acknowledged_at) act("Acknowledge", () => acknowledge(ctx, alert));
  if (!brief) {
    if (mayWrite && isActive) {
      act("Shelve…", () => shelve(ctx, alert));
      act("Resolve…", () => resolve(ctx, alert));
    }
    const panel = made("div", { class: "explain" });
    const open = async (button) => {
      const isShown = panel.childElementCount > 0;
      button.setAttribute("aria-expanded", String(!isShown));
      panel.replaceChildren();
      if (isShown) return ctx.opened?.delete(alert.id);
      ctx.opened?.add(alert.id);
      const detail = await ctx.attempt(() => ctx.api.data(`/api/v1/alerts/${part(alert.id)}`));
      if (detail) panel.replaceChildren(explained(ctx, detail));
      return undefined;
    };
    act("Explain", (event) => open(event.currentTarget), { "aria-expanded": "false" });
    item.append(actions, panel);
    if (isOpen) open(actions.lastElementChild);
  } else if (actions.childElementCount) item.append(actions);
  return item;
}

// The node is named above it already.
function sentence(alert) {
  const said = alert.sentence ?? "";
  const start = `${alert.node_label}: `;
  const rest = said.startsWith(start) ? said.slice(start.length) : said;
  return rest.charAt(0).toUpperCase() + rest.slice(1);
}

function explained(ctx, alert) {
  const facts = alert.facts ?? {};
  const list = made("dl", { class: "facts" });
  const say = (name, value) => value !== null && value !== undefined && value !== "" && list.append(made("dt", {}, name), made("dd", {}, value));
  for (const [metric, value] of Object.entries(facts.values ?? {})) {
    const quality = facts.quality?.[metric];
    if (value !== null) say(`${shortName(metric)} then`, `${quantity(metric, { value })}${quality && quality !== "good" ? ` (${quality})` : ""}`);
  }
  say("Condition", facts.when && made("code", {}, facts.when));
  if (facts.true_since) say("True since", `${moment(facts.true_since)}; fires ${facts.hold_s ? `after ${span(facts.hold_s)}` : "at once"}`);
  say("Clears when", facts.clear_when && made("code", {}, facts.clear_when));
  if (facts.keep_s) say("Stays clear for", span(facts.keep_s));
  say("Why it fired", alert.reason);
  say("Unknown since", alert.unknown_since && moment(alert.unknown_since));
  say("Severity changed", alert.changed_at && moment(alert.changed_at));
  say("Acknowledged", alert.acknowledged_at && `${moment(alert.acknowledged_at)} by ${alert.acknowledged_by}`);
  say("Note", alert.note);
  say("Ended", alert.resolved_at && `${moment(alert.resolved_at)}${alert.resolved_reason ? ` (${alert.resolved_reason})` : ""}`);
  say("In the end", alert.resolved_sentence);
  const box = made("div", {}, list);
  if (alert.acknowledged_at && alert.state === "active" && ctx.may("alerts:write")) {
    box.append(made("button", { type: "button", onclick: () => send(ctx, alert, "unacknowledge") }, "Take the acknowledgement back"));
  }
  if (ctx.may("alerts:write")) box.append(made("button", { type: "button", onclick: () => send(ctx, alert, "unshelve", undefined, "People are told of it again.") }, "End shelving"));
  return box;
}

async function send(ctx, alert, what, body, said = null) {
  const done = await ctx.attempt(() => ctx.api.call(`/api/v1/alerts/${part(alert.id)}/${what}`, { method: "POST", body }));
  if (!done) return;
  if (said) ctx.toast(said, "done");
  ctx.store.tell("alerts");
}

async function acknowledge(ctx, alert) {
  const given = await ask("Acknowledge", `${alert.node_label}: you have seen it. Others will know.`, [noteField()], "Acknowledge");
  if (given) await send(ctx, alert, "acknowledge", { note: given.note });
}

async function shelve(ctx, alert) {
  const hours = made("select", { name: "hours" }, ...SHELVE_HOURS.map(([value, words]) => made("option", { value }, words)));
  const given = await ask("Shelve", `Nobody is told of “${alert.rule_name ?? alert.rule_id}” at ${alert.node_label} for a while.`, [["For", hours], noteField()], "Shelve");
  if (given) await send(ctx, alert, "shelve", { hours: Number(given.hours), note: given.note }, `Shelved: ${alert.node_label}, ${alert.rule_name ?? alert.rule_id}.`);
}

async function resolve(ctx, alert) {
  const given = await ask("Resolve", "For an alert of which nothing says that it is over. While its condition is true it cannot be resolved.", [noteField()], "Resolve");
  if (given) await send(ctx, alert, "resolve", { note: given.note }, `Resolved: ${alert.node_label}.`);
}

function noteField() {
  return ["Note (optional)", made("textarea", { name: "note", rows: "2", maxlength: "500" })];
}

// A question in a dialog. The answer is null when it was dismissed.
export function ask(title, words, fields, confirm) {
  const form = made(
    "form", { method: "dialog" },
    made("h2", { id: "ask-title" }, title), made("p", { class: "sub" }, words),
    ...fields.map(([name, field]) => made("label", {}, made("span", {}, name), field)),
    made("div", { class: "actions" }, made("button", { class: "primary", value: "yes" }, confirm), made("button", { value: "" , formnovalidate: true }, "Cancel")),
  );
  const dialog = made("dialog", { "aria-labelledby": "ask-title" }, form);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((answer) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      answer(dialog.returnValue === "yes" ? Object.fromEntries(new FormData(form)) : null);
    });
  });
}
