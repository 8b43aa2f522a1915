// What became of each field of the job, and the job.

import { ask } from "./connection.js";
import { count, make } from "./format.js";

function table(columns, rows) {
  return make("div", { class: "scroll", tabindex: "0" }, make("table", { class: "plan" }, make("thead", {}, make("tr", {}, ...columns.map((text) => make("th", { scope: "col" }, text)))), make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, cell)))))));
}

export function planTab(run) {
  const element = make("div", {}, make("p", { class: "soft" }, "…"));
  ask("/api/plan", [["run", run]]).then(({ provider, columns, rows, exact, job }) => {
    element.replaceChildren(
      make("p", { class: "caption" }, `What ${provider} does with each field of the job.`),
      rows.length ? table(columns, rows) : make("p", {}, "Every field is carried exactly."),
      make("details", {}, make("summary", {}, `${count(exact.length, "field")} carried exactly`), table(["field", "goes to"], exact)),
      make("h2", {}, "The job"), make("pre", { class: "job", tabindex: "0" }, job),
    );
  }, (error) => element.replaceChildren(make("p", { class: "warn" }, error.message)));
  return { element };
}
