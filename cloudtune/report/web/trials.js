// What charts and tables say of a trial, from the table of trials.

import { number, short, words } from "./format.js";

/** The trials of a run as rows of cells, found by their numbers. */
export class Trials {
  constructor(table) {
    this.reset(table);
  }

  reset(table) {
    Object.assign(this, table);
    this.places = new Map(this.rows.map((row, index) => [row[0], index]));
  }

  /** Take rows that have changed or come. */
  take(rows) {
    for (const row of rows) {
      const place = this.places.get(row[0]);
      if (place === undefined) {
        this.places.set(row[0], this.rows.length);
        this.rows.push(row);
      } else this.rows[place] = row;
    }
  }

  row(trial) {
    return this.rows[this.places.get(trial)];
  }

  /** The indices of columns with numbers. */
  get numeric() {
    return this.columns.map((_, index) => index).filter((index) => index > 1 && this.rows.some((row) => typeof row[index] === "number"));
  }

  /** Lines about a trial: its number and state, metrics, parameters, cost, reason. */
  describe(trial) {
    const row = this.row(trial);
    if (!row) return [`trial ${trial}`];
    const lines = [`trial ${trial} (${row[1]})`];
    for (const [first, many] of [this.metrics, this.parameters]) {
      for (let index = first; index < Math.min(first + many, first + 15); index += 1) {
        if (row[index] !== null) lines.push(short(`${this.columns[index]}: ${words(row[index])}`, 60));
      }
    }
    if (this.cost && row[this.cost[0]] !== null) lines.push(`cost: ${number(row[this.cost[0]])} ${this.cost[1]}`);
    const reason = row[row.length - 1];
    return reason ? [...lines, short(reason, 60)] : lines;
  }
}
