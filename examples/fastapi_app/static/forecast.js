// When a tank will be empty or full if it goes on like this. The same line as the library's detector `TimeToLimit`.

const LEAST_POINTS = 5;
const LEAST_CONFIDENCE = 0.7;
const LEAST_PER_MIN = 0.02;
const WINDOW_S = 1800;
const NEARLY = 1;

// → { where: "empty" | "full", minutes, perMin, confidence }, or null: the readings make no line.
export function forecast(times, values) {
  const end = times.at(-1);
  const points = [];
  for (let at = times.length - 1; at >= 0 && end - times[at] <= WINDOW_S; at -= 1) {
    if (values[at] !== null) points.push([(times[at] - end) / 60, values[at]]);
  }
  if (points.length < LEAST_POINTS) return null;
  // The last turn counts: a tank that was filled ten minutes ago drains now.
  const line = fit(sinceTurn(points));
  if (!line || line.confidence < LEAST_CONFIDENCE || Math.abs(line.perMin) < LEAST_PER_MIN) return null;
  const value = points[0][1];
  if (value < NEARLY || value > 100 - NEARLY) return null; // it is there already
  const where = line.perMin > 0 ? "full" : "empty";
  return { ...line, where, minutes: Math.max(0, ((where === "full" ? 100 : 0) - value) / line.perMin) };
}

function sinceTurn(points) {
  const now = points[0][1];
  const [least, most] = [Math.min(...points.map(([, v]) => v)), Math.max(...points.map(([, v]) => v))];
  const isFalling = Math.abs(most - now) > Math.abs(now - least);
  const extreme = isFalling ? most : least;
  const turn = points.findIndex(([, v]) => v === extreme);
  return turn >= LEAST_POINTS - 1 ? points.slice(0, turn + 1) : points;
}

function fit(points) {
  const count = points.length;
  let [t, x, tt, tx, xx] = [0, 0, 0, 0, 0];
  for (const [minute, value] of points) {
    t += minute; x += value; tt += minute * minute; tx += minute * value; xx += value * value;
  }
  const [spreadT, spreadX, together] = [count * tt - t * t, count * xx - x * x, count * tx - t * x];
  if (spreadT <= 0 || spreadX <= 0) return null;
  return { perMin: together / spreadT, confidence: Math.min(1, (together * together) / (spreadT * spreadX)) };
}
