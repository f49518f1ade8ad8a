"use strict";
// All of this only adds to a page that can be read without it.

const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

// Light or dark, whatever the system says.
const dark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};
const theme = element("button", { type: "button", className: "theme" });
const nameTheme = () => { theme.textContent = dark() ? "Light" : "Dark"; theme.ariaLabel = `${theme.textContent} colours`; };
theme.addEventListener("click", () => {
  document.documentElement.dataset.theme = dark() ? "light" : "dark";
  nameTheme();
});
nameTheme();
document.querySelector("main").append(theme);

// Tables that sort by a click on a heading.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const key = (row) => {
      const cell = row.cells[column];
      return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent.trim().toLowerCase();
    };
    const button = element("button", { type: "button" }, ...heading.childNodes);
    button.addEventListener("click", () => {
      const before = heading.ariaSort;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      if (before === "descending") { body.append(...original); return; }
      const sign = before === "ascending" ? -1 : 1;
      heading.ariaSort = sign > 0 ? "ascending" : "descending";
      const compare = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b));
      body.append(...[...original].sort((a, b) => sign * compare(key(a), key(b))));
    });
    heading.append(button);
  });
}

// Legends that show and hide what they name.
for (const chart of document.querySelectorAll(".chart")) {
  for (const entry of chart.querySelectorAll(".legend [data-series]")) {
    const button = element("button", { type: "button", ariaPressed: "true" }, ...entry.childNodes);
    button.addEventListener("click", () => {
      const off = button.ariaPressed === "true";
      button.ariaPressed = String(!off);
      chart.querySelector(`g[data-series="${entry.dataset.series}"]`).classList.toggle("off", off);
    });
    entry.append(button);
  }
}

// The numbers of the epoch that is pointed at, or walked to with the arrow keys.
for (const chart of document.querySelectorAll(".chart[data-epochs]")) {
  const svg = chart.querySelector("svg"), cursor = chart.querySelector(".cursor"), readout = chart.querySelector(".readout");
  const series = JSON.parse(chart.dataset.series), epochs = Number(chart.dataset.epochs), unit = chart.dataset.unit;
  const grid = chart.querySelector(".grid");
  const left = Number(grid.getAttribute("x1")), right = Number(grid.getAttribute("x2"));
  let at = epochs - 1;
  const show = (epoch) => {
    at = Math.min(epochs - 1, Math.max(0, epoch));
    const x = left + (right - left) * (epochs > 1 ? at / (epochs - 1) : 0);
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    cursor.removeAttribute("hidden");
    const said = series.map(({ name, values }) => `${name} ${values[at] === null ? "–" : Number(values[at].toPrecision(4)) + unit}`);
    readout.textContent = `epoch ${at + 1}: ${said.join(", ")}`;
  };
  svg.tabIndex = 0;
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    show(Math.round(((x - left) / (right - left)) * (epochs - 1)));
  });
  svg.addEventListener("pointerleave", () => { cursor.setAttribute("hidden", ""); readout.textContent = ""; });
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    show(at + step);
  });
}
