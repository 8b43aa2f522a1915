"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const figures = read("figures");

  // Charts: plotly draws them, in the colours of the page.
  function themed(layout) {
    const axis = { gridcolor: style("--line"), zerolinecolor: style("--line"), automargin: true };
    return {
      ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 12.5, color: style("--ink") },
      ...(layout.xaxis ? { xaxis: { ...axis, ...layout.xaxis } } : {}), ...(layout.yaxis ? { yaxis: { ...axis, ...layout.yaxis } } : {}),
    };
  }
  function draw() {
    for (const [name, figure] of Object.entries(figures)) {
      Plotly.react("chart-" + name, figure.data, themed(figure.layout), { responsive: true, displaylogo: false, displayModeBar: false });
    }
  }
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    });
  }

  // Trials: sorted and filtered here, a page at a time, so that ten thousand are no burden.
  const PAGE = 50, { columns, rows } = read("trials");
  const table = document.getElementById("trial-table"), filter = document.getElementById("filter");
  let sort = 0, down = false, page = 0;
  const text = (value) => (value === null ? "" : typeof value === "number" ? String(Number(value.toPrecision(8))) : String(value));
  const compare = (a, b) => (a === null) - (b === null) || (typeof a === "number" && typeof b === "number" ? a - b : text(a).localeCompare(text(b)));
  function cells(kind, values) {
    const row = document.createElement("tr");
    for (const value of values) { const cell = document.createElement(kind); cell.textContent = text(value); row.append(cell); }
    return row;
  }
  function show() {
    const word = filter.value.toLowerCase();
    const found = rows.filter((row) => !word || row.some((value) => text(value).toLowerCase().includes(word)));
    found.sort((a, b) => (a[sort] === null || b[sort] === null ? compare(a[sort], b[sort]) : (down ? -1 : 1) * compare(a[sort], b[sort])));
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    page = Math.min(page, pages - 1);
    table.tBodies[0].replaceChildren(...found.slice(page * PAGE, (page + 1) * PAGE).map((row) => {
      const line = cells("td", row);
      line.cells[1].className = row[1];
      return line;
    }));
    document.getElementById("page").textContent = `${found.length} trials, page ${page + 1} of ${pages}`;
    document.getElementById("previous").disabled = page === 0;
    document.getElementById("next").disabled = page >= pages - 1;
    [...table.tHead.rows[0].cells].forEach((cell, index) => {
      cell.setAttribute("aria-sort", index !== sort ? "none" : down ? "descending" : "ascending");
      cell.textContent = columns[index] + (index !== sort ? "" : down ? " ▼" : " ▲");
    });
  }
  table.tHead.append(cells("th", columns));
  [...table.tHead.rows[0].cells].forEach((cell, index) => {
    cell.tabIndex = 0;
    const choose = () => { down = sort === index && !down; sort = index; show(); };
    cell.addEventListener("click", choose);
    cell.addEventListener("keydown", (event) => { if (event.key === "Enter") choose(); });
  });
  filter.addEventListener("input", () => { page = 0; show(); });
  document.getElementById("previous").addEventListener("click", () => { page -= 1; show(); });
  document.getElementById("next").addEventListener("click", () => { page += 1; show(); });
  show();
})();
