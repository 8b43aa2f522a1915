// One run, live: its summary, and a tab each for charts, trials, parameters, times, logs, plan and events.

import { Stream } from "./connection.js";
import { ChartSlots } from "./chart_slots.js";
import { controls } from "./control.js";
import { duration, make, moment, number, words } from "./format.js";
import { LogTab } from "./log_tab.js";
import { planTab } from "./plan_tab.js";
import { change, link, route } from "./route.js";
import { pairs, pill, replaced, shares } from "./shared.js";
import { TrialPanel } from "./trial_panel.js";
import { TrialTab } from "./trial_tab.js";
import { Trials } from "./trials.js";

const TABS = [["overview", "Overview"], ["trials", "Trials"], ["parameters", "Parameters"], ["model", "Model"], ["time", "Time and cost"], ["logs", "Logs"], ["plan", "Plan"], ["events", "Events"]];

export class RunView {
  constructor(host, page, id) {
    [this.host, this.page, this.id] = [host, page, id];
    this.trials = new Trials({ columns: [], metrics: [0, 0], parameters: [0, 0], cost: null, rows: [] });
    this.events = [];
    this.version = "";
    this.head = make("div", {});
    this.actions = make("div", { class: "actions" });
    this.problem = make("p", { class: "warn", hidden: true });
    this.tabs = make("nav", { class: "tabs", "aria-label": "Parts of the run" });
    this.body = make("div", {});
    this.panel = new TrialPanel(this);
    host.replaceChildren(this.head, this.problem, this.tabs, this.body, this.panel.element);
    this.routed();
  }

  /** The place has changed within the run. */
  routed() {
    const { parameters } = route(), tab = TABS.some(([name]) => name === parameters.get("tab")) ? parameters.get("tab") : "overview";
    const log = tab === "logs" ? parameters.get("log") : null;
    this.tabs.replaceChildren(...TABS.map(([name, title]) => make("a", { href: link(["run", this.id], { tab: name, trial: parameters.get("trial") }), ...(name === tab ? { "aria-current": "page" } : {}) }, title)));
    if (tab !== this.tab) {
      this.tab = tab;
      this.content?.close?.();
      this.slots?.close();
      this.slots = new ChartSlots(this.id, { describe: (trial) => this.trials.describe(trial), open: (trial) => change({ trial: String(trial) }), select: (chosen) => { this.chosen = chosen; } });
      this.content = this.opened(tab);
      this.body.replaceChildren(this.content.element);
      this.slots.changed(this.version);
    }
    if (!this.stream || log !== this.log) {
      this.log = log;
      const last = this.stream?.last ?? "";
      this.stream?.close();
      const parameters = [["run", this.id], ...(log ? [["log", this.id], ["trial", log]] : [])];
      this.stream = new Stream(parameters, (kind, data) => this.heard(kind, data), this.page.connected);
      if (last && this.trials.columns.length) this.stream.last = last.replace(/~log=.*/, "");
    }
    this.content.routed?.(parameters);
    this.panel.open(parameters.has("trial") ? Number(parameters.get("trial")) : null);
    const title = TABS.find(([name]) => name === tab)[1];
    document.title = `${this.id} · ${title} · cloudtune`;
  }

  opened(tab) {
    const { slots } = this;
    const single = !(this.summary?.objective.length > 1);
    const cards = (...children) => ({ element: make("div", { class: "grid" }, ...children) });
    if (tab === "trials") return new TrialTab(this);
    if (tab === "logs") return new LogTab(this);
    if (tab === "plan") return planTab(this.id);
    if (tab === "events") return { element: this.list = make("ul", { class: "events" }), show: () => this.showEvents(this.list, this.events) };
    if (tab === "parameters") return cards(slots.card("parallel", "Parallel coordinates", { full: true }), slots.card("importance", "Importance", { full: single }), ...(single ? [] : [slots.card("front", "Pareto front")]), slots.card("slices", "Each parameter", { full: true }));
    if (tab === "time") return cards(slots.card("timeline", "Timeline", { full: true }), slots.card("cost", "Cost", { full: true }));
    if (tab === "model") return cards(slots.card("model", "The model’s view", { full: true }));
    this.best = make("section", { class: "card" }, make("h2", {}, "Best"));
    this.recent = make("ul", { class: "events" });
    return {
      ...cards(slots.card("history", "Objective over time", { full: true }), slots.card("curves", "Learning curves"), make("div", { class: "stack" }, this.best, slots.card("importance", "Importance")), make("section", { class: "card full" }, make("h2", {}, "What happened last"), this.recent)),
      show: () => { this.showBest(); this.showEvents(this.recent, this.events.slice(-8)); },
    };
  }

