// Small parts that several views show.

import { make } from "./format.js";

const ORDER = ["completed", "pruned", "failed", "cancelled", "running", "paused", "waiting"];

export function pill(state) {
  return make("span", { class: `state ${state}` }, state);
}

/** A bar of how many trials are in each state, of how many there will be. */
export function shares(counts, total) {
  const sum = Object.values(counts).reduce((one, other) => one + other, 0), all = Math.max(total ?? 0, sum) || 1;
  const said = ORDER.filter((state) => counts[state]).map((state) => `${counts[state]} ${state}`).join(", ") || "none yet";
  const bar = make("div", { class: "shares", role: "img", "aria-label": said, title: said });
  for (const state of ORDER) {
    if (!counts[state]) continue;
    const part = make("span", { class: state });
    part.style.width = `${(100 * counts[state]) / all}%`;
    bar.append(part);
  }
  return bar;
}

export function pairs(entries) {
  return make("dl", { class: "pairs" }, ...entries.flatMap(([term, text]) => [make("dt", {}, term), make("dd", {}, text)]));
}

/** A short message at the edge of the page. */
export function toast(text, bad = false) {
  const element = make("div", { class: bad ? "toast bad" : "toast" }, text);
  document.getElementById("toasts").append(element);
  setTimeout(() => element.remove(), bad ? 12000 : 5000);
}

/** Change an element's children only where what is shown has changed, so that nothing flickers or loses the focus. */
export function replaced(host, key, children) {
  const text = JSON.stringify(key);
  if (host.dataset.key === text) return;
  host.dataset.key = text;
  host.replaceChildren(...children());
}
