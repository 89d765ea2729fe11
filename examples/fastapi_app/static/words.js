// Names, units and times for people.

const NAMES = {
  level_percent: ["Filled", "%", 1], level_cm: ["Level", "cm", 1], volume_l: ["Volume", "L", 0],
  temperature_c: ["Temperature", "°C", 1], tds_ppm: ["Dissolved solids", "ppm", 0], ph: ["pH", "", 2],
  flow_l_per_min: ["Flow", "L/min", 1], total_volume_l: ["Total", "L", 0], pressure_bar: ["Pressure", "bar", 2],
  static_level_m: ["Resting level", "m", 1], dynamic_level_m: ["Pumping level", "m", 1],
  pump_current_a: ["Pump current", "A", 1], battery_v: ["Battery", "V", 2], rssi_dbm: ["Signal", "dBm", 0],
};

export const KINDS = { tank: "tank", deep: "borewell", flow: "flow meter" };

export function metricName(metric) {
  const [name, unit] = NAMES[metric] ?? [metric, ""];
  return unit ? `${name} (${unit})` : name;
}

export function metricUnit(metric) {
  return NAMES[metric]?.[1] ?? "";
}

export function shortName(metric) {
  return NAMES[metric]?.[0] ?? metric;
}

export function quantity(metric, measured) {
  if (!measured || measured.value === null || measured.value === undefined) return "–";
  const digits = NAMES[metric]?.[2] ?? 2;
  const unit = metricUnit(metric);
  return `${measured.value.toLocaleString(undefined, { maximumFractionDigits: digits })}${unit ? ` ${unit}` : ""}`;
}

export function ago(moment, nowMs) {
  if (!moment) return "never";
  const seconds = Math.max(0, (nowMs - Date.parse(moment)) / 1000);
  if (seconds < 5) return "now";
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
  }
  return `${Math.floor(seconds)} s ago`;
}
