// Pictures of a tank, a borewell and a flow meter. Each is made once and then only moved.

import { drawn, mark, text } from "./dom.js";

let clips = 0;

function canvas() {
  return drawn("svg", { viewBox: "0 0 120 120", role: "img", class: "picture" });
}

function add(parent, name, attributes, words) {
  const element = drawn(name, attributes, words);
  parent.append(element);
  return element;
}

const isNumber = (value) => value !== null && value !== undefined;

function tank() {
  const svg = canvas();
  const id = `tank-${(clips += 1)}`;
  const inside = { x: 24, y: 14, width: 72, height: 92, rx: 10 };
  add(add(add(svg, "defs", {}), "clipPath", { id }), "rect", inside);
  add(svg, "rect", { ...inside, class: "vessel" });
  const water = add(add(svg, "g", { "clip-path": `url(#${id})` }), "g", { class: "water" });
  add(water, "path", { d: "M-40 3 q14 -5 28 0 t28 0 t28 0 t28 0 t28 0 t28 0 t28 0 V130 H-40 Z" });
  for (const share of [25, 50, 75]) add(svg, "path", { d: `M88 ${106 - share * 0.92} H96`, class: "tick" });
  add(svg, "rect", { ...inside, class: "rim" });
  const figure = add(svg, "text", { x: 60, y: 66, class: "figure" });
  return {
    svg,
    show(values) {
      const percent = values.level_percent?.value;
      const known = isNumber(percent);
      const level = known ? Math.max(0, Math.min(100, percent)) : 0;
      water.setAttribute("transform", `translate(0 ${(104 - level * 0.9).toFixed(1)})`);
      mark(svg, "level", !known ? "unknown" : level < 15 ? "low" : level > 97 ? "high" : "ok");
      text(figure, known ? `${Math.round(percent)}%` : "?");
      svg.setAttribute("aria-label", known ? `Tank ${Math.round(percent)} percent full` : "Tank level unknown");
    },
  };
}

function deep() {
  const svg = canvas();
  add(svg, "path", { d: "M4 22 H46 M66 22 H116", class: "ground" });
  for (let y = 34; y < 110; y += 16) add(svg, "path", { d: `M10 ${y} h10 M28 ${y + 8} h9 M78 ${y + 4} h9`, class: "soil" });
  add(svg, "rect", { x: 46, y: 10, width: 20, height: 100, rx: 3, class: "vessel" });
  const water = add(svg, "rect", { x: 46, y: 50, width: 20, height: 60, class: "water" });
  const pump = add(svg, "rect", { x: 51, y: 88, width: 10, height: 14, rx: 2, class: "pump" });
  add(svg, "path", { d: "M56 88 V4", class: "pipe" });
  add(svg, "rect", { x: 46, y: 10, width: 20, height: 100, rx: 3, class: "rim" });
  const line = add(svg, "path", { d: "M38 0 H74", class: "mark" });
  const figure = add(svg, "text", { x: 95, y: 62, class: "figure small" });
  return {
    svg,
    show(values, node) {
      const depth = values.dynamic_level_m?.value ?? values.static_level_m?.value;
      const known = isNumber(depth);
      const bottom = node?.config?.depth_m ?? node?.config?.pump_depth_m ?? Math.max(120, (depth ?? 0) * 1.2);
      const y = known ? 22 + Math.min(1, Math.max(0, depth / bottom)) * 84 : 108;
      water.setAttribute("y", y.toFixed(1));
      water.setAttribute("height", Math.max(0, 110 - y).toFixed(1));
      line.setAttribute("transform", `translate(0 ${y.toFixed(1)})`);
      text(figure, known ? `${Math.round(depth)} m` : "?");
      figure.setAttribute("y", Math.min(108, Math.max(38, y + 5)).toFixed(0));
      const isOn = (values.pump_current_a?.value ?? 0) > 0.5;
      mark(pump, "on", isOn);
      svg.setAttribute("aria-label", known ? `Water ${Math.round(depth)} metres below ground, pump ${isOn ? "running" : "at rest"}` : "Water level unknown");
    },
  };
}

function flow() {
  const svg = canvas();
  const arc = "M22 88 A46 46 0 1 1 98 88";
  add(svg, "path", { d: arc, class: "dial" });
  const part = add(svg, "path", { d: arc, class: "dial-value", pathLength: 100, "stroke-dasharray": "0 200" });
  const figure = add(svg, "text", { x: 60, y: 66, class: "figure" });
  add(svg, "text", { x: 60, y: 84, class: "unit" }, "L/min");
  let top = 60;
  return {
    svg,
    show(values, node) {
      const rate = values.flow_l_per_min?.value;
      const known = isNumber(rate);
      top = Math.max(node?.config?.max_flow_l_per_min ?? top, rate ?? 0);
      part.setAttribute("stroke-dasharray", `${known ? Math.max(0, (rate / top) * 100).toFixed(1) : 0} 200`);
      text(figure, known ? (rate < 10 ? rate.toFixed(1) : Math.round(rate)) : "?");
      svg.setAttribute("aria-label", known ? `${rate.toFixed(1)} litres per minute` : "Flow unknown");
    },
  };
}

const MAKERS = { tank, deep, flow };

export function picture(kind) {
  return (MAKERS[kind] ?? flow)();
}
