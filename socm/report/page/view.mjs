// The simulation, and what is looked at: times, filter, choice and colours.

import { groupsBy, readWorkflows, usageOf } from "./workflows.mjs";
import { clamp, element } from "./dom.mjs";

export const SHORTEST = 10, // seconds in view
  MANY = 150; // workflows that are scrolled through at first

export const data = JSON.parse(element("data").textContent);

export const all = readWorkflows(data.workflows);
export const chain = data.critical.map((k) => all[k]);
for (const w of chain) w.onChain = true;

export const [bandLow, bandHigh] = data.band;
export const ends = Math.max(data.makespan, bandHigh ?? 0, 1);
// A deadline far away would squeeze all else: zooming out leads to it.
const near = data.deadline !== null && data.deadline <= 1.5 * ends;
export const home = { from: 0, to: 1.02 * Math.max(ends, near ? data.deadline : 0) };
const farthest = 1.02 * Math.max(ends, data.deadline ?? 0);

export const usageOfAll = usageOf(all, data);
export const several = (key) => new Set(all.map((w) => w[key])).size > 1;
export const state = {
  ...home,
  shown: all,
  usage: usageOfAll,
  colour: several("kind") || !several("qos") ? "kind" : "qos",
  fit: all.length > MANY,
  chosen: null,
  sort: { by: null, down: false },
  printing: false,
};

let drawAll = () => {};
/** Says who draws: this module knows what is looked at, not how. */
export const drawnBy = (act) => {
  drawAll = act;
};

let due = false;
/** Draws all again, once per frame. */
export const redraw = () => {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    drawAll();
  });
};

/** Sets the times in view: not beyond what there is, nor closer than can be told apart. */
export const look = (from, to) => {
  const span = clamp(to - from, SHORTEST, farthest);
  state.from = clamp(from, 0, farthest - span);
  state.to = state.from + span;
  redraw();
};

/** Zooms by a factor, keeping one time where it is. */
export const zoom = (factor, around = (state.from + state.to) / 2) => {
  const span = clamp((state.to - state.from) * factor, SHORTEST, farthest);
  const share = (around - state.from) / (state.to - state.from);
  look(around - share * span, around + (1 - share) * span);
};

export const pan = (share) => {
  const by = share * (state.to - state.from);
  look(state.from + by, state.to + by);
};

export let ink = {};

/** Reads the colours of the style sheet, for canvases do not. */
export const readColours = () => {
  const style = getComputedStyle(document.documentElement);
  const names = "ink dim line pale band edge cores memory alarm alarm-text accent".split(" ");
  ink = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
};

export let groups = groupsBy(state.colour, all, data.palette);
export const colourBy = (key) => {
  state.colour = key;
  groups = groupsBy(key, all, data.palette);
};
export const colourOf = (w) => groups.get(w[state.colour]).colour;
