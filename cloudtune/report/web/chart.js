// A chart with two axes on a canvas: legend, hover, zoom, keyboard, and its data as a table.

import { make, number, short } from "./format.js";
import { along, draw, palette, symbol, targets } from "./marks.js";
import { domainOf, scale, ticks } from "./scales.js";

const FONT = "12px system-ui, sans-serif";
const REACH = 24; // pixels within which a point is found by the pointer
const MOST_ROWS = 500; // of the table of a chart's data

/** A canvas as sharp as the screen, cleared. */
export function prepared(canvas, width, height, sharpness = devicePixelRatio) {
  canvas.width = Math.round(width * sharpness);
  canvas.height = Math.round(height * sharpness);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.setTransform(sharpness, 0, 0, sharpness, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/** The note beside the pointer: lines of text, the first of them the title. */
export class Note {
  constructor(host) {
    this.host = host;
    this.element = make("div", { class: "note", hidden: true });
    host.append(this.element);
  }

  show(lines, x, y) {
    const [title, ...rest] = lines;
    this.element.replaceChildren(make("b", {}, title), ...rest.map((line) => make("span", {}, line)));
    this.element.hidden = false;
    const { clientWidth: width, clientHeight: height } = this.element, room = this.host.clientWidth;
    const left = x + 14 + width > room ? Math.max(0, x - width - 14) : x + 14;
    this.element.style.transform = `translate(${left}px, ${Math.max(0, y - height / 2)}px)`;
  }

  hide() {
    this.element.hidden = true;
  }
}

export class ChartView {
  /**
   * @param host the element of the chart
   * @param describe returns the lines about a trial
   * @param open called with the number of a trial that is chosen; none for charts whose trials cannot be opened
   */
  constructor(host, { describe, open, captioned = true } = {}) {
    [this.host, this.describe, this.open] = [host, describe, open];
    this.hidden = new Set();
    this.caption = make("figcaption", {});
    this.legend = make("div", { class: "legend" });
    this.whole = make("button", { type: "button", class: "whole", hidden: true, onclick: () => this.showAll() }, "Show all");
    this.bar = make("div", { class: "bar" }, this.legend, this.whole);
    this.canvas = make("canvas", { tabindex: "0", role: "img" });
    this.overlay = make("canvas", { class: "overlay", "aria-hidden": "true" });
    this.plot = make("div", { class: "plot" }, this.canvas, this.overlay);
    this.note = new Note(this.plot);
    this.said = make("p", { class: "unseen", "aria-live": "polite" });
    this.table = make("details", { class: "data" }, make("summary", {}, "Data as a table"), make("div", { class: "scroll", tabindex: "0" }));
    this.table.addEventListener("toggle", () => this.fillTable());
    host.replaceChildren(...(captioned ? [this.caption] : []), this.bar, this.plot, this.said, this.table);
    this.listen();
  }

  update(chart) {
    this.chart = chart;
    this.caption.textContent = chart.caption;
    this.canvas.setAttribute("aria-label", chart.caption);
    this.drawLegend();
    this.redraw();
    if (this.table.open) this.fillTable();
  }

  redraw(sharpness) {
    const { chart } = this;
    if (!chart || !this.host.clientWidth) return;
    this.colours = palette(this.host);
    const width = this.plot.clientWidth, height = chart.height - (chart.legend ? 24 : 0);
    this.plot.style.height = `${height}px`;
    const context = prepared(this.canvas, width, height, sharpness);
    prepared(this.overlay, width, height);
    const shown = chart.series.filter((series) => !this.hidden.has(series.name));
    const domains = Object.fromEntries(["x", "y"].map((name) => [name, this.domain(name, shown)]));
    this.frame(context, width, height, domains);
    const { left, top, right, bottom } = this.area;
    context.save();
    context.beginPath();
    context.rect(left - 6, top - 6, right - left + 12, bottom - top + 12);
    context.clip();
    const bars = chart.series.filter((series) => series.mark === "bars");
    for (const series of shown) draw(context, series, this.X, this.Y, this.colours, { slot: bars.indexOf(series), slots: bars.length });
    context.restore();
    [this.shown, this.found] = [shown, null];
    this.whole.hidden = !this.zoom && !this.cuts(domains);
    this.whole.textContent = this.zoom ? "Back" : "Show all";
    this.bar.hidden = this.whole.hidden && !this.legend.children.length;
  }

  domain(name, shown) {
    if (this.zoom?.[name]) return this.zoom[name];
    const axis = this.chart[name], kind = axis.kind ?? "linear";
    function* all() { for (const series of shown) yield* along(series, name); }
    if (kind === "linear" && axis.ticks && !axis.limits) return [-0.5, axis.ticks.length - 0.5]; // rows with names
    return domainOf(kind, axis.limits, axis.limits ? [] : all());
  }

  /** Whether values lie outside of what is shown. */
  cuts(domains) {
    return ["x", "y"].some((name) => {
      const [low, high] = domains[name];
      if (!this.chart[name].limits) return false;
      for (const series of this.chart.series) {
        if (series.mark !== "boxes") for (const value of along(series, name)) if (value !== null && (value < low || value > high)) return true;
      }
      return false;
    });
  }

  showAll() {
    if (this.zoom) this.zoom = null;
    else {
      const all = (name) => domainOf(this.chart[name].kind ?? "linear", null, this.chart.series.flatMap((series) => [...along(series, name)]));
      this.zoom = Object.fromEntries(["x", "y"].filter((name) => this.chart[name].limits).map((name) => [name, all(name)]));
    }
    this.redraw();
  }

  /** Axes, grid, ticks and titles; sets the area of the plot and its scales. */
  frame(context, width, height, domains) {
    const { x, y } = this.chart, { colours } = this;
    context.font = FONT;
    const top = 10, bottom = height - (x.title ? 44 : 26);
    const up = ticks(y, domains.y, Math.max(2, Math.floor((bottom - top) / 38)));
    const widest = Math.max(0, ...up.map(([, text]) => context.measureText(text).width));
    const left = Math.min(width * 0.42, 12 + (y.title ? 20 : 0) + widest), right = width - 12;
    const across = ticks(x, domains.x, Math.max(2, Math.floor((right - left) / 90)));
    this.area = { left, top, right, bottom };
    this.X = scale(x.kind, domains.x, [left, right]);
    this.Y = scale(y.kind, y.kind === "rows" ? [domains.y[1], domains.y[0]] : domains.y, [bottom, top]);
    context.strokeStyle = colours.line;
    context.fillStyle = colours.soft;
    context.lineWidth = 1;
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const [value, text] of up) {
      const at = Math.round(this.Y(value)) + 0.5;
      if (at < top - 1 || at > bottom + 1) continue;
      line(context, left, at, right, at);
      context.fillText(text, left - 7, at, left - 8);
    }
    context.textAlign = "center";
    context.textBaseline = "top";
    let free = -Infinity;
    for (const [value, text] of across) {
      const at = Math.round(this.X(value)) + 0.5, half = context.measureText(text).width / 2;
      if (at < left - 1 || at > right + 1) continue;
      line(context, at, top, at, bottom);
      const place = Math.min(Math.max(at, half + 2), width - half - 2);
      if (place - half < free) continue;
      free = place + half + 8;
      context.fillText(text, place, bottom + 7);
    }
    context.fillStyle = colours.ink;
    if (x.title) context.fillText(x.title, (left + right) / 2, bottom + 25, right - left);
    if (y.title) {
      context.save();
      context.translate(4, (top + bottom) / 2);
      context.rotate(-Math.PI / 2);
      context.fillText(y.title, 0, 0, bottom - top);
      context.restore();
    }
  }

  /** What can be pointed at, from the left; found out when somebody points. */
  get points() {
    if (this.found || !this.shown) return this.found;
    const found = [];
    for (const series of this.shown) {
      for (const [x, y, trial, low, high] of targets(series)) {
        const spread = low === undefined ? null : [this.X(low), this.X(high)];
        found.push({ x: this.X(x), y: this.Y(y), values: [x, y], trial, series, spread });
      }
    }
    this.found = found.sort((one, other) => one.x - other.x);
    return found;
  }

  drawLegend() {
    const { chart } = this, seen = new Map();
    if (chart.legend) for (const series of chart.series) if (series.name && !seen.has(series.name)) seen.set(series.name, series);
    const names = [...seen.keys()].join("\n");
    if (names === this.names) return;
    this.names = names;
    this.legend.replaceChildren(...[...seen].map(([name, series]) => {
      const swatch = make("canvas", { "aria-hidden": "true" });
      const button = make("button", { type: "button", "aria-pressed": String(!this.hidden.has(name)) }, swatch, name);
      button.addEventListener("click", () => {
        if (!this.hidden.delete(name)) this.hidden.add(name);
        button.setAttribute("aria-pressed", String(!this.hidden.has(name)));
        this.redraw();
      });
      button.paint = () => sample(swatch, series, palette(this.host));
      button.paint();
      return button;
    }));
  }

  /** Draw again in other colours or another width. */
  recolour() {
    for (const button of this.legend.children) button.paint();
    this.redraw();
  }

  // Pointing, zooming, keys

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointermove", (event) => this.point(event));
    canvas.addEventListener("pointerleave", () => this.leave());
    canvas.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "mouse" && event.button === 0) this.from = [event.offsetX, event.offsetY];
    });
    addEventListener("pointerup", (event) => this.release(event));
    canvas.addEventListener("dblclick", () => this.showAll());
    canvas.addEventListener("click", (event) => {
      if (event.pointerType === "touch") this.point(event);
      else if (this.at && this.at.trial !== undefined && !this.dragged) this.open?.(this.at.trial);
    });
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => this.leave());
  }

  point(event) {
    if (!this.points) return;
    const [x, y] = [event.offsetX, event.offsetY];
    if (this.from) {
      this.dragged = Math.hypot(x - this.from[0], y - this.from[1]) > 6;
      if (this.dragged) return this.box(x, y);
    }
    this.show(this.nearest(x, y));
  }

  nearest(x, y) {
    let found = null, least = REACH;
    for (const point of this.points) {
      if (point.spread) {
        if (x >= point.spread[0] && x <= point.spread[1] && Math.abs(y - point.y) < Math.max(8, Math.abs(this.Y(1) - this.Y(0)) / 2)) return point;
        continue;
      }
      if (point.x < x - REACH || point.x > x + REACH) continue;
      const distance = Math.hypot(point.x - x, point.y - y);
      if (distance < least) [found, least] = [point, distance];
    }
    return found;
  }

  show(point) {
    if (point === this.at) return;
    this.at = point;
    const context = prepared(this.overlay, this.plot.clientWidth, parseFloat(this.plot.style.height));
    this.canvas.style.cursor = point && this.open && point.trial !== undefined ? "pointer" : "";
    if (!point) return this.note.hide();
    const colour = this.colours[point.series.colour ?? "blue"];
    if (point.series.mark === "line") draw(context, { ...point.series, size: 3, opacity: 1 }, this.X, this.Y, this.colours, {});
    if (!point.spread) ring(context, point.x, point.y, this.colours.ground, colour);
    this.note.show(this.linesOf(point), point.x, point.y);
  }

  linesOf(point) {
    const { x, y } = this.chart;
    if (point.trial === undefined) {
      const row = y.ticks?.[point.values[1]]?.[1];
      return [row ?? point.series.name ?? "", `${x.title || "x"}: ${number(point.values[0])}`];
    }
    const own = point.series.mark === "line" ? [`${x.title} ${number(point.values[0])}: ${number(point.values[1])}`] : [];
    const [title, ...rest] = this.describe?.(point.trial) ?? [`trial ${point.trial}`];
    return [title, ...own, ...rest].map((text) => short(text, 70));
  }

  leave() {
    this.show(null);
    this.from = null;
  }

  box(x, y) {
    this.note.hide();
    const context = prepared(this.overlay, this.plot.clientWidth, parseFloat(this.plot.style.height));
    context.fillStyle = context.strokeStyle = this.colours.blue;
    context.globalAlpha = 0.15;
    context.fillRect(...this.from, x - this.from[0], y - this.from[1]);
    context.globalAlpha = 0.8;
    context.strokeRect(...this.from, x - this.from[0], y - this.from[1]);
    this.to = [x, y];
  }

  release() {
    const { from, to } = this;
    [this.from, this.to] = [null, null];
    if (!from || !to) return;
    setTimeout(() => { this.dragged = false; });
    const spans = [0, 1].map((axis) => [from[axis], to[axis]].sort((one, other) => one - other));
    if (spans.some(([low, high]) => high - low < 8)) return this.redraw();
    const across = spans[0].map(this.X.invert), up = spans[1].map(this.Y.invert).sort((one, other) => one - other);
    this.zoom = { x: across, y: up };
    this.redraw();
  }

  key(event) {
    const steps = { ArrowRight: 1, ArrowLeft: -1 }, points = this.points?.filter((point) => point.trial !== undefined) ?? [];
    if (event.key === "Escape") this.leave();
    else if (event.key === "0") this.showAll();
    else if (event.key === "Enter" && this.at?.trial !== undefined) this.open?.(this.at.trial);
    else if (event.key in steps && points.length) {
      const place = points.indexOf(this.at);
      const next = points[(place + steps[event.key] + points.length) % points.length] ?? points[0];
      this.show(place < 0 ? points[0] : next);
      this.said.textContent = this.linesOf(this.at).join("; ");
      event.preventDefault();
    }
  }

  // The data as a table, for those who do not see the drawing

  fillTable() {
    if (!this.table.open || !this.chart) return;
    const { x, y, series } = this.chart, named = (axis, value) => axis.ticks?.find(([at]) => at === value)?.[1] ?? number(value);
    const rows = [];
    for (const each of series) for (const [across, up, trial] of targets(each)) rows.push([each.name ?? "", trial ?? "", named(x, across), named(y, up)]);
    const body = rows.slice(0, MOST_ROWS).map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, String(cell)))));
    const head = ["series", "trial", x.title || "x", y.title || "y"].map((text) => make("th", { scope: "col" }, text));
    const more = rows.length > MOST_ROWS ? `The first ${MOST_ROWS} of ${rows.length.toLocaleString("en")} rows.` : "";
    this.table.lastElementChild.replaceChildren(make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body)), more);
  }
}

function line(context, x1, y1, x2, y2) {
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
}

function ring(context, x, y, inside, colour) {
  context.beginPath();
  context.arc(x, y, 6, 0, 2 * Math.PI);
  context.lineWidth = 5;
  context.strokeStyle = inside;
  context.stroke();
  context.lineWidth = 2.5;
  context.strokeStyle = colour;
  context.stroke();
}

/** The look of a series in a legend. */
function sample(canvas, series, colours) {
  const context = prepared(canvas, 18, 12), colour = colours[series.colour ?? "blue"];
  if (series.mark === "points") symbol(context, { ...series, size: 8 }, colour, 9, 6);
  else if (series.mark === "line" || series.mark === "steps") {
    draw(context, { ...series, mark: "line", x: [0, 18], y: [6, 6], size: Math.max(series.size ?? 2, 1.6), opacity: 1 }, (value) => value, (value) => value, colours, {});
  } else {
    context.fillStyle = colour;
    context.fillRect(2, 1, 14, 10);
  }
}
