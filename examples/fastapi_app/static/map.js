// Where nodes are: coordinates on a plain grid, without tiles, so that nothing is asked of anybody.

import { drawn, made, mark, text } from "./dom.js";
import { number, plural, quantity, shortName, statusName, telling } from "./words.js";

const EARTH_KM_PER_DEGREE = 111.32;
const MOST_ZOOM = 40;

export class FleetMap {
  // `width` and `height` are about what it has on a desk: text is then as large as elsewhere.
  constructor({ store, width = 800, height = 300 }) {
    Object.assign(this, { store, width, height, dots: new Map(), zoom: 1, focusable: null });
    this.grid = drawn("g", { class: "graticule" });
    this.layer = drawn("g", {});
    this.svg = drawn("svg", { viewBox: `0 0 ${this.width} ${this.height}`, class: "fleet-map", role: "group", "aria-label": "Map of the nodes. Arrow keys move between them." }, this.grid, this.layer);
    this.caption = made("p", { class: "sub caption" }, "Point at a node to read it.");
    this.missing = made("p", { class: "sub", hidden: true });
    const button = (name, words, run) => made("button", { type: "button", title: name, "aria-label": name, onclick: run }, words);
    this.element = made(
      "div", { class: "map" },
      made("div", { class: "map-box" }, this.svg, made("div", { class: "map-tools" },
        button("Zoom in", "+", () => this.#zoomBy(1.6)), button("Zoom out", "−", () => this.#zoomBy(1 / 1.6)), button("Show all", "⤢", () => this.#reset()))),
      this.caption, this.missing,
    );
    this.#drag();
    this.svg.addEventListener("keydown", (event) => this.#key(event));
  }

  show() {
    const placed = [...this.store.nodes.values()].filter((node) => Number.isFinite(node.lat) && Number.isFinite(node.lng));
    const lost = this.store.nodes.size - placed.length;
    this.missing.hidden = !lost;
    text(this.missing, `${plural(lost, "node has", "nodes have")} no coordinates.`);
    const key = placed.map((node) => `${node.id}@${node.lat},${node.lng}`).join();
    if (key === this.key) return;
    this.key = key;
    this.#fitTo(placed);
    this.#drawGrid();
    this.layer.replaceChildren();
    this.dots.clear();
    for (const node of placed) this.#add(node);
    this.focusable = placed[0]?.id ?? null;
    if (this.focusable) this.dots.get(this.focusable).link.setAttribute("tabindex", "0");
  }

  changed(ids) {
    for (const id of ids) if (this.dots.has(id)) this.#draw(id);
  }

  #fitTo(placed) {
    const lats = placed.map((node) => node.lat);
    const lngs = placed.map((node) => node.lng);
    const middle = placed.length ? (Math.min(...lats) + Math.max(...lats)) / 2 : 0;
    const center = placed.length ? (Math.min(...lngs) + Math.max(...lngs)) / 2 : 0;
    this.shrink = Math.cos((middle * Math.PI) / 180) || 1;
    const high = placed.length ? Math.max(0.002, Math.max(...lats) - Math.min(...lats)) : 1;
    const wide = placed.length ? Math.max(0.002, (Math.max(...lngs) - Math.min(...lngs)) * this.shrink) : 1;
    this.scale = Math.min((this.width - 80) / wide, (this.height - 70) / high);
    Object.assign(this, { middle, center });
    this.#reset();
  }

  #x(lng) { return this.width / 2 + (lng - this.center) * this.shrink * this.scale; }
  #y(lat) { return this.height / 2 - (lat - this.middle) * this.scale; }

  #drawGrid() {
    const span = this.width / this.scale / this.shrink;
    const step = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20].find((each) => span / each <= 8) ?? 45;
    const digits = Math.max(0, Math.ceil(-Math.log10(step)));
    this.grid.replaceChildren();
    const reach = (from, count) => Array.from({ length: count }, (_, at) => (Math.floor(from / step) - count / 2 + at) * step);
    for (const lng of reach(this.center, 24)) {
      const x = this.#x(lng);
      this.grid.append(drawn("path", { d: `M${x.toFixed(1)} ${-this.height} V${this.height * 2}` }));
      if (x > 20 && x < this.width - 230) this.grid.append(drawn("text", { x: x + 3, y: this.height - 5 }, `${lng.toFixed(digits)}°`));
    }
    for (const lat of reach(this.middle, 24)) {
      const y = this.#y(lat);
      this.grid.append(drawn("path", { d: `M${-this.width} ${y.toFixed(1)} H${this.width * 2}` }));
      if (y > 12 && y < this.height - 20) this.grid.append(drawn("text", { x: 4, y: y - 3 }, `${lat.toFixed(digits)}°`));
    }
    const km = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500].findLast((each) => (each / EARTH_KM_PER_DEGREE) * this.scale < 160) ?? 0.1;
    const length = (km / EARTH_KM_PER_DEGREE) * this.scale;
    this.grid.append(
      drawn("path", { class: "scale", d: `M${this.width - 20 - length} ${this.height - 14} v4 h${length} v-4` }),
      drawn("text", { x: this.width - 20 - length / 2, y: this.height - 18, "text-anchor": "middle" }, `${number(km)} km`),
    );
  }

