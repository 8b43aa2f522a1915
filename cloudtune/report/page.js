"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const read = (id) => JSON.parse(byId(id).textContent);
  const root = document.documentElement;
  const figures = read("figures");
  const trials = read("trials");
  const rowOf = new Map(trials.rows.map((row) => [row[0], row]));
  function words(value) {
    if (typeof value !== "number") return value ?? "";
    const short = Number(value.toPrecision(7));
    return short !== 0 && Math.abs(short) < 1e-4 ? short.toExponential() : String(short);
  }

  // Charts: drawn in the colours of the page, when they come into sight, and again when its width or colours change.

  const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const cut = (text) => (text.length > 60 ? text.slice(0, 59) + "…" : text);
  const hovers = new Map();

  /** What is shown of a trial under the pointer. Plotly reads tags in it, so what is not ours is escaped. */
  function hover(number) {
    if (!hovers.has(number)) {
      const row = rowOf.get(number);
      const lines = [`<b>trial ${number}</b> (${row[1]})`];
      for (const [first, count] of [trials.metrics, trials.parameters]) {
        for (let index = first; index < Math.min(first + count, first + 15); index += 1) {
          if (row[index] !== null) lines.push(escaped(cut(`${trials.columns[index]}: ${words(row[index])}`)));
        }
      }
      if (trials.cost && row[trials.cost[0]] !== null) lines.push(`cost: ${words(row[trials.cost[0]])} ${escaped(trials.cost[1])}`);
      const reason = row[row.length - 1];
      if (reason) lines.push(escaped(cut(reason)));
      hovers.set(number, lines.join("<br>"));
    }
    return hovers.get(number);
  }

  const canvas = document.createElement("canvas");
  const hasGraphics = Boolean(canvas.getContext("webgl2") || canvas.getContext("webgl"));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => dark.matches && !root.classList.contains("paper");

  function dressed(trace) {
    const dress = { ...trace };
    if (trace.customdata) dress.hovertext = trace.customdata.map(hover);
    if (trace.type === "scattergl" && !hasGraphics) dress.type = "scatter";
    // The best lines stand out most: bright on a dark page, dark on a light one.
    if (trace.type === "parcoords") dress.line = { ...trace.line, reversescale: isDark() };
    return dress;
  }

  function laidOut(layout, width) {
    const style = getComputedStyle(root);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line"), automargin: true, exponentformat: "e", minexponent: 5 };
    const axes = ["xaxis", "yaxis"].filter((name) => name in layout);
    return {
      ...layout, width, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 12.5, color: colour("--ink") },
      hoverlabel: { bgcolor: colour("--panel"), bordercolor: colour("--soft"), font: { color: colour("--ink") }, align: "left" },
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom", // a finger scrolls the page
      ...Object.fromEntries(axes.map((name) => [name, { ...axis, ...layout[name] }])),
    };
  }

  const drawn = new Set();
  const place = (name) => byId("chart-" + name);
  function draw(name) {
    const element = place(name), figure = figures[name];
    if (figure.data.some((trace) => trace.type === "parcoords") && !hasGraphics) {
      element.textContent = "This chart needs WebGL, which this browser does not offer.";
      return;
    }
    drawn.add(name);
    Plotly.react(element, figure.data.map(dressed), laidOut(figure.layout, element.clientWidth), { displayModeBar: false });
  }

  const inSight = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const name = entry.target.id.replace("chart-", "");
      if (entry.isIntersecting && !drawn.has(name)) draw(name);
    }
  }, { rootMargin: "800px" });
  for (const name of Object.keys(figures)) inSight.observe(place(name));

  const again = () => drawn.forEach(draw);
  let waiting = 0, width = root.clientWidth;
  addEventListener("resize", () => {
    if (root.clientWidth === width) return;
    width = root.clientWidth;
    clearTimeout(waiting);
    waiting = setTimeout(again, 150);
  });
  dark.addEventListener("change", again);

  // Paper is light and narrow, and shows what nobody has scrolled to.
  addEventListener("beforeprint", () => { root.classList.add("paper"); Object.keys(figures).forEach(draw); });
  addEventListener("afterprint", () => { root.classList.remove("paper"); again(); });

  // Texts to copy.

  for (const button of document.querySelectorAll("button.copy")) {
    const text = button.closest(".snippet").querySelector("pre");
    button.addEventListener("click", async () => {
      getSelection().selectAllChildren(text);
      try {
        await navigator.clipboard.writeText(text.textContent);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }

  // The table of trials: sorted and filtered as data, and only a page of it is drawn.

  const table = byId("trial-table");
  if (!table) return;
  const SIZE = 25, filter = byId("filter"), collator = new Intl.Collator(undefined, { numeric: true });
  let sorted = 0, down = false, page = 0;

  const RANKS = { number: 0, string: 1 };
  const rank = (value) => RANKS[typeof value] ?? 2; // whichever the direction: numbers, texts, what is missing

  function compare(one, other) {
    if (rank(one) !== rank(other)) return rank(one) - rank(other);
    const order = typeof one === "number" ? one - other : collator.compare(one ?? "", other ?? "");
    return down ? -order : order;
  }

  /** A test for a word of the filter: a condition on a column that exists, or a text that some cell has. */
  function wanted(word) {
    const [, name, sign, text] = /^(.+?)(<=|>=|!=|=|<|>)(.*)$/.exec(word) ?? [];
    const index = trials.columns.findIndex((column) => column.toLowerCase() === name);
    if (index < 0) return (row) => row.some((value) => words(value).toLowerCase().includes(word));
    const equal = (value) => (typeof value === "number" ? value === Number(text) : words(value).toLowerCase() === text);
    if (sign === "=") return (row) => equal(row[index]);
    if (sign === "!=") return (row) => !equal(row[index]);
    const limit = Number(text);
    const holds = { "<": (value) => value < limit, ">": (value) => value > limit, "<=": (value) => value <= limit, ">=": (value) => value >= limit }[sign];
    return (row) => typeof row[index] === "number" && holds(row[index]);
  }

  function line(row) {
    const element = document.createElement("tr");
    row.forEach((value, index) => {
      const cell = element.insertCell();
      cell.textContent = words(value);
      if (typeof value === "number") cell.className = "number";
      if (index === 1) cell.className = value;
    });
    return element;
  }

  function show() {
    const tests = filter.value.toLowerCase().split(/\s+/).filter(Boolean).map(wanted);
    const found = trials.rows.filter((row) => tests.every((test) => test(row)));
    found.sort((one, other) => compare(one[sorted], other[sorted]));
    const pages = Math.max(1, Math.ceil(found.length / SIZE));
    page = Math.min(page, pages - 1);
    table.tBodies[0].replaceChildren(...found.slice(page * SIZE, (page + 1) * SIZE).map(line));
    byId("place").textContent = `${found.length.toLocaleString("en")} of ${trials.rows.length.toLocaleString("en")} trials, page ${page + 1} of ${pages}`;
    byId("previous").disabled = page === 0;
    byId("next").disabled = page >= pages - 1;
    [...head.cells].forEach((cell, index) => cell.setAttribute("aria-sort", index !== sorted ? "none" : down ? "descending" : "ascending"));
  }

  const head = table.tHead.insertRow();
  trials.columns.forEach((column, index) => {
    const cell = document.createElement("th"), button = document.createElement("button");
    cell.scope = "col";
    button.type = "button";
    button.textContent = column;
    button.addEventListener("click", () => { down = sorted === index && !down; sorted = index; page = 0; show(); });
    cell.append(button);
    head.append(cell);
  });
  filter.addEventListener("input", () => { page = 0; show(); });
  byId("previous").addEventListener("click", () => { page -= 1; show(); });
  byId("next").addEventListener("click", () => { page += 1; show(); });
  show();
})();
