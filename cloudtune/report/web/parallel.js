// Parallel coordinates on a canvas: each trial a line through its values; a drag along an axis selects.

import { make, number, short } from "./format.js";
import { Note, prepared } from "./chart.js";
import { palette } from "./marks.js";
import { ticks } from "./scales.js";

const LIGHT = [[246, 205, 60], [33, 165, 138], [40, 120, 181], [52, 46, 130]]; // from the worst to the best
const DARK = [[70, 66, 150], [40, 120, 181], [33, 175, 146], [250, 222, 90]];
const REACH = 10;

/** The colour of a shade from 0 to 1, between those of a scale. */
function mixed(stops, shade) {
  const at = Math.min(Math.max(shade, 0), 1) * (stops.length - 1), index = Math.min(Math.floor(at), stops.length - 2), part = at - index;
  return `rgb(${stops[index].map((value, channel) => Math.round(value + part * (stops[index + 1][channel] - value))).join(",")})`;
}

export class ParallelView {
  /** @param select called with the numbers of the selected trials; null for no selection */
  constructor(host, { describe, open, select } = {}) {
    [this.host, this.describe, this.open, this.select] = [host, describe, open, select];
    this.brushes = new Map();
    this.caption = make("figcaption", {});
    this.clear = make("button", { type: "button", class: "whole", hidden: true, onclick: () => this.unselect() }, "Clear the selection");
    this.state = make("span", { class: "soft", "aria-live": "polite" });
    this.canvas = make("canvas", { role: "img", tabindex: "0" });
    this.overlay = make("canvas", { class: "overlay", "aria-hidden": "true" });
    this.plot = make("div", { class: "plot wide" }, this.canvas, this.overlay);
    this.scroll = make("div", { class: "scroll" }, this.plot);
    this.note = new Note(this.plot);
    host.replaceChildren(this.caption, make("div", { class: "bar" }, this.state, this.clear), this.scroll);
    this.listen();
  }

  update(chart) {
    this.chart = chart;
    this.caption.textContent = chart.caption;
    this.canvas.setAttribute("aria-label", chart.caption);
    for (const label of this.brushes.keys()) if (!chart.axes.some((axis) => axis.label === label)) this.brushes.delete(label);
    this.redraw();
  }

  recolour() {
    this.redraw();
  }

  redraw(sharpness) {
    const { chart } = this;
    if (!chart || !this.host.clientWidth) return;
    this.colours = palette(this.host);
    this.stops = getComputedStyle(this.host).getPropertyValue("--dark").trim() === "1" ? DARK : LIGHT;
    const width = Math.max(this.scroll.clientWidth, chart.axes.length * 84), height = chart.height;
    this.plot.style.width = `${width}px`;
    this.plot.style.height = `${height}px`;
    this.size = [width, height];
    const slanted = width / chart.axes.length < 120;
    [this.top, this.bottom] = [slanted ? 74 : 40, height - 14];
    const [left, right] = [48, width - 76];
    this.across = chart.axes.map((_, index) => left + (index * (right - left)) / Math.max(chart.axes.length - 1, 1));
    const context = prepared(this.canvas, width, height, sharpness);
    prepared(this.overlay, width, height);
    this.lines(context);
    this.axes(context, slanted);
    this.showBrushes();
    this.told();
  }

  y(axis, value) {
    const [low, high] = axis.limits[0] < axis.limits[1] ? axis.limits : [axis.limits[0] - 0.5, axis.limits[1] + 0.5];
    return this.bottom - ((Math.min(Math.max(value, low), high) - low) / (high - low)) * (this.bottom - this.top);
  }

  chosen(index) {
    return [...this.brushes].every(([label, [low, high]]) => {
      const axis = this.chart.axes.find((each) => each.label === label), y = this.y(axis, axis.values[index]);
      return y >= low && y <= high;
    });
  }

  lines(context) {
    const { trials, shades } = this.chart, many = trials.length > 300;
    const all = trials.map((_, index) => index), inside = all.filter((index) => this.chosen(index));
    if (inside.length < all.length) {
      context.globalAlpha = many ? 0.25 : 0.4;
      context.strokeStyle = this.colours.line;
      context.lineWidth = 1;
      for (const index of all) this.line(context, index);
    }
    context.globalAlpha = many ? 0.5 : 0.75;
    context.lineWidth = many ? 1 : 1.4;
    for (const index of inside) {
      context.strokeStyle = mixed(this.stops, shades[index]);
      this.line(context, index);
    }
    context.globalAlpha = 1;
  }

  line(context, index) {
    context.beginPath();
    this.chart.axes.forEach((axis, place) => {
      const x = this.across[place], y = this.y(axis, axis.values[index]);
      if (place) context.lineTo(x, y);
      else context.moveTo(x, y);
    });
    context.stroke();
  }

