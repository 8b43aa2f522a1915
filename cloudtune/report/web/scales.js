// Scales from values to pixels, and the ticks of axes.

import { number } from "./format.js";

/** The ends of what is shown: those that are given, or all values with a margin. */
export function domainOf(kind, limits, values) {
  let [low, high] = limits ?? extent(values, kind === "log");
  if (low === Infinity) return kind === "log" ? [1, 10] : [0, 1];
  if (kind === "log") {
    const margin = limits ? 1 : 10 ** (0.04 * Math.max(Math.log10(high / low), 0.2));
    return [low / margin, high * margin];
  }
  if (limits) return low < high ? [low, high] : [low - 0.5, high + 0.5];
  const margin = kind === "rows" ? 0.5 : 0.04 * (high - low) || 0.05 * Math.abs(high) || 0.5;
  return [low - margin, high + margin];
}

function extent(values, positive) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (value === null || value === undefined || !Number.isFinite(value) || (positive && value <= 0)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/** A function from values to pixels, with `invert` back. */
export function scale(kind, [low, high], [from, to]) {
  const [put, take] = kind === "log" ? [Math.log10, (value) => 10 ** value] : [(value) => value, (value) => value];
  const base = put(low), width = put(high) - base || 1;
  const at = (value) => (kind === "log" && value <= 0 ? from : from + ((put(value) - base) / width) * (to - from));
  at.invert = (pixel) => take(base + ((pixel - from) / (to - from)) * width);
  return at;
}

/** Positions and labels on an axis, about as many as asked for. */
export function ticks(axis, domain, most) {
  if (axis.kind === "rows") return [];
  if (axis.ticks) return axis.ticks;
  const [low, high] = domain;
  if (axis.kind === "log") return powers(low, high, most);
  let step = stepOf((high - low) / Math.max(most, 1));
  if (axis.kind === "count") step = Math.max(1, step);
  const found = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + 1e-9 * step; index += 1) {
    const value = index * step;
    found.push([value, axis.kind === "percent" ? `${Math.round(value * 100)}%` : label(value, step)]);
  }
  return found;
}

function stepOf(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].find((factor) => factor * power >= rough * (1 - 1e-9)) * power;
}

function label(value, step) {
  if (Math.abs(value) < step / 1e6) return "0";
  const size = Math.max(Math.abs(value), step);
  if (size >= 1e6 || size < 1e-4) return number(Number(value.toPrecision(12)), 4);
  const decimals = Math.max(0, Math.min(10, -Math.floor(Math.log10(step) + 1e-9)));
  return value.toFixed(decimals);
}

function powers(low, high, most) {
  const first = Math.log10(low), last = Math.log10(high), found = [];
  const decades = last - first;
  if (decades < 1) return ticks({ kind: "linear" }, [low, high], most);
  const factors = 3 * decades <= most ? [1, 2, 5] : [1];
  const stride = Math.max(1, Math.ceil(decades / most));
  for (let power = Math.floor(first); power <= last; power += 1) {
    if (power % stride !== 0) continue;
    for (const factor of factors) {
      const value = factor * 10 ** power;
      if (value >= low && value <= high) found.push([value, number(value, 3)]);
    }
  }
  return found;
}
