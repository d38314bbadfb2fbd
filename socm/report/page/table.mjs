// The table of workflows.

import { clock, count, memory, percent, plural } from "./words.mjs";
import { clamp, element, make } from "./dom.mjs";
import { all, state } from "./view.mjs";

export const TABLE_ROW = 26, // pixels
  MOST_PRINTED = 500;

const longestOf = (key) => all.reduce((most, w) => Math.max(most, w[key].length), 0);
const textual = (title, key, most) => ({
  title,
  value: (w) => w[key],
  text: (w) => w[key],
  width: clamp(longestOf(key) + 2, title.length + 4, most),
});
const figure = (title, width, value, write) => ({
  title,
  width,
  value,
  text: (w) => (value(w) === null ? "–" : write(value(w), w)),
  right: true,
});
const COLUMNS = [
  textual("Name", "name", 44),
  textual("Type", "kind", 24),
  textual("QOS", "qos", 16),
  textual("Partition", "partition", 16),
  figure("Nodes", 8, (w) => w.nodes, count),
  figure(
    "Ranks × threads",
    17,
    (w) => w.ranks * w.threads,
    (_, w) => `${w.ranks} × ${w.threads}`,
  ),
  figure("Memory", 10, (w) => w.memory, memory),
  figure("Start", 13, (w) => w.start, clock),
  figure("Finish", 13, (w) => w.finish, clock),
  figure("Planned", 13, (w) => w.plannedFinish, clock),
  figure("Walltime", 12, (w) => w.walltime, clock),
  figure("Criticality", 12, (w) => w.criticality, percent),
];
const NOTES = { failed: "failed", skipped: "did not run" };

const compare = (a, b) => (typeof a === "string" ? (a < b ? -1 : a > b ? 1 : 0) : a - b);

/** Sorts what is shown; what has no value comes last, either way. */
export const sorted = () => {
  const { by, down } = state.sort;
  if (by === null) return state.shown;
  const { value } = COLUMNS[by];
  return [...state.shown].sort((a, b) => {
    const [p, q] = [value(a), value(b)];
    if (p === null || q === null) return (p === null) - (q === null);
    return down ? compare(q, p) : compare(p, q);
  });
};

export let listed = all;

export const tableHead = () => {
  const widths = make("colgroup");
  const head = make("tr", { "aria-rowindex": 1 });
  COLUMNS.forEach(({ title, width, right }, k) => {
    const column = make("col");
    column.style.width = `${width * 7.6 + 16}px`;
    widths.append(column);
    const button = make("button", { type: "button" }, title);
    button.addEventListener("click", () => {
      state.sort = { by: k, down: state.sort.by === k && !state.sort.down };
      showTable();
    });
    head.append(make("th", { scope: "col", class: right ? "figure" : "" }, button));
  });
  return [widths, make("thead", {}, head)];
};

const tableRow = (w, k) => {
  const names = [
    w.onChain ? "critical" : "",
    w.status === "completed" ? "" : "bad",
    k % 2 ? "" : "striped",
  ];
  const row = make("tr", {
    "aria-rowindex": k + 2,
    "data-workflow": w.index,
    class: names.join(" ").trim(),
  });
  if (w === state.chosen) row.setAttribute("aria-current", "true");
  COLUMNS.forEach(({ text, right }, column) => {
    const words = text(w) + (column === 0 && NOTES[w.status] ? ` (${NOTES[w.status]})` : "");
    const cell = make("td", right ? { class: "figure" } : { title: words });
    cell.append(column ? words : make("button", { type: "button" }, words));
    row.append(cell);
  });
  return row;
};

/** Fills the table with the rows that can be seen; gaps stand for those above and below. */
export const fillTable = () => {
  const box = element("list"),
    body = box.querySelector("tbody");
  const visible = state.printing ? MOST_PRINTED : Math.ceil(box.clientHeight / TABLE_ROW) + 20;
  const first = state.printing
    ? 0
    : clamp(Math.floor(box.scrollTop / TABLE_ROW) - 10, 0, Math.max(0, listed.length - visible));
  const rows = listed.slice(first, first + visible).map((w, k) => tableRow(w, first + k));
  const gap = (number) => {
    const cell = make("td", { colspan: COLUMNS.length });
    cell.style.height = `${number * TABLE_ROW}px`;
    return number > 0 && !state.printing
      ? [make("tr", { class: "gap", "aria-hidden": "true" }, cell)]
      : [];
  };
  // A row that is being used keeps the focus.
  const focused = body.contains(document.activeElement) ? document.activeElement.textContent : null;
  body.replaceChildren(...gap(first), ...rows, ...gap(listed.length - first - rows.length));
  if (focused !== null)
    [...body.querySelectorAll("button")]
      .find((button) => button.textContent === focused)
      ?.focus({ preventScroll: true });
};

export const showTable = () => {
  listed = sorted();
  const table = element("list").querySelector("table");
  table.setAttribute("aria-rowcount", listed.length + 1);
  table.querySelectorAll("th").forEach((cell, k) => {
    if (k === state.sort.by)
      cell.setAttribute("aria-sort", state.sort.down ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
  });
  const cut = state.printing && listed.length > MOST_PRINTED;
  element("workflows-title").textContent =
    `Table of ${shownInWords()}${cut ? `: the first ${MOST_PRINTED}` : ""}`;
  fillTable();
};

export const shownInWords = () =>
  state.shown === all
    ? plural(all.length, "workflow")
    : `${count(state.shown.length)} of ${plural(all.length, "workflow")}`;
