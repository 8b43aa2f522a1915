// The list of all runs.

import { duration, make, moment } from "./format.js";
import { Stream } from "./connection.js";
import { link } from "./route.js";
import { pill, replaced } from "./shared.js";

const MOST = 10; // runs beside each other

export class OverviewView {
  constructor(host, page) {
    [this.host, this.page] = [host, page];
    this.rows = null;
    this.chosen = new Set();
    this.filter = make("input", { type: "search", id: "runs-filter", "aria-label": "Filter runs", placeholder: "Filter by name, state, place", oninput: () => this.show() });
    this.compare = make("button", { type: "button", disabled: true, onclick: () => { location.hash = link(["compare"], { run: [...this.chosen] }); } }, "Compare");
    this.said = make("span", { class: "soft", "aria-live": "polite" });
    this.problem = make("p", { class: "warn", hidden: true });
    this.body = make("tbody", {});
    const head = ["", "run", "state", "on", "created", "took", "trials", "cost", "best"].map((text) => make("th", { scope: "col", class: ["took", "trials", "cost"].includes(text) ? "number" : "" }, text || make("span", { class: "unseen" }, "compare")));
    this.table = make("table", { class: "overview" }, make("thead", {}, make("tr", {}, ...head)), this.body);
    this.empty = make("p", { class: "soft", hidden: true }, "There are no runs yet. Start one with: cloudtune run job.yaml");
    host.replaceChildren(
      make("div", { class: "head" }, make("h1", {}, "Runs"), this.said),
      make("div", { class: "tools" }, this.filter, make("span", { class: "grow" }), this.compare),
      this.problem, this.empty, make("div", { class: "scroll" }, this.table),
    );
    this.stream = new Stream([["list", "1"]], (kind, data) => this.heard(kind, data), page.connected);
    document.title = "Runs · cloudtune";
  }

  heard(kind, data) {
    if (kind === "list") this.rows = data.runs;
    if (kind === "problem") [this.problem.textContent, this.problem.hidden] = [data.problem, !data.problem];
    this.show();
  }

  show() {
    if (!this.rows) return;
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = this.rows.filter((row) => words.every((word) => [row.id, row.name, row.state, row.where, row.project, row.best].some((text) => text.toLowerCase().includes(word))));
    this.said.textContent = found.length === this.rows.length ? `${this.rows.length} in all` : `${found.length} of ${this.rows.length}`;
    this.empty.hidden = this.rows.length > 0;
    this.table.hidden = this.rows.length === 0;
    const several = new Set(this.rows.map((row) => row.project)).size > 1;
    const known = new Map([...this.body.rows].map((element) => [element.dataset.id, element]));
    const wanted = found.map((row) => {
      const element = known.get(row.id) ?? make("tr", { "data-id": row.id });
      replaced(element, row, () => this.cells(row, several));
      return element;
    });
    if (wanted.length !== this.body.rows.length || wanted.some((element, index) => this.body.rows[index] !== element)) this.body.replaceChildren(...wanted);
  }

  cells(row, several) {
    const box = make("input", { type: "checkbox", "aria-label": `Compare ${row.id}`, checked: this.chosen.has(row.id), disabled: row.state === "damaged" });
    box.addEventListener("change", () => {
      if (box.checked && this.chosen.size >= MOST) box.checked = false;
      if (box.checked) this.chosen.add(row.id);
      else this.chosen.delete(row.id);
      this.compare.disabled = this.chosen.size < 2;
      this.compare.textContent = this.chosen.size ? `Compare ${this.chosen.size}` : "Compare";
    });
    const name = row.state === "damaged" ? make("span", { class: "name" }, row.id) : make("a", { class: "name", href: link(["run", row.id]) }, row.id);
    const under = [several ? row.project : "", row.seen, row.reason].filter(Boolean).join(" · ");
    const trials = row.total ? `${row.trials.toLocaleString("en")} of ${row.total.toLocaleString("en")}` : row.trials.toLocaleString("en");
    const cell = (content, type = "") => make("td", { class: type }, content);
    return [
      cell(box), make("td", {}, name, under ? make("span", { class: "sub" }, under) : null), cell(pill(row.state)), cell(row.where),
      cell(moment(row.created || null)), cell(duration(row.elapsed), "number"), cell(trials, "number"), cell(row.cost, "number"), cell(row.best),
    ];
  }

  recolour() {}

  close() {
    this.stream.close();
  }
}