  #add(node) {
    const at = `translate(${this.#x(node.lng).toFixed(1)} ${this.#y(node.lat).toFixed(1)})`;
    const say = () => this.#say(node.id);
    const link = drawn("a", { href: `#/nodes/${encodeURIComponent(node.id)}`, class: "dot", tabindex: "-1", transform: at, onpointerenter: say, onfocus: say },
      drawn("circle", { r: 14, class: "hit" }), drawn("circle", { r: 6.5, class: "point" }));
    this.dots.set(node.id, { link, x: this.#x(node.lng), y: this.#y(node.lat) });
    this.layer.append(link);
    this.#draw(node.id);
  }

  #draw(id) {
    const { link } = this.dots.get(id);
    const node = this.store.nodes.get(id);
    if (link.dataset.status === node.status) return;
    mark(link, "status", node.status);
    link.setAttribute("aria-label", `${node.label}, ${statusName(node.status)}`);
    if (node.status === "Alert" && document.activeElement !== link) this.layer.append(link); // on top of the others
  }

  #say(id) {
    const node = this.store.nodes.get(id);
    const metric = telling(node);
    text(this.caption, [node.label, node.location_name, statusName(node.status), metric && `${shortName(metric)} ${quantity(metric, node.values[metric])}`].filter(Boolean).join(" · "));
  }

  #reset() {
    Object.assign(this, { zoom: 1, left: 0, top: 0 });
    this.#view();
  }

  #zoomBy(factor, x = 0.5, y = 0.5) {
    const zoom = Math.min(MOST_ZOOM, Math.max(1, this.zoom * factor));
    this.left += (this.width / this.zoom - this.width / zoom) * x;
    this.top += (this.height / this.zoom - this.height / zoom) * y;
    this.zoom = zoom;
    if (zoom === 1) Object.assign(this, { left: 0, top: 0 });
    this.#view();
  }

  #view() {
    this.svg.setAttribute("viewBox", `${this.left} ${this.top} ${this.width / this.zoom} ${this.height / this.zoom}`);
    this.svg.style.setProperty("--unzoom", 1 / this.zoom);
  }

  #drag() {
    let from = null;
    let hasMoved = false;
    this.svg.addEventListener("pointerdown", (event) => { from = { x: event.clientX, y: event.clientY, left: this.left, top: this.top }; hasMoved = false; });
    this.svg.addEventListener("pointermove", (event) => {
      if (!from || this.zoom === 1) return;
      const unit = this.width / this.zoom / this.svg.clientWidth;
      if (Math.hypot(event.clientX - from.x, event.clientY - from.y) > 4) hasMoved = true;
      this.left = from.left - (event.clientX - from.x) * unit;
      this.top = from.top - (event.clientY - from.y) * unit;
      this.#view();
    });
    addEventListener("pointerup", () => (from = null));
    this.svg.addEventListener("click", (event) => { if (hasMoved) event.preventDefault(); });
    this.svg.addEventListener("dragstart", (event) => event.preventDefault());
  }

  // One stop for the Tab key; arrows go to the nearest node in their direction.
  #key(event) {
    const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step || !this.dots.size) return;
    event.preventDefault();
    const here = this.dots.get(this.focusable);
    let best = null;
    for (const [id, dot] of this.dots) {
      const along = (dot.x - here.x) * step[0] + (dot.y - here.y) * step[1];
      const across = Math.abs((dot.x - here.x) * step[1]) + Math.abs((dot.y - here.y) * step[0]);
      if (along > 0.5 && (!best || along + across * 2 < best.far)) best = { id, far: along + across * 2 };
    }
    if (!best) return;
    here.link.setAttribute("tabindex", "-1");
    this.focusable = best.id;
    const { link } = this.dots.get(best.id);
    link.setAttribute("tabindex", "0");
    link.focus();
  }
}
