// One trial at the side of the page.

import { make, number, words } from "./format.js";
import { trialControls } from "./control.js";
import { change, link } from "./route.js";
import { pairs, pill, replaced } from "./shared.js";

export class TrialPanel {
  constructor(run) {
    this.run = run;
    this.trial = null;
    this.content = make("div", {});
    this.shut = make("button", { type: "button", "aria-label": "Close the trial", onclick: () => this.leave() }, "✕");
    this.title = make("h2", { tabindex: "-1" });
    this.element = make("aside", { class: "side", hidden: true, "aria-label": "Trial" }, make("div", { class: "head" }, this.title, make("span", { class: "grow" }), this.shut), this.content);
    this.element.addEventListener("keydown", (event) => { if (event.key === "Escape") this.leave(); });
  }

  open(trial) {
    if (trial === this.trial) return;
    if (this.trial === null && trial !== null) this.before = document.activeElement;
    this.trial = trial;
    this.element.hidden = trial === null;
    delete this.content.dataset.key;
    this.show();
    if (trial !== null) this.title.focus({ preventScroll: true });
  }

  leave() {
    change({ trial: "" });
    if (this.before?.isConnected) this.before.focus({ preventScroll: true });
  }

  show() {
    const { run, trial } = this;
    if (trial === null) return;
    const { trials } = run, row = trials.row(trial);
    this.title.textContent = `Trial ${trial}`;
    replaced(this.content, row ?? null, () => {
      if (!row) return [make("p", { class: "soft" }, trials.columns.length ? "There is no such trial." : "…")];
      const text = (value) => (typeof value === "number" ? number(value, 8) : words(value));
      const part = ([first, many]) => trials.columns.slice(first, first + many).map((name, index) => [name, text(row[first + index])]).filter(([, value]) => value !== "");
      const rest = trials.columns.map((name, index) => [name, text(row[index])]).slice(trials.parameters[0] + trials.parameters[1]).filter(([name, value]) => value !== "" && name !== "reason");
      const reason = row[row.length - 1];
      return [
        make("p", {}, pill(row[1])), reason ? make("p", { class: "soft" }, reason) : null,
        ...(part(trials.metrics).length ? [make("h3", {}, "Metrics"), pairs(part(trials.metrics))] : []),
        make("h3", {}, "Parameters"), pairs(part(trials.parameters)),
        make("h3", {}, "Course"), pairs(rest),
        make("p", {}, make("a", { href: link(["run", run.id], { tab: "logs", log: String(trial) }) }, "What it printed")),
        trialControls(run, trial, row[1]),
      ].filter(Boolean);
    });
  }
}
