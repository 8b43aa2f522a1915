// Two to ten runs beside each other.

import { ask, Stream } from "./connection.js";
import { ChartView } from "./chart.js";
import { duration, make, words } from "./format.js";
import { link, route } from "./route.js";
import { pill, replaced } from "./shared.js";

export class CompareView {
  constructor(host, page) {
    this.runs = [...new Set(route().parameters.getAll("run"))];
    this.summaries = new Map();
    this.best = new Map();
    [this.due, this.versions] = [0, ""];
    this.problem = make("p", { class: "warn", hidden: true });
    const figures = [0, 1].map(() => make("figure", { class: "chart" }));
    this.views = figures.map((figure) => new ChartView(figure, {}));
    this.table = make("table", {});
    host.replaceChildren(
      make("div", { class: "head" }, make("h1", {}, "Runs beside each other")), this.problem,
      make("div", { class: "grid" }, ...figures.map((figure) => make("section", { class: "card" }, figure)),
        make("section", { class: "card full" }, make("h2", {}, "Each run and its best trial"), make("div", { class: "scroll", tabindex: "0" }, this.table))),
    );
    this.stream = new Stream(this.runs.map((run) => ["run", run]), (kind, data) => this.heard(kind, data), page.connected);
    document.title = "Compare · cloudtune";
    this.fetch();
  }

  heard(kind, data) {
    if (kind === "problem") [this.problem.textContent, this.problem.hidden] = [data.problem, !data.problem];
    if (kind !== "run") return;
    if (data.summary) this.summaries.set(data.id, data.summary);
    this.show();
    this.fetch();
  }

  async fetch() {
    clearTimeout(this.timer);
    if (this.closed) return;
    const now = performance.now();
    if (this.busy || now < this.due) {
      this.timer = setTimeout(() => this.fetch(), Math.max(200, this.due - now));
      return;
    }
    this.busy = true;
    try {
      const { charts, best, took } = await ask("/api/compare", this.runs.map((run) => ["run", run]));
      this.best = new Map(best.map(({ id, parameters }) => [id, parameters]));
      charts.forEach(([, chart], index) => this.views[index].update(chart));
      this.due = performance.now() + Math.max(1500, 8000 * took);
      this.show();
    } catch (error) {
      [this.problem.textContent, this.problem.hidden] = [error.message, false];
      this.due = performance.now() + 5000;
    }
    this.busy = false;
  }

  show() {
    const runs = this.runs.map((run) => this.summaries.get(run)).filter(Boolean);
    const names = [...new Set(runs.flatMap((run) => run.parameters))];
    replaced(this.table, [runs, [...this.best]], () => {
      const row = (term, of) => make("tr", {}, make("th", { scope: "row" }, term), ...runs.map((run) => make("td", {}, of(run) ?? "")));
      const values = names.map((name) => [name, runs.map((run) => words(this.best.get(run.id)?.[name] ?? ""))]);
      values.sort(([, one], [, other]) => (new Set(other).size > 1) - (new Set(one).size > 1)); // what differs first
      return [
        make("thead", {}, make("tr", {}, make("td", {}), ...runs.map((run) => make("th", { scope: "col" }, make("a", { href: link(["run", run.id]) }, run.id))))),
        make("tbody", {}, row("state", (run) => pill(run.state)), row("best", (run) => run.best), row("trials", (run) => String(run.trials)), row("took", (run) => duration(run.elapsed)), row("cost", (run) => run.cost), row("on", (run) => run.where), row("strategy", (run) => run.strategy),
          ...values.map(([name, texts]) => make("tr", {}, make("th", { scope: "row" }, name), ...texts.map((text) => make("td", {}, text))))),
      ];
    });
  }

  recolour() {
    for (const view of this.views) view.recolour();
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.stream.close();
  }
}
