// Filter and choice.

import { usageOf } from "./workflows.mjs";
import { element } from "./dom.mjs";
import { SHORTEST, all, data, look, redraw, state, usageOfAll } from "./view.mjs";
import { ROW } from "./layout.mjs";
import { showUse } from "./usage.mjs";
import { showDetails } from "./details.mjs";
import { TABLE_ROW, fillTable, listed, showTable, shownInWords } from "./table.mjs";

export const filter = () => {
  const asked = new FormData(document.querySelector("form"));
  const part = asked.get("name").trim().toLowerCase(),
    kind = asked.get("kind"),
    qos = asked.get("qos"),
    critical = asked.has("critical");
  const shown = all.filter(
    (w) =>
      w.lower.includes(part) &&
      (!kind || w.kind === kind) &&
      (!qos || w.qos === qos) &&
      (!critical || w.onChain),
  );
  state.shown = shown.length === all.length ? all : shown;
  state.usage = state.shown === all ? usageOfAll : usageOf(state.shown, data);
  element("count").textContent = shownInWords();
  element("rows").scrollTop = element("list").scrollTop = 0;
  showUse();
  showTable();
  redraw();
};

/** Scrolls so that a row is in the middle of its box, unless it can be seen. */
const scrollTo = (box, row, rowHeight) => {
  const top = row * rowHeight,
    seen = box.scrollTop <= top && top + 2 * rowHeight <= box.scrollTop + box.clientHeight;
  if (row >= 0 && !seen) box.scrollTop = top - box.clientHeight / 2;
};

/** Scrolls and pans so that a workflow can be seen. */
const reveal = (w) => {
  scrollTo(element("list"), listed.indexOf(w), TABLE_ROW);
  const row = state.shown.indexOf(w);
  if (row < 0) return;
  if (!state.fit) scrollTo(element("rows"), row, ROW);
  if (w.start !== null && (w.finish < state.from || w.start > state.to)) {
    const half = (state.to - state.from) / 2,
      middle = (w.start + w.finish) / 2;
    look(middle - half, middle + half);
  }
};

export const choose = (w) => {
  state.chosen = w;
  showDetails();
  fillTable();
  redraw();
};

export const goTo = (w) => {
  choose(w);
  reveal(w);
};

export const zoomTo = (w) => {
  if (!w || w.start === null) return;
  const margin = Math.max((w.finish - w.start) * 0.6, SHORTEST);
  look(w.start - margin, w.finish + margin);
};
