// The trials of a run: filter, states, sort, download.

import { count, make, words, number } from "./format.js";
import { change, route } from "./route.js";
import { TableView } from "./table.js";

const STATES = ["running", "completed", "pruned", "failed", "cancelled", "paused", "waiting"];

export class TrialTab {
  constructor(run) {
    this.run = run;
    const { parameters } = route();
    this.filter = make("input", { type: "search", "aria-label": "Filter trials", placeholder: "words, or conditions such as state=failed lr<0.01", autocomplete: "off", spellcheck: "false" });
    this.filter.value = parameters.get("q") ?? "";
    this.filter.addEventListener("input", () => { change({ q: this.filter.value }, true); this.search(); });
    this.chips = make("div", { class: "chips", role: "group", "aria-label": "States" });
    this.states = new Set((parameters.get("states") ?? "").split(",").filter(Boolean));
    this.place = make("span", { class: "soft", "aria-live": "off" });
    const download = (of, as, text) => make("a", { class: "download", href: `/api/table?${new URLSearchParams({ run: run.id, of, as })}`, download: "" }, text);
    const host = make("div", {});
    this.element = make("div", {},
      make("div", { class: "tools" }, this.filter, this.chips, this.place, make("span", { class: "grow" }), download("trials", "csv", "CSV"), download("trials", "json", "JSON"), download("reports", "csv", "Reports as CSV")), host);
    this.table = new TableView(host, {
      open: (trial) => change({ trial: String(trial) }), format: words, marked: (trial) => trial === run.panel?.trial,
      changed: (found, all) => { this.place.textContent = found === all ? count(all, "trial") : `${found.toLocaleString("en")} of ${count(all, "trial")}`; },
    });
    [this.table.sorted, this.table.down] = [Number(parameters.get("sort") ?? 0) || 0, parameters.get("down") === "1"];
    const sort = this.table.sort.bind(this.table);
    this.table.sort = (...given) => { sort(...given); change({ sort: String(this.table.sorted), down: this.table.down ? "1" : "" }, true); };
    this.reset();
  }

  reset() {
    const { trials } = this.run;
    if (!trials.columns.length) return;
    this.table.reset(trials.columns, trials.rows, trials.numeric);
    this.search();
  }

  search() {
    const inStates = this.states.size ? new Set(this.run.trials.rows.filter((row) => this.states.has(row[1])).map((row) => row[0])) : null;
    this.table.search(this.filter.value, inStates);
  }

  show() {
    const counts = this.run.summary?.counts ?? {};
    for (const state of STATES) {
      let chip = this.chips.querySelector(`[data-state="${state}"]`);
      const wanted = counts[state] || this.states.has(state);
      if (!wanted) { chip?.remove(); continue; }
      if (!chip) {
        chip = make("button", { type: "button", class: state, "data-state": state });
        chip.addEventListener("click", () => {
          if (!this.states.delete(state)) this.states.add(state);
          change({ states: [...this.states].join(",") }, true);
          this.show();
        });
        this.chips.append(chip);
      }
      chip.textContent = `${state} ${number(counts[state] ?? 0, 9)}`;
      chip.setAttribute("aria-pressed", String(this.states.has(state)));
    }
    if (this.states.size) this.search();
    else if (this.table.within) this.table.search(this.filter.value, null);
    else this.table.refresh();
  }

  routed() {
    this.table.refresh();
  }
}
