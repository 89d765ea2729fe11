// Names, units and times for people.

const NAMES = {
  level_percent: ["Filled", "%", 1], level_cm: ["Level", "cm", 1], volume_l: ["Volume", "L", 0],
  temperature_c: ["Temperature", "°C", 1], tds_ppm: ["Dissolved solids", "ppm", 0], ph: ["pH", "", 2],
  flow_l_per_min: ["Flow", "L/min", 1], total_volume_l: ["Total", "L", 0], pressure_bar: ["Pressure", "bar", 2],
  static_level_m: ["Resting level", "m", 1], dynamic_level_m: ["Pumping level", "m", 1],
  pump_current_a: ["Pump current", "A", 1], battery_v: ["Battery", "V", 2], rssi_dbm: ["Signal", "dBm", 0],
};

export const KINDS = { tank: "Tank", deep: "Borewell", flow: "Flow meter" };
export const STATUSES = ["Online", "Alert", "Offline", "Maintenance", "provisioning"];
export const STATUS_NAMES = { provisioning: "Provisioning" };
export const SEVERITIES = { critical: "Critical", warning: "Warning", info: "Info" };

// The first of them that a node has is what a row says of it.
export const TELLING = {
  tank: ["level_percent", "level_cm"],
  deep: ["dynamic_level_m", "static_level_m"],
  flow: ["flow_l_per_min", "total_volume_l"],
};
export const BESIDE = {
  tank: ["volume_l", "level_cm"],
  deep: ["pump_current_a", "static_level_m"],
  flow: ["total_volume_l", "pressure_bar"],
};

export const BANDS = [
  { key: "good", name: "Good", from: 90, to: 101 },
  { key: "fair", name: "Fair", from: 70, to: 90 },
  { key: "poor", name: "Poor", from: 40, to: 70 },
  { key: "bad", name: "Bad", from: 0, to: 40 },
];

export function bandOf(score) {
  if (score === null || score === undefined) return "none";
  return BANDS.find((band) => score >= band.from).key;
}

export function metricName(metric) {
  const [name, unit] = NAMES[metric] ?? [metric, ""];
  return unit ? `${name} (${unit})` : name;
}

export const metricUnit = (metric) => NAMES[metric]?.[1] ?? "";
export const shortName = (metric) => NAMES[metric]?.[0] ?? metric.replaceAll("_", " ");

// One formatter for each number of digits: making them is what costs.
const FORMATS = [0, 1, 2].map((digits) => new Intl.NumberFormat(undefined, { maximumFractionDigits: digits }));

export function number(value, digits = 2) {
  return value === null || value === undefined ? "–" : FORMATS[Math.min(2, digits)].format(value);
}

export function quantity(metric, measured) {
  if (measured?.value === null || measured?.value === undefined) return "–";
  const unit = metricUnit(metric);
  return `${number(measured.value, NAMES[metric]?.[2] ?? 2)}${unit ? ` ${unit}` : ""}`;
}

export function telling(node) {
  return (TELLING[node.kind] ?? Object.keys(node.values ?? {})).find((name) => node.values?.[name]?.value != null) ?? null;
}

export function ago(moment, nowMs) {
  if (!moment) return "never";
  const seconds = Math.max(0, (nowMs - Date.parse(moment)) / 1000);
  return seconds < 10 ? "now" : `${span(seconds)} ago`;
}

export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) {
    const minutes = Math.round((seconds % 3600) / 60);
    return `${Math.floor(seconds / 3600)} h${seconds < 36_000 && minutes ? ` ${minutes} min` : ""}`;
  }
  return `${Math.round(seconds / 86_400)} d`;
}

const MOMENT = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

export function moment(value) {
  return value === null || value === undefined ? "–" : MOMENT.format(typeof value === "number" ? value * 1000 : Date.parse(value));
}

const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const MINUTE = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });
const SECOND = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

// Below a chart, whose ticks are `stepS` apart: the day where it matters.
export function timeLabel(atS, stepS, isFirst) {
  const at = atS * 1000;
  if (stepS >= 86_400) return DAY.format(at);
  const words = (stepS < 60 ? SECOND : MINUTE).format(at);
  return isFirst || words.startsWith("00:00") ? `${words}\n${DAY.format(at)}` : words;
}

export function plural(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

export function statusName(status) {
  return STATUS_NAMES[status] ?? status;
}
