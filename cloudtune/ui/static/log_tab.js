// What a trial prints, as it prints it.

import { make } from "./format.js";
import { change } from "./route.js";

const MOST = 5000; // lines in the page

export class LogTab {
  constructor(run) {
    this.run = run;
    this.pick = make("input", { type: "number", min: "0", id: "log-trial", inputmode: "numeric" });
    this.pick.addEventListener("change", () => change({ log: this.pick.value }));
    this.following = make("input", { type: "checkbox", checked: true, id: "log-follow" });
    this.state = make("span", { class: "soft", role: "status" });
    this.log = make("pre", { class: "log", tabindex: "0", role: "log", "aria-live": "off", "aria-label": "What the trial printed" });
    this.element = make("div", {},
      make("div", { class: "tools" }, make("label", { for: "log-trial" }, "Trial "), this.pick, make("label", { for: "log-follow" }, this.following, " follow"), this.state), this.log);
    this.log.addEventListener("scroll", () => {
      const below = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight;
      if (below > 60 && !this.jumped) this.following.checked = false;
      this.jumped = false;
    }, { passive: true });
  }

  routed(parameters) {
    const trial = parameters.get("log");
    if (!trial) return this.choose();
    if (trial === this.trial) return;
    this.trial = trial;
    this.pick.value = trial;
    this.log.replaceChildren();
    this.state.textContent = "…";
    this.count = 0;
  }

  /** Begin with the last trial that failed or runs. */
  choose() {
    const { rows } = this.run.trials, of = (state) => rows.findLast((row) => row[1] === state);
    const row = of("running") ?? of("failed") ?? rows.findLast((each) => each[1] !== "waiting");
    if (row) change({ log: String(row[0]) }, true);
    if (row) this.run.routed();
  }

  show() {
    if (!this.trial) this.choose();
  }

  lines({ trial, lines, left_out: leftOut, over, problem }) {
    if (String(trial) !== this.trial) return;
    if (leftOut) this.log.append(make("span", { class: "soft" }, `[${leftOut.toLocaleString("en")} earlier lines are left out]\n`));
    if (lines.length) this.log.append(lines.map((line) => `${line}\n`).join(""));
    this.count += lines.length;
    while (this.log.childNodes.length > 400 || (this.count > MOST && this.log.childNodes.length > 1)) {
      this.count -= this.log.firstChild.textContent.split("\n").length - 1;
      this.log.firstChild.remove();
    }
    this.state.textContent = problem || (over ? "the end" : "follows");
    if (this.following.checked) {
      this.jumped = true;
      this.log.scrollTop = this.log.scrollHeight;
    }
  }
}
