// Numbers, times and texts as the reports and commands of cloudtune show them.

/** A number with at most so many significant digits, as Python's format "g" has it; "" for null. */
export function number(value, digits = 6) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return String(value);
  if (value === 0 || !Number.isFinite(value)) return String(value);
  const [mantissa, power] = value.toExponential(digits - 1).split("e");
  if (Number(power) < -4 || Number(power) >= digits) {
    const sign = power[0] === "-" ? "-" : "+";
    return `${Number(mantissa)}e${sign}${power.slice(1).padStart(2, "0")}`;
  }
  return String(Number(value.toPrecision(digits)));
}

/** Any value of a table: numbers by `number`, null as "". */
export function words(value) {
  return typeof value === "number" ? number(value) : value ?? "";
}

/** A time span of seconds as people say it: 9.9s, 1m 05s, 2h 05m, 3d 4h. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 9.95) return `${seconds.toFixed(1)}s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${String(whole % 60).padStart(2, "0")}s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)}h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")}m`;
  return `${Math.floor(whole / 86400)}d ${Math.floor((whole % 86400) / 3600)}h`;
}

const clock = new Intl.DateTimeFormat("sv", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const calendar = new Intl.DateTimeFormat("sv", { year: "numeric", month: "2-digit", day: "2-digit" });

/** Seconds since 1970 as a time of day, with the date where that is not today. */
export function moment(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const date = new Date(seconds * 1000);
  const day = calendar.format(date);
  return day === calendar.format(new Date()) ? clock.format(date) : `${day} ${clock.format(date)}`;
}

export function count(many, noun) {
  return `${many.toLocaleString("en")} ${noun}${many === 1 ? "" : "s"}`;
}

export function short(text, length) {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}

/** An element with properties and children; texts become text nodes, never markup. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
