// The page: shows what the address names, in the user's colours.

import { ask } from "./connection.js";
import { CompareView } from "./compare_view.js";
import { make } from "./format.js";
import { OverviewView } from "./overview_view.js";
import { link, route } from "./route.js";
import { RunView } from "./run_view.js";

const root = document.documentElement;
const byId = (id) => document.getElementById(id);
const page = {
  about: null,
  connected: (on) => {
    byId("live").classList.toggle("on", on);
    byId("live").textContent = on ? "live" : "reconnecting";
  },
};
let view = null, shown = "";

function go() {
  const { words, parameters } = route();
  const name = words[0] === "run" && words[1] ? `run ${words[1]}` : words[0] === "compare" ? `compare ${parameters.getAll("run")}` : "list";
  if (name === shown && view) return view.routed?.();
  view?.close();
  shown = name;
  page.connected(false);
  const crumbs = words[0] === "run" ? [make("a", { href: "#/" }, "Runs"), ` / ${words[1]}`] : words[0] === "compare" ? [make("a", { href: "#/" }, "Runs"), " / compare"] : [];
  byId("crumbs").replaceChildren(...crumbs);
  const host = make("div", {});
  byId("main").replaceChildren(host);
  if (name.startsWith("run ")) view = new RunView(host, page, words[1]);
  else if (name.startsWith("compare ")) view = new CompareView(host, page);
  else view = new OverviewView(host, page);
  scrollTo(0, 0);
}

// Colours: those of the system, or the other ones.

const dark = matchMedia("(prefers-color-scheme: dark)");
const kept = localStorage.getItem("theme");
if (kept) root.dataset.theme = kept;
byId("theme").addEventListener("click", () => {
  const now = root.dataset.theme ?? (dark.matches ? "dark" : "light"), other = now === "dark" ? "light" : "dark";
  root.dataset.theme = other;
  localStorage.setItem("theme", other);
  view?.recolour();
});
dark.addEventListener("change", () => view?.recolour());
let waiting = 0, width = root.clientWidth;
addEventListener("resize", () => {
  if (root.clientWidth === width) return;
  width = root.clientWidth;
  clearTimeout(waiting);
  waiting = setTimeout(() => view?.recolour(), 120);
});

// Keys: / goes to the filter, g to the list, 1 to 8 to the tabs.

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) return;
  const tabs = document.querySelectorAll(".tabs a");
  if (event.key === "/") {
    const filter = document.querySelector("main input[type=search]");
    if (!filter) return;
    filter.focus();
    event.preventDefault();
  } else if (event.key === "g") location.hash = link([]);
  else if (/^[1-9]$/.test(event.key) && tabs[event.key - 1]) tabs[event.key - 1].click();
});

addEventListener("hashchange", go);
page.about = await ask("/api/about").catch(() => ({ control: false }));
byId("mode").textContent = page.about.control ? "control" : "only looks";
go();