  heard(kind, data) {
    if (kind === "log") return this.content.lines?.(data);
    if (kind === "problem") {
      [this.problem.textContent, this.problem.hidden] = [data.problem, !data.problem];
      return;
    }
    if (kind !== "run") return;
    if (data.table) {
      this.trials.reset(data.table);
      this.events = [];
      this.content.reset?.();
    }
    if (data.rows) this.trials.take(data.rows);
    if (data.events) this.events = [...this.events, ...data.events].slice(-500);
    if (data.summary) {
      const first = !this.summary && this.tab === "parameters";
      this.summary = data.summary;
      if (first) this.tab = null;
      if (first) this.routed(); // how many objectives there are decides which charts
    }
    this.version = data.version;
    this.slots.changed(this.version);
    this.waiting ??= requestAnimationFrame(() => { this.waiting = undefined; this.show(); });
  }

  show() {
    if (!this.summary) return;
    this.showHead();
    this.content.show?.();
    this.panel.show();
  }

  showHead() {
    const { summary } = this;
    replaced(this.head, [summary, this.page.about?.control], () => {
      const { objective, counts, total, best } = summary;
      const done = Object.entries(counts).filter(([state]) => !["running", "waiting", "paused"].includes(state)).reduce((sum, [, many]) => sum + many, 0);
      const stat = (term, text, more = "", extra = null, wide = false) => make("div", { class: wide ? "stat wide" : "stat" }, make("dt", {}, term), make("dd", {}, text, more ? make("small", {}, ` ${more}`) : null, extra));
      const linkTo = (trial) => make("a", { href: link(["run", this.id], { tab: this.tab, trial: String(trial) }) }, `trial ${trial}`);
      const sub = summary.best_trial === null ? null : make("small", { class: "below" }, linkTo(summary.best_trial));
      return [
        make("div", { class: "head" }, make("h1", {}, summary.name), pill(summary.state), make("span", { class: "id" }, summary.id), make("span", { class: "badge" }, summary.where), make("span", { class: "grow" }), controls(this)),
        summary.reason ? make("p", { class: "reason" }, summary.reason) : null,
        summary.seen ? make("p", { class: "reason warn" }, summary.seen) : null,
        make("dl", { class: "stats" },
          stat(objective.length > 1 ? "Pareto front" : `best ${objective[0][0]} (${objective[0][1]}d)`, best.replace(`${objective[0][0]} = `, "") || "none yet", "", sub, objective.length > 1),
          stat("trials", done.toLocaleString("en"), `${total ? `of ${total.toLocaleString("en")}` : ""}${counts.running ? ` · ${counts.running} running` : ""}`, shares(counts, total), true),
          stat("took", duration(summary.elapsed), summary.left ? `about ${duration(summary.left)} left` : ""),
          summary.cost ? stat("cost", summary.cost) : null,
          stat("strategy", summary.facts.find(([term]) => term === "strategy")?.[1] ?? "", summary.mode)),
        summary.nothing ? make("p", { class: "warn" }, summary.nothing) : null,
        summary.enqueued.length ? make("p", { class: "soft" }, `Enqueued: ${summary.enqueued.map((given) => Object.entries(given).map(([name, value]) => `${name}=${words(value)}`).join(" ")).join("; ")}`) : null,
      ].filter(Boolean);
    });
  }

  showBest() {
    const { best_trial: trial, best_parameters: parameters, front, strategy } = this.summary;
    replaced(this.best, [trial, parameters, front, strategy], () => [
      make("h2", {}, front.length ? "Pareto front" : trial === null ? "Best" : `Best: trial ${trial}`),
      front.length ? make("p", {}, ...front.slice(0, 40).map((each) => make("a", { href: link(["run", this.id], { tab: "overview", trial: String(each) }), class: "mono" }, ` ${each} `)))
        : trial === null ? make("p", { class: "empty" }, "No trial has ended well yet.")
          : pairs(Object.entries(parameters).map(([name, value]) => [name, typeof value === "number" ? number(value) : String(value)])),
      make("h3", {}, "Strategy"), make("p", { class: "soft" }, strategy),
    ]);
  }

  showEvents(list, events) {
    replaced(list, events, () => [...events].reverse().map(([when, trial, message]) => make("li", {}, make("time", {}, moment(when)), make("span", {}, trial === null ? "" : make("a", { href: link(["run", this.id], { tab: this.tab, trial: String(trial) }) }, `trial ${trial}`), trial === null ? message : ` ${message}`))));
  }

  recolour() {
    this.slots.recolour();
  }

  close() {
    this.stream.close();
    this.slots.close();
    this.content.close?.();
  }
}