  axes(context, slanted) {
    const { colours } = this;
    this.chart.axes.forEach((axis, index) => {
      const x = Math.round(this.across[index]) + 0.5;
      context.strokeStyle = colours.soft;
      context.lineWidth = 1;
      context.beginPath();
      context.moveTo(x, this.top);
      context.lineTo(x, this.bottom);
      context.stroke();
      const domain = axis.limits[0] < axis.limits[1] ? axis.limits : [axis.limits[0] - 0.5, axis.limits[1] + 0.5];
      context.font = "11px system-ui, sans-serif";
      context.textBaseline = "middle";
      context.textAlign = "left";
      for (const [value, text] of axis.ticks ?? ticks({ kind: "linear" }, domain, 7)) {
        const y = this.y(axis, value);
        context.lineWidth = 3;
        context.strokeStyle = colours.ground;
        context.strokeText(text, x + 6, y);
        context.fillStyle = colours.ink;
        context.fillText(text, x + 6, y);
        context.strokeStyle = colours.soft;
        context.lineWidth = 1;
        context.beginPath();
        context.moveTo(x - 3, y);
        context.lineTo(x + 3, y);
        context.stroke();
      }
      context.save();
      context.font = "600 12px system-ui, sans-serif";
      context.fillStyle = colours.ink;
      context.translate(x, this.top - 14);
      if (slanted) context.rotate(-Math.PI / 7);
      context.textAlign = slanted ? "left" : "center";
      context.fillText(axis.label, slanted ? -6 : 0, 0);
      context.restore();
    });
  }

  showBrushes() {
    const context = prepared(this.overlay, ...this.size);
    for (const [label, [low, high]] of this.brushes) {
      const x = this.across[this.chart.axes.findIndex((axis) => axis.label === label)];
      context.fillStyle = context.strokeStyle = this.colours.blue;
      context.globalAlpha = 0.22;
      context.fillRect(x - 7, low, 14, high - low);
      context.globalAlpha = 1;
      context.strokeRect(x - 7, low, 14, high - low);
    }
    return context;
  }

  told() {
    const inside = this.chart.trials.filter((_, index) => this.chosen(index));
    this.clear.hidden = !this.brushes.size;
    this.state.textContent = this.brushes.size ? `${inside.length.toLocaleString("en")} of ${this.chart.trials.length.toLocaleString("en")} trials selected` : "";
    const key = this.brushes.size ? inside.join() : "";
    if (key !== this.before) this.select?.(this.brushes.size ? new Set(inside) : null);
    this.before = key;
  }

  unselect() {
    this.brushes.clear();
    this.redraw();
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => {
      const index = this.across?.findIndex((x) => Math.abs(x - event.offsetX) < REACH) ?? -1;
      if (index < 0 || (event.pointerType === "mouse" && event.button !== 0)) return;
      this.drag = { label: this.chart.axes[index].label, from: event.offsetY };
      canvas.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    canvas.addEventListener("pointermove", (event) => (this.drag ? this.brush(event.offsetY) : this.hover(event)));
    canvas.addEventListener("pointerup", (event) => {
      if (!this.drag) return;
      if (Math.abs(event.offsetY - this.drag.from) < 4) this.brushes.delete(this.drag.label);
      this.drag = null;
      this.redraw();
    });
    canvas.addEventListener("pointerleave", () => this.leave());
    canvas.addEventListener("click", () => { if (this.at !== undefined && this.at >= 0) this.open?.(this.chart.trials[this.at]); });
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => this.leave());
  }

  brush(y) {
    const [low, high] = [this.drag.from, y].map((value) => Math.min(Math.max(value, this.top), this.bottom)).sort((one, other) => one - other);
    this.brushes.set(this.drag.label, [low, high]);
    cancelAnimationFrame(this.waiting);
    this.waiting = requestAnimationFrame(() => this.redraw());
  }

  /** The line under the pointer, between the axes on either side. */
  hover({ offsetX: x, offsetY: y }) {
    if (!this.across) return;
    const right = this.across.findIndex((each) => each >= x);
    this.canvas.style.cursor = this.across.some((each) => Math.abs(each - x) < REACH) ? "ns-resize" : "";
    if (right < 1) return this.leave();
    const part = (x - this.across[right - 1]) / (this.across[right] - this.across[right - 1]), [one, other] = this.chart.axes.slice(right - 1, right + 1);
    let found = -1, least = 7;
    this.chart.trials.forEach((_, index) => {
      const distance = Math.abs(this.y(one, one.values[index]) * (1 - part) + this.y(other, other.values[index]) * part - y);
      if (distance <= least && this.chosen(index)) [found, least] = [index, distance];
    });
    this.point(found, x, y);
  }

  point(index, x, y) {
    if (index !== this.at) {
      this.at = index;
      const context = this.showBrushes();
      context.strokeStyle = this.colours.ink;
      context.lineWidth = 2.5;
      if (index >= 0) this.line(context, index);
    }
    if (index < 0) return this.note.hide();
    const lines = this.describe?.(this.chart.trials[index]) ?? [`trial ${this.chart.trials[index]}`];
    this.note.show(lines.map((text) => short(text, 70)), x, y);
  }

  leave() {
    if (this.at !== undefined && this.at >= 0 && this.colours) this.showBrushes();
    this.at = -1;
    this.note.hide();
  }

  /** Arrows go through the lines from the best; Enter opens the trial, Escape clears the selection. */
  key(event) {
    const inside = this.chart.trials.map((_, index) => index).filter((index) => this.chosen(index)).reverse();
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    if (event.key === "Escape") this.unselect();
    else if (event.key === "Enter" && this.at >= 0) this.open?.(this.chart.trials[this.at]);
    else if (event.key in steps && inside.length) {
      const place = inside.indexOf(this.at), next = inside[place < 0 ? 0 : (place + steps[event.key] + inside.length) % inside.length];
      const last = this.chart.axes.length - 1, axis = this.chart.axes[last];
      this.point(next, this.across[last], this.y(axis, axis.values[next]));
      this.state.textContent = (this.describe?.(this.chart.trials[next]) ?? []).join("; ");
      event.preventDefault();
    }
  }
}
