// Small pictures of tanks, borewells and flow meters, as SVG. Each is made once and then only moved.

const SVG = "http://www.w3.org/2000/svg";

function shape(parent, name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

function canvas(label) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 100 100");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  return svg;
}

let clips = 0;

function tank() {
  const svg = canvas("Tank level");
  const id = `tank-${(clips += 1)}`;
  const clip = shape(shape(svg, "defs", {}), "clipPath", { id });
  shape(clip, "rect", { x: 22, y: 10, width: 56, height: 80, rx: 9 });
  shape(svg, "rect", { x: 22, y: 10, width: 56, height: 80, rx: 9, class: "vessel" });
  const group = shape(svg, "g", { "clip-path": `url(#${id})` });
  const water = shape(group, "g", { class: "water" });
  shape(water, "path", { d: "M-30 4 q12.5 -6 25 0 t25 0 t25 0 t25 0 t25 0 t25 0 V110 H-30 Z", class: "wave" });
  shape(svg, "rect", { x: 22, y: 10, width: 56, height: 80, rx: 9, class: "rim" });
  const text = shape(svg, "text", { x: 50, y: 55, class: "figure" });
  return {
    svg,
    show(values) {
      const percent = values.level_percent?.value;
      const known = percent !== null && percent !== undefined;
      const level = known ? Math.max(0, Math.min(100, percent)) : 0;
      water.setAttribute("transform", `translate(0 ${88 - level * 0.78})`);
      svg.dataset.level = !known ? "unknown" : level < 15 ? "low" : level > 97 ? "high" : "ok";
      text.textContent = known ? `${Math.round(percent)}%` : "?";
      svg.setAttribute("aria-label", known ? `Tank ${Math.round(percent)} percent full` : "Tank level unknown");
    },
  };
}

function deep() {
  const svg = canvas("Borewell");
  shape(svg, "path", { d: "M6 18 H94", class: "ground" });
  shape(svg, "rect", { x: 40, y: 8, width: 20, height: 84, rx: 3, class: "vessel" });
  const water = shape(svg, "rect", { x: 40, y: 50, width: 20, height: 42, class: "water" });
  const line = shape(svg, "path", { d: "M32 50 H68", class: "mark" });
  const pump = shape(svg, "rect", { x: 45, y: 76, width: 10, height: 12, rx: 2, class: "pump" });
  shape(svg, "rect", { x: 40, y: 8, width: 20, height: 84, rx: 3, class: "rim" });
  const text = shape(svg, "text", { x: 82, y: 56, class: "figure small" });
  return {
    svg,
    show(values, node) {
      const depth = values.dynamic_level_m?.value ?? values.static_level_m?.value;
      const known = depth !== null && depth !== undefined;
      const bottom = node?.config?.depth_m ?? Math.max(120, depth ?? 0);
      const y = known ? 18 + Math.min(1, Math.max(0, depth / bottom)) * 72 : 90;
      water.setAttribute("y", y);
      water.setAttribute("height", Math.max(0, 92 - y));
      line.setAttribute("transform", `translate(0 ${y - 50})`);
      text.textContent = known ? `${Math.round(depth)} m` : "?";
      pump.dataset.on = (values.pump_current_a?.value ?? 0) > 0.5;
      svg.setAttribute("aria-label", known ? `Water ${Math.round(depth)} metres below ground` : "Water level unknown");
    },
  };
}

function flow() {
  const svg = canvas("Flow");
  const arc = "M18 70 A38 38 0 1 1 82 70";
  shape(svg, "path", { d: arc, class: "dial" });
  const part = shape(svg, "path", { d: arc, class: "dial-value", pathLength: 100 });
  const text = shape(svg, "text", { x: 50, y: 56, class: "figure" });
  shape(svg, "text", { x: 50, y: 72, class: "unit" }, "L/min");
  return {
    svg,
    show(values) {
      const rate = values.flow_l_per_min?.value;
      const known = rate !== null && rate !== undefined;
      this.top = Math.max(this.top ?? 60, rate ?? 0);
      part.setAttribute("stroke-dasharray", `${known ? Math.max(0, (rate / this.top) * 100) : 0} 200`);
      text.textContent = known ? (rate < 10 ? rate.toFixed(1) : Math.round(rate)) : "?";
      svg.setAttribute("aria-label", known ? `${rate.toFixed(1)} litres per minute` : "Flow unknown");
    },
  };
}

const MAKERS = { tank, deep, flow };

export function picture(kind) {
  return (MAKERS[kind] ?? flow)();
}
