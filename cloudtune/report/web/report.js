// The report: charts drawn as they come into sight, and the table of trials.

import { ChartView } from "./chart.js";
import { count } from "./format.js";
import { ParallelView } from "./parallel.js";
import { TableView } from "./table.js";
import { Trials } from "./trials.js";

const root = document.documentElement;
const byId = (id) => document.getElementById(id);
const read = (id) => JSON.parse(byId(id).textContent);
const figures = read("figures");
const trials = new Trials(read("trials"));
const views = new Map();
let table;

function drawn(name) {
  if (!views.has(name)) {
    const host = byId(`chart-${name}`), figure = figures[name];
    const describe = (trial) => trials.describe(trial);
    const select = (chosen) => table?.search(byId("filter").value, chosen);
    const view = figure.kind === "parallel" ? new ParallelView(host, { describe, select }) : new ChartView(host, { describe, captioned: !host.dataset.shared });
    views.set(name, view);
    view.update(figure);
  }
  return views.get(name);
}

const inSight = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) drawn(entry.target.id.replace("chart-", ""));
}, { rootMargin: "800px" });
for (const name of Object.keys(figures)) {
  byId(`chart-${name}`).style.minHeight = `${figures[name].height + 40}px`;
  inSight.observe(byId(`chart-${name}`));
}

const again = (sharpness) => views.forEach((view) => (sharpness ? view.redraw(sharpness) : view.recolour()));
let waiting = 0, width = root.clientWidth;
addEventListener("resize", () => {
  if (root.clientWidth === width) return;
  width = root.clientWidth;
  clearTimeout(waiting);
  waiting = setTimeout(again, 150);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => again());

// Paper is light and narrow, and shows what nobody has scrolled to.
addEventListener("beforeprint", () => {
  root.classList.add("paper");
  Object.keys(figures).forEach(drawn);
  again(3);
});
addEventListener("afterprint", () => {
  root.classList.remove("paper");
  again();
});

for (const button of document.querySelectorAll("button.copy")) {
  const text = button.closest(".snippet").querySelector("pre");
  button.addEventListener("click", async () => {
    getSelection().selectAllChildren(text);
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}

if (byId("trial-table")) {
  const changed = (found, all) => { byId("place").textContent = found === all ? count(all, "trial") : `${found.toLocaleString("en")} of ${count(all, "trial")}`; };
  table = new TableView(byId("trial-table"), { changed });
  table.reset(trials.columns, trials.rows, trials.numeric);
  byId("filter").addEventListener("input", () => table.search(byId("filter").value));
}
