// A table of many rows of which only those in sight are in the page: sorted and filtered as data.

import { make, words } from "./format.js";

const HEIGHT = 30; // pixels of a row
const BEYOND = 12; // rows above and below those in sight
const collator = new Intl.Collator(undefined, { numeric: true });
const RANKS = { number: 0, string: 1 };
const rank = (value) => RANKS[typeof value] ?? 2; // whichever the direction: numbers, texts, what is missing

function compare(one, other, down) {
  if (rank(one) !== rank(other)) return rank(one) - rank(other);
  const order = typeof one === "number" ? one - other : collator.compare(one ?? "", other ?? "");
  return down ? -order : order;
}

const HOLDS = { "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b };

/** A test for a word of a filter: a condition on a column that exists, or a text that some cell has. */
export function test(word, columns) {
  const [, name, sign, text] = /^(.+?)(<=|>=|!=|=|<|>)(.*)$/.exec(word) ?? [];
  const index = columns.findIndex((column) => column.toLowerCase() === name);
  if (index < 0) return (row) => row.some((value) => words(value).toLowerCase().includes(word));
  const equal = (value) => (typeof value === "number" ? value === Number(text) : words(value).toLowerCase() === text);
  if (sign === "=") return (row) => equal(row[index]);
  if (sign === "!=") return (row) => !equal(row[index]);
  const limit = Number(text);
  return (row) => typeof row[index] === "number" && HOLDS[sign](row[index], limit);
}

export class TableView {
  /**
   * @param open called with the first cell of a row that is chosen; none for tables whose rows cannot be
   * @param changed called with how many rows are shown, after each change
   * @param format returns the text of a cell by its value and column
   */
  constructor(host, { open, changed, format = words, label = "Trials", marked } = {}) {
    [this.host, this.open, this.changed, this.format, this.marked] = [host, open, changed, format, marked];
    this.columns = [];
    this.rows = [];
    this.filter = "";
    this.within = null;
    [this.sorted, this.down] = [0, false];
    this.head = make("tr", {});
    this.sizes = make("colgroup", {});
    [this.above, this.below] = [make("tr", { class: "space", "aria-hidden": "true" }), make("tr", { class: "space", "aria-hidden": "true" })];
    this.body = make("tbody", {});
    this.table = make("table", { class: "trials", "aria-label": label }, this.sizes, make("thead", {}, this.head), this.body);
    this.scroll = make("div", { class: "scroll tall", tabindex: "0", role: "region", "aria-label": `${label}, scrollable` }, this.table);
    this.lines = new Map();
    host.replaceChildren(this.scroll);
    this.scroll.addEventListener("scroll", () => this.soon(), { passive: true });
    this.scroll.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.soon()).observe(this.scroll);
  }

  /** Take other columns, with all their rows. */
  reset(columns, rows, numeric = []) {
    this.columns = columns;
    this.rows = rows;
    this.numeric = new Set(numeric);
    this.lines.clear();
    if (this.sorted >= columns.length) [this.sorted, this.down] = [0, false];
    this.drawHead();
    this.refresh();
  }

  /** Show rows that have changed, or came, since the last time. */
  refresh() {
    this.stale = true;
    this.soon();
  }

  sort(index, down = this.sorted === index && !this.down) {
    [this.sorted, this.down] = [index, down];
    this.scroll.scrollTop = 0;
    this.refresh();
  }

  search(filter, within = this.within) {
    this.filter = filter;
    this.within = within;
    this.refresh();
  }

  soon() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = undefined;
      this.show();
    });
  }

  arrange() {
    const tests = this.filter.toLowerCase().split(/\s+/).filter(Boolean).map((word) => test(word, this.columns));
    const { sorted, down, within } = this;
    const found = this.rows.filter((row) => (!within || within.has(row[0])) && tests.every((each) => each(row)));
    if (sorted !== 0 || down) found.sort((one, other) => compare(one[sorted], other[sorted], down));
    this.found = found;
    this.stale = false;
    [...this.head.cells].forEach((cell, index) => cell.setAttribute("aria-sort", index !== sorted ? "none" : down ? "descending" : "ascending"));
    this.table.setAttribute("aria-rowcount", String(found.length + 1));
    this.changed?.(found.length, this.rows.length);
  }

  show() {
    if (this.stale) this.arrange();
    const { found } = this;
    if (!found) return;
    const first = Math.max(0, Math.floor(this.scroll.scrollTop / HEIGHT) - BEYOND);
    const last = Math.min(found.length, first + Math.ceil(this.scroll.clientHeight / HEIGHT) + 2 * BEYOND);
    this.above.style.height = `${first * HEIGHT}px`;
    this.below.style.height = `${(found.length - last) * HEIGHT}px`;
    const kept = new Map(), wanted = [this.above];
    for (let index = first; index < last; index += 1) {
      const line = this.line(found[index]);
      line.element.setAttribute("aria-rowindex", String(index + 2));
      kept.set(found[index][0], line);
      wanted.push(line.element);
    }
    wanted.push(this.below);
    this.lines = kept;
    const { children } = this.body;
    if (children.length !== wanted.length || wanted.some((element, index) => children[index] !== element)) {
      const focused = document.activeElement;
      this.body.replaceChildren(...wanted);
      if (focused && focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
    }
  }

  /** The element of a row, anew where the row has changed. */
  line(row) {
    const known = this.lines.get(row[0]);
    if (known && known.row === row && known.marked === this.marked?.(row[0])) return known;
    const element = make("tr", {}, ...row.map((value, index) => this.cell(value, index, row)));
    if (known) element.classList.add("fresh");
    if (this.marked?.(row[0])) element.classList.add("marked");
    return { row, element, marked: this.marked?.(row[0]) };
  }

  cell(value, index, row) {
    const text = this.format(value, this.columns[index], index);
    const cell = make("td", { class: index === 1 ? `state-${value}` : typeof value === "number" ? "number" : "" });
    if (index === 0 && this.open) cell.append(make("button", { type: "button", class: "link", onclick: () => this.open(row[0]) }, text));
    else if (index === 1) cell.append(make("span", { class: `dot ${value}`, "aria-hidden": "true" }), text);
    else cell.textContent = text;
    if (text.length > 14 && index > 1) cell.title = text;
    return cell;
  }

  drawHead() {
    const { columns, rows } = this;
    const step = Math.max(1, Math.floor(rows.length / 200));
    this.sizes.replaceChildren(...columns.map((column, index) => {
      let most = column.length + 2;
      for (let at = 0; at < rows.length; at += step) most = Math.max(most, this.format(rows[at][index], column, index).length);
      const size = make("col", {}), last = index === columns.length - 1;
      size.style.width = `${Math.min(Math.max(most, 5), last ? 60 : 24) * 7.6 + 22}px`;
      return size;
    }));
    this.head.replaceChildren(...columns.map((column, index) => {
      const button = make("button", { type: "button", title: column, onclick: () => this.sort(index) }, column);
      return make("th", { scope: "col", class: this.numeric.has(index) ? "number" : "" }, button);
    }));
  }

  key(event) {
    const steps = { PageDown: 1, PageUp: -1 };
    if (event.target !== this.scroll && event.key === "ArrowDown") this.step(1, event);
    else if (event.target !== this.scroll && event.key === "ArrowUp") this.step(-1, event);
    else if (event.key in steps) { this.scroll.scrollTop += steps[event.key] * (this.scroll.clientHeight - 2 * HEIGHT); event.preventDefault(); }
    else if (event.key === "Home") this.scroll.scrollTop = 0;
    else if (event.key === "End") this.scroll.scrollTop = this.scroll.scrollHeight;
  }

  /** Move the focus to the row above or below. */
  step(by, event) {
    const row = document.activeElement.closest("tr"), next = by > 0 ? row?.nextElementSibling : row?.previousElementSibling;
    const target = next?.querySelector("button.link");
    if (!target) return;
    target.focus();
    event.preventDefault();
  }
}
