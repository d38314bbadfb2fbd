// The page: it draws, listens and prints.

import { instant, plural } from "./words.mjs";
import { element, make } from "./dom.mjs";
import {
  all,
  colourBy,
  drawnBy,
  home,
  look,
  readColours,
  redraw,
  several,
  state,
  zoom,
} from "./view.mjs";
import { drawAxis, layout, place } from "./layout.mjs";
import { drawGantt } from "./gantt.mjs";
import { drawUsage, showUse } from "./usage.mjs";
import { hideTip, showDetails, showLegend } from "./details.mjs";
import { showHistogram } from "./histogram.mjs";
import { fillTable, showTable, tableHead } from "./table.mjs";
import { filter, goTo } from "./choice.mjs";
import { KEYS, dragToPan, dragToZoom, wheel } from "./input.mjs";

const draw = () => {
  place();
  drawAxis();
  drawGantt();
  drawUsage();
  const finest = (state.to - state.from) / 100;
  const range = `${instant(state.from, finest)} to ${instant(state.to, finest)}`;
  element("range").textContent = range;
  element("rows").setAttribute(
    "aria-label",
    `${plural(layout.rows.length, "workflow")} from ${range}`,
  );
};

const listen = () => {
  const form = document.querySelector("form");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => {
    if (event.target.name === "colour") {
      colourBy(event.target.value);
      showLegend();
      redraw();
    } else if (event.target.name === "rows") {
      state.fit = event.target.value === "fit";
      element("rows").scrollTop = 0;
      redraw();
    } else filter();
  });
  element("in").addEventListener("click", () => zoom(1 / 1.4));
  element("out").addEventListener("click", () => zoom(1.4));
  element("reset").addEventListener("click", () => look(home.from, home.to));
  element("rows").addEventListener("keydown", (event) => {
    const act = KEYS[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });
  element("rows").addEventListener("scroll", () => {
    hideTip();
    redraw();
  });
  document.addEventListener("click", ({ target }) => {
    const named = target.closest("[data-workflow]");
    if (named) goTo(all[named.dataset.workflow]);
  });
  element("list").addEventListener("scroll", () => requestAnimationFrame(fillTable));
  element("chart").addEventListener("wheel", wheel, { passive: false });
  dragToPan(element("gantt"));
  dragToZoom(element("axis"));
  dragToZoom(element("usage"));
  addEventListener("resize", redraw);
  let width = 0; // the height changes with what is said of the chosen one
  new ResizeObserver(([{ contentRect }]) => {
    if (contentRect.width === width) return;
    width = contentRect.width;
    showHistogram();
    redraw();
  }).observe(document.querySelector("main"));
  new MutationObserver(repaint).observe(document.documentElement, {
    attributeFilter: ["data-theme"],
  });
  addEventListener("beforeprint", () => forPaper(true));
  addEventListener("afterprint", () => forPaper(false));
};

/** Paints anew, in the colours of the theme. */
const repaint = () => {
  readColours();
  showLegend();
  showUse();
  draw();
};

let beforePrint = {};

/** On paper all rows are there, dark on white. */
const forPaper = (begins) => {
  const root = document.documentElement;
  if (begins) {
    beforePrint = { fit: state.fit, theme: root.dataset.theme };
    Object.assign(state, { printing: true, fit: true });
    root.dataset.theme = "light";
  } else {
    Object.assign(state, { printing: false, fit: beforePrint.fit });
    root.dataset.theme = beforePrint.theme;
  }
  repaint();
  showTable();
};

const begin = () => {
  const form = document.querySelector("form").elements;
  for (const key of ["kind", "qos"]) {
    const names = [...new Set(all.map((w) => w[key]))].sort();
    form[key].closest("label").hidden = names.length < 2;
    form[key].append(
      make("option", { value: "" }, "any"),
      ...names.map((name) => make("option", { value: name }, name)),
    );
  }
  form.colour.value = state.colour;
  form.colour.closest("label").hidden = !several("kind") && !several("qos");
  form.rows.value = state.fit ? "fit" : "scroll";
  document.querySelector("main").hidden = false;
  element("list")
    .querySelector("table")
    .append(...tableHead(), make("tbody"));
  readColours();
  showLegend();
  showDetails();
  filter();
  draw();
  showHistogram();
  listen();
};

drawnBy(draw);
begin();
