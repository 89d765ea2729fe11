// Small helpers over the document.

const SVG = "http://www.w3.org/2000/svg";

// made("button", { class: "plain", onclick: run, "aria-label": "…" }, "text", child)
export function made(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  set(element, attributes);
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function drawn(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  set(element, attributes);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
}

// Writes only what is different: most of what a stream says changes nothing on the screen.
export function text(element, value) {
  const next = value ?? "";
  if (element.textContent !== String(next)) element.textContent = next;
}

export function mark(element, name, value) {
  if (element.dataset[name] !== String(value)) element.dataset[name] = value;
}

// Runs at most once in `ms`, and once more at the end when it was asked for meanwhile.
export function throttled(ms, run) {
  let timer = null;
  let again = false;
  return function ask() {
    if (timer) return void (again = true);
    run();
    timer = setTimeout(() => {
      timer = null;
      if (again) { again = false; ask(); }
    }, ms);
  };
}

export function debounced(ms, run) {
  let timer = null;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => run(...given), ms);
  };
}

// What a colour of the theme is right now: a canvas knows nothing of custom properties.
export function colour(name) {
  const probe = document.getElementById("probe");
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

export function faded(rgb, opacity) {
  return rgb.replace(/^rgb\(([^)]+)\)$/, (_, parts) => `rgba(${parts}, ${opacity})`);
}

export function skeleton(lines) {
  return made("div", { class: "skeleton", "aria-hidden": "true" }, ...Array.from({ length: lines }, () => made("i")));
}

export function empty(title, hint, action) {
  return made("div", { class: "empty" }, made("strong", {}, title), hint ? made("p", {}, hint) : null, action ?? null);
}

export function choice(name, options, value, onchange) {
  const select = made("select", { "aria-label": name, onchange: (event) => onchange?.(event.target.value) });
  for (const [key, words] of options) select.append(made("option", { value: key }, words));
  select.value = value ?? options[0]?.[0] ?? "";
  return select;
}

// A row of buttons of which one is pressed.
export function segments(name, options, value, onpick) {
  const group = made("div", { class: "segments", role: "group", "aria-label": name });
  const show = (picked) => {
    for (const button of group.children) button.setAttribute("aria-pressed", String(button.dataset.key === picked));
  };
  for (const [key, words] of options) {
    group.append(made("button", { type: "button", "data-key": key, onclick: () => { show(key); onpick(key); } }, words));
  }
  show(value);
  return Object.assign(group, { show });
}
