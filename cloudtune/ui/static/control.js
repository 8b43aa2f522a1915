// What may be done with a run or a trial, where the page may do anything.

import { act } from "./connection.js";
import { make } from "./format.js";
import { toast } from "./shared.js";

async function done(action, run, given) {
  try {
    toast((await act(action, run, given)).said);
  } catch (error) {
    toast(error.message, true);
  }
}

/** Ask before something is done; fields are asked for, with a name, a label and an example each. */
function asked({ title, text, fields = [], word, danger = false, then }) {
  const inputs = fields.map(([name, label, example]) => [name, make("input", { name, placeholder: example, autocomplete: "off" }), label]);
  const dialog = make("dialog", { "aria-label": title },
    make("form", { method: "dialog" }, make("h2", {}, title), text ? make("p", { class: "soft" }, text) : null,
      ...inputs.map(([, input, label]) => make("label", {}, label, input)),
      make("div", { class: "actions" }, make("button", { type: "button", onclick: () => dialog.close() }, "Leave it"), make("button", { type: "submit", class: danger ? "danger" : "primary", value: "yes" }, word))));
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (dialog.returnValue === "yes") then(Object.fromEntries(inputs.map(([name, input]) => [name, input.value]).filter(([, value]) => value.trim())));
  });
  document.body.append(dialog);
  dialog.showModal();
}

const button = (text, onclick, kind = "") => make("button", { type: "button", class: kind, onclick }, text);

/** The buttons of a run in its state; none where the page only looks. */
export function controls(view) {
  const { page, summary, id } = view;
  if (!page.about?.control || !summary) return null;
  const ended = ["completed", "failed", "cancelled"].includes(summary.state), driven = summary.mode !== "managed";
  const buttons = [];
  if (driven) buttons.push(button("Try…", () => asked({ title: "Try a trial of your own", text: "Values that you leave open are chosen by the strategy.", fields: [["values", "Values", `${summary.parameters[0]}=…`]], word: "Enqueue", then: (given) => done("try", id, given) })));
  if (driven && (ended || summary.state === "interrupted")) {
    buttons.push(button("Extend…", () => asked({ title: "Give it longer limits", fields: [["trials", "More trials", "20"], ["cost", "More cost", "10 USD"], ["time", "More time", "1h"]], word: "Extend", then: (given) => done("extend", id, given) })));
    if (summary.counts.failed || summary.counts.cancelled) buttons.push(button("Retry…", () => asked({ title: "Run trials without a result again?", text: "All that failed or were cancelled run again with the same parameters.", word: "Retry", then: () => done("retry", id, {}) })));
  }
  if (summary.state === "interrupted") buttons.push(button("Resume", () => done("resume", id, {}), "primary"));
  if (!ended) buttons.push(button("Cancel…", () => asked({ title: `Cancel ${id}?`, text: "Running trials are stopped now, and the run cannot be resumed.", word: "Cancel the run", danger: true, then: () => done("cancel", id, {}) }), "danger"));
  return make("div", { class: "actions" }, ...buttons);
}

/** The buttons of a trial in its state. */
export function trialControls(view, trial, state) {
  const { page, summary, id } = view;
  if (!page.about?.control || !summary || summary.mode === "managed") return null;
  const over = ["completed", "failed", "cancelled", "interrupted"].includes(summary.state), buttons = [];
  if (["running", "waiting"].includes(state) && !["completed", "failed", "cancelled"].includes(summary.state)) buttons.push(button("Stop this trial", () => done("stop", id, { trial }), "danger"));
  if (["failed", "cancelled"].includes(state) && over) buttons.push(button("Run it again", () => done("retry", id, { trials: [trial] })));
  return buttons.length ? make("div", { class: "actions" }, ...buttons) : null;
}
