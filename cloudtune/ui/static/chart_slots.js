// The charts of a run: those in sight are brought up to date, no faster than the server draws them.

import { ask } from "./connection.js";
import { ChartView } from "./chart.js";
import { make } from "./format.js";
import { ParallelView } from "./parallel.js";

const PAUSE = 1000; // fewest milliseconds between two updates of a chart
const SHARE = 8; // a chart that takes long is drawn again after so many times its time

export class ChartSlots {
  constructor(run, ways) {
    [this.run, this.ways] = [run, ways];
    this.slots = new Map();
    this.version = "";
    this.sight = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        const slot = [...this.slots.values()].find((each) => each.host === entry.target);
        if (slot) slot.seen = entry.isIntersecting;
      }
      this.soon();
    }, { rootMargin: "200px" });
  }

  /** A card that shows the charts of a name. */
  card(name, title, { full = false, note = "" } = {}) {
    const body = make("div", { class: "body" }, make("p", { class: "empty" }, "…"));
    const host = make("section", { class: full ? "card full" : "card" }, make("h2", {}, title), note ? make("p", { class: "caption" }, note) : null, body);
    this.slots.set(name, { name, host, body, views: [], version: "", due: 0, seen: false });
    this.sight.observe(host);
    return host;
  }

  changed(version) {
    this.version = version;
    this.soon();
  }

  soon() {
    if (this.closed || this.busy) return;
    const now = performance.now(), stale = [...this.slots.values()].filter((slot) => slot.seen && slot.version !== this.version && this.version);
    clearTimeout(this.timer);
    if (!stale.length) return;
    const next = stale.reduce((one, other) => (other.due < one.due ? other : one));
    if (next.due <= now) this.fetch(next);
    else this.timer = setTimeout(() => this.soon(), next.due - now);
  }

  async fetch(slot) {
    this.busy = true;
    const version = this.version;
    try {
      const found = await ask("/api/charts", [["run", this.run], ["name", slot.name], ["since", slot.version]]);
      slot.version = found ? found.version : version;
      slot.due = performance.now() + Math.max(PAUSE, SHARE * 1000 * (found?.took ?? 0));
      if (found && !this.closed) this.show(slot, found.charts[slot.name]);
    } catch (error) {
      slot.due = performance.now() + 5000;
      if (!slot.views.length) slot.body.replaceChildren(make("p", { class: "empty" }, error.message));
    } finally {
      this.busy = false;
      this.soon();
    }
  }

  show(slot, { charts, text, caption, columns, rows }) {
    const kinds = charts.map(([title, chart]) => `${chart.kind}${title}`).join("\n");
    if (kinds !== slot.kinds) {
      slot.kinds = kinds;
      slot.text = make("p", { class: "caption" });
      slot.table = make("div", { class: "scroll" });
      slot.caption = make("p", { class: "caption" });
      const many = charts.length > 1 && charts[0][1].legend === false;
      const hosts = charts.map(() => make("figure", { class: "chart" }));
      slot.body.replaceChildren(slot.text, slot.table, slot.caption, make("div", { class: many ? "grid three" : "" }, ...hosts));
      slot.views = charts.map(([, chart], index) => (chart.kind === "parallel" ? new ParallelView(hosts[index], this.ways) : new ChartView(hosts[index], { ...this.ways, captioned: !many })));
    }
    slot.text.textContent = text || (charts.length ? "" : "Nothing to show yet.");
    slot.caption.textContent = caption ?? "";
    slot.text.hidden = !slot.text.textContent;
    slot.caption.hidden = !caption;
    slot.table.hidden = !rows?.length;
    if (rows?.length) {
      const head = make("tr", {}, ...columns.map((column) => (column ? make("th", { scope: "col" }, column) : make("td", {}))));
      slot.table.replaceChildren(make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, cell)))))));
    }
    charts.forEach(([, chart], index) => slot.views[index].update(chart));
  }

  recolour() {
    for (const slot of this.slots.values()) for (const view of slot.views) view.recolour();
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.sight.disconnect();
  }
}
