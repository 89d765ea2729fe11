// Rules: read them, change them, and see what one would have said of the past before it is stored.

import { Chart } from "../chart.js";
import { choice, debounced, empty, made, skeleton, text } from "../dom.js";
import { ask } from "../alertparts.js";
import { part } from "../api.js";
import { KINDS, SEVERITIES, TELLING, moment, plural, span } from "../words.js";

const SPANS = [["3600", "the last hour"], ["86400", "the last day"], ["604800", "the last week"], ["2592000", "the last 30 days"]];
const EMPTY = { id: "", kind: "tank", label: "", when: "level_percent < 20", clear_when: "", hold: "5m", keep: "5m", severity: "warning", message: "" };
const SERIES_LIMIT = 10_000;

export function rulesView(ctx) {
  const { api, store } = ctx;
  let rules = [];
  let chosen = null; // what the editor holds: a document as the server gave it, or EMPTY
  let etag = null;
  let asked = 0;

  const list = made("ul", { class: "rows", id: "rules" }, made("li", {}, skeleton(4)));
  const add = made("button", { type: "button", onclick: () => edit({ ...EMPTY }) }, "New rule");
  const field = (name, about, input) => {
    const error = made("span", { class: "error", id: `e-${name}`, role: "status" });
    Object.assign(input, { id: `r-${name}`, name });
    input.setAttribute("aria-describedby", `e-${name}`);
    return { name, input, error, label: made("label", { for: `r-${name}`, class: `f-${name}` }, made("span", {}, about), input, error) };
  };
  const line = (attributes = {}) => made("input", { autocomplete: "off", spellcheck: "false", ...attributes, oninput: () => soonCheck() });
  const fields = [
    field("id", "Id", line({ required: true, maxlength: "80", pattern: "[A-Za-z0-9][A-Za-z0-9_.:\\-]*" })),
    field("label", "Name", line({ maxlength: "120" })),
    field("kind", "For", choice("For", Object.entries(KINDS), "tank", () => { drawNodes(); soonCheck(); })),
    field("severity", "Severity", choice("Severity", Object.entries(SEVERITIES).reverse(), "warning", () => soonCheck())),
    field("when", "Fires when", line({ class: "code", required: true, maxlength: "1000" })),
    field("clear_when", "Clears when (else: when it is no longer true)", line({ class: "code", maxlength: "1000" })),
    field("hold", "True for at least", line({ placeholder: "5m", maxlength: "12" })),
    field("keep", "Clear for at least", line({ placeholder: "5m", maxlength: "12" })),
    field("message", "It says", line({ maxlength: "300", placeholder: "the tank is down to {level_percent:0} %" })),
  ];
  const by = Object.fromEntries(fields.map((each) => [each.name, each]));
  const where = made("pre", { class: "pointer", hidden: true, "aria-hidden": "true" });
  by.when.label.append(where);
  const owner = made("p", { class: "sub" });
  const save = made("button", { class: "primary" }, "Store");
  const remove = made("button", { type: "button", onclick: () => erase() }, "Delete…");
  const heading = made("h2", { id: "h-rule", tabindex: "-1" });
  const form = made("form", { class: "rule", novalidate: true, onsubmit: (event) => { event.preventDefault(); store_(); } },
    ...fields.map((each) => each.label), made("div", { class: "actions" }, save, remove));

  const node = choice("Node", [["", "choose a node"]], "", () => tryIt());
  const length = choice("Past", SPANS, "3600", () => tryIt());
  const verdict = made("p", { class: "verdict", role: "status" });
  const box = made("div", { class: "chart" });
  const episodes = made("ul", { class: "rows" });
  const chart = new Chart(box);

  const editor = made("div", { class: "stack", hidden: true },
    made("section", { class: "panel", "aria-labelledby": "h-rule" }, made("div", { class: "head" }, heading, owner), form),
    made("section", { class: "panel", "aria-labelledby": "h-try" }, made("div", { class: "head" }, made("h2", { id: "h-try" }, "What it would have said"), made("div", { class: "filters" }, node, length)), verdict, box, episodes));
  const hint = empty("Choose a rule", "You can try changes on the past of a node before anything is stored.");
  const element = made("div", { class: "view rules columns" },
    made("section", { class: "panel", "aria-labelledby": "h-rules" }, made("div", { class: "head" }, made("h2", { id: "h-rules" }, "Rules"), add), list),
    made("div", { class: "stack" }, hint, editor));

  async function load() {
    const found = await ctx.attempt(() => api.data("/api/v1/rules"));
    add.hidden = !ctx.may("rules:write");
    if (!found) return;
    rules = found.sort((a, b) => a.kind.localeCompare(b.kind) || a.id.localeCompare(b.id));
    list.replaceChildren(...rules.map((rule) => made("li", {}, made(
      "button", { type: "button", class: "row", "data-id": rule.id, "aria-pressed": String(rule.id === chosen?.id), onclick: () => pick(rule.id) },
      made("span", { class: "name" }, rule.label || rule.id, made("span", { class: "sub" }, `${KINDS[rule.kind] ?? rule.kind} · ${rule.owner === "tenant" ? "your own" : "platform"}`)),
      made("span", { class: "severity", "data-severity": rule.severity ?? "warning" }, SEVERITIES[rule.severity ?? "warning"])))));
    if (!rules.length) list.replaceChildren(made("li", {}, empty("No rule yet", "Without rules nothing fires.")));
  }

  async function pick(id) {
    const answer = await ctx.attempt(() => api.call(`/api/v1/rules/${part(id)}`));
    if (answer) edit(answer.data, answer.etag);
  }

  function mayStore() {
    return ctx.may("rules:write") && (!chosen.owner || chosen.owner === "tenant" || ctx.me().role === "superadmin");
  }

  function edit(rule, tag = null) {
    [chosen, etag] = [rule, tag];
    for (const { name, input, error } of fields) {
      input.value = rule[name] ?? (name === "severity" ? "warning" : "");
      text(error, "");
    }
    by.id.input.readOnly = Boolean(rule.revision);
    const isForeign = rule.owner === "platform" && ctx.me().role !== "superadmin";
    text(heading, rule.revision ? rule.label || rule.id : "New rule");
    text(owner, rule.revision ? `${rule.owner === "tenant" ? "Your own" : "Platform"}, revision ${rule.revision}${isForeign ? "; you can try changes, not store them" : ""}` : "");
    save.hidden = !mayStore();
    remove.hidden = !mayStore() || !rule.revision;
    editor.hidden = false;
    hint.hidden = true;
    for (const button of list.querySelectorAll("button.row")) button.setAttribute("aria-pressed", String(button.dataset.id === rule.id));
    drawNodes();
    tryIt();
    heading.focus({ preventScroll: !matchMedia("(max-width: 1000px)").matches });
  }

  // What the editor does not show, such as levels and steps, stays as it was.
  function document_() {
    const { owner: _, revision: __, updated_at: ___, ...rule } = chosen;
    for (const { name, input } of fields) {
      if (input.value.trim()) rule[name] = input.value.trim();
      else delete rule[name];
    }
    return rule;
  }

  function drawNodes() {
    const before = node.value;
    const found = [...store.nodes.values()].filter((each) => each.kind === by.kind.input.value).sort((a, b) => a.label.localeCompare(b.label)).slice(0, 300);
    node.replaceChildren(...found.map((each) => made("option", { value: each.id }, each.label)));
    if (found.some((each) => each.id === before)) node.value = before;
    if (!found.length) node.append(made("option", { value: "" }, "no node of this kind"));
  }

  // "rule 'trial': when: expected a number at character 15 of '…'" → a caret under that character.
  function refuse(error) {
    for (const each of fields) text(each.error, "");
    const found = /(?:^|[ ,:])(\w+): ((?:(?!\w+: ).)*)$/s.exec(error.message.replace(/^rule '[^']*': /, " "));
    const target = by[found?.[1]] ?? by.when;
    const at = / at character (\d+)/.exec(error.message)?.[1];
    text(target.error, (found?.[2] ?? error.message).replace(/ of '.*'$/s, ""));
    for (const each of fields) each.input.setAttribute("aria-invalid", String(each === target));
    where.hidden = target !== by.when || at === undefined;
    if (!where.hidden) text(where, `${by.when.input.value}\n${" ".repeat(Number(at))}▲`);
  }

  function accept() {
    for (const each of fields) {
      text(each.error, "");
      each.input.removeAttribute("aria-invalid");
    }
    where.hidden = true;
  }

  async function tryIt() {
    if (!chosen || !node.value) return;
    const mine = (asked += 1);
    const end = api.now();
    const start = end - Number(length.value) * 1000;
    const range = { start: new Date(start).toISOString(), end: new Date(end).toISOString() };
    const rule = { ...document_(), id: "trial", enabled: true };
    editor.setAttribute("aria-busy", "true");
    let tried;
    try {
      tried = await api.data("/api/v1/rules/backtest", { method: "POST", body: { rule, node_id: node.value, ...range } });
    } catch (error) {
      if (mine !== asked) return;
      editor.removeAttribute("aria-busy");
      text(verdict, [400, 422].includes(error.status) ? "The rule cannot be tried as it is." : error.message);
      if ([400, 422].includes(error.status)) refuse(error);
      chart.clear();
      episodes.replaceChildren();
      return;
    }
    if (mine !== asked) return;
    accept();
    editor.removeAttribute("aria-busy");
    tell(tried);
    await plot(mine, tried, range);
  }

  function tell(tried) {
    const count = tried.episodes.length;
    text(verdict, !tried.readings
      ? "There is no reading in this time."
      : count
        ? `It would have fired ${count === 1 ? "once" : `${count} times`} over ${plural(tried.readings, "reading")}: ${span(tried.firing_s)} in all, ${span(tried.longest_s)} at the longest.`
        : `It would have been silent over ${plural(tried.readings, "reading")}.`);
    episodes.replaceChildren(...tried.episodes.slice(0, 20).map((each) => made("li", { class: "episode", "data-severity": each.severity },
      made("span", { class: "sub" }, `${moment(each.fired_at)} – ${each.ended_at ? moment(each.ended_at) : "still"}`), made("span", {}, each.sentence))));
  }

  async function plot(mine, tried, range) {
    const names = store.nodes.get(node.value)?.values ?? {};
    const named = (by.when.input.value.match(/[a-z_][a-z0-9_.]*/g) ?? []).find((name) => name in names);
    const metric = named ?? (TELLING[by.kind.input.value] ?? []).find((name) => name in names) ?? Object.keys(names)[0];
    if (!metric || !tried.readings) return chart.clear();
    const query = new URLSearchParams({ ...range, metric, limit: String(SERIES_LIMIT) });
    const series = await ctx.attempt(() => api.data(`/api/v1/nodes/${part(node.value)}/series?${query}`));
    if (!series || mine !== asked) return undefined;
    const end = Date.parse(range.end) / 1000;
    chart.show({
      metric, times: series.times, values: series.values[metric] ?? [], quality: series.quality[metric],
      window: [Math.max(Date.parse(range.start) / 1000, (series.times[0] ?? 0) - 5), end],
      spans: tried.episodes.map((each) => ({ from: Date.parse(each.fired_at) / 1000, to: each.ended_at ? Date.parse(each.ended_at) / 1000 : end, severity: each.severity })),
    });
    return undefined;
  }

  const soonCheck = debounced(500, () => tryIt());

  async function store_() {
    if (!form.reportValidity()) return;
    save.disabled = true;
    try {
      const id = by.id.input.value.trim();
      const answer = await api.call(`/api/v1/rules/${part(id)}`, { method: "PUT", body: document_(), headers: etag ? { "If-Match": etag } : {} });
      ctx.toast(`Stored ${answer.data.id}. It is at work within a second.`, "done");
      await load();
      edit(answer.data, answer.etag);
    } catch (error) {
      if (error.code === "INVALID_RULE") refuse(error);
      else if (error.status === 412) ctx.notice({ message: "Somebody changed this rule meanwhile. Choose it again to see how it is now." });
      else ctx.notice(error);
    } finally {
      save.disabled = false;
    }
  }

  async function erase() {
    if (!(await ask("Delete the rule", `“${chosen.label || chosen.id}” fires no more, and its open alerts end.`, [], "Delete"))) return;
    if (!(await ctx.attempt(() => api.call(`/api/v1/rules/${part(chosen.id)}`, { method: "DELETE", headers: etag ? { "If-Match": etag } : {} })))) return;
    ctx.toast("Deleted.", "done");
    close();
    await load();
  }

  function close() {
    chosen = null;
    editor.hidden = true;
    hint.hidden = false;
  }

  return {
    element,
    title: "Rules",
    show: load,
    changed() {},
    clear() {
      asked += 1;
      list.replaceChildren();
      chart.clear();
      close();
    },
  };
}
