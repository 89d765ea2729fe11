// The map alone, with what its colours mean.

import { made } from "../dom.js";
import { FleetMap } from "../map.js";
import { STATUSES, statusName } from "../words.js";

export function mapView(ctx) {
  const map = new FleetMap({ store: ctx.store, width: 1180, height: 620 });
  const legend = made("ul", { class: "legend", "aria-label": "Colours" }, ...STATUSES.map((status) => made("li", {}, made("span", { class: "status", "data-status": status }, statusName(status)))));
  return {
    element: made("section", { class: "view panel", "aria-label": "Map" }, legend, map.element),
    title: "Map",
    show: () => map.show(),
    changed(ids, topics) {
      map.changed(ids);
      if (topics.has("index")) map.show();
    },
    clear() {},
  };
}
