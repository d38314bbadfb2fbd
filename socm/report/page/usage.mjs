// The chart beneath: what is in use.

import { memory, plural } from "./words.mjs";
import { after, clamp, element, make, shape, swatch } from "./dom.mjs";
import { all, data, ink, state, usageOfAll } from "./view.mjs";
import { drawDeadline, drawGround, drawTimes, layout, prepare } from "./layout.mjs";

const USAGE = 116; // pixels

/** Calls for each pixel in which what is held changes: with x, the most, and what it comes to. */
const eachChange = (times, shares, call) => {
  let column = -Infinity,
    most = 0,
    last = 0;
  const first = Math.max(0, after(times, state.from) - 1);
  for (let k = first; k < times.length && times[k] <= state.to; k += 1) {
    const x = Math.max(layout.x(times[k]), layout.gutter);
    if (x - column >= 1) {
      if (k > first) call(column, most, last);
      column = x;
      most = 0;
    }
    last = shares[k];
    most = Math.max(most, last);
  }
  if (column > -Infinity) call(column, most, last);
};

/** Lays a path along what is held; a peak of less than a pixel is one pixel wide. */
const trace = (pen, { times }, shares, height) => {
  const end = clamp(layout.x(times.at(-1) ?? 0), layout.gutter, layout.width);
  let level = height(0);
  pen.beginPath();
  pen.moveTo(layout.gutter, level);
  eachChange(times, shares, (x, most, last) => {
    pen.lineTo(x, level);
    pen.lineTo(x, height(most));
    if (most > last) pen.lineTo(x + 1, height(most));
    level = height(last);
    pen.lineTo(most > last ? x + 1 : x, level);
  });
  pen.lineTo(end, level);
  pen.lineTo(end, height(0));
};

const peak = [...usageOfAll.cores, ...usageOfAll.held].reduce((a, b) => Math.max(a, b), 0);
const topShare = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 1.5, 2].find((top) => peak <= top) ?? peak;

export const drawUsage = () => {
  const { width, gutter } = layout;
  const pen = prepare(element("usage"), width, USAGE);
  const bottom = USAGE - 24,
    height = (share) => bottom - (share / topShare) * (bottom - 8);
  pen.save();
  pen.beginPath();
  pen.rect(gutter, 0, width - gutter, bottom + 1);
  pen.clip();
  drawGround(pen, bottom);
  pen.fillStyle = ink.cores;
  trace(pen, state.usage, state.usage.cores, height);
  pen.fill();
  if (state.shown !== all) {
    pen.strokeStyle = ink.dim;
    pen.lineWidth = 1;
    pen.setLineDash([1, 2]);
    trace(pen, usageOfAll, usageOfAll.cores, height);
    pen.stroke();
    pen.setLineDash([]);
  }
  pen.strokeStyle = ink.memory;
  pen.lineWidth = 1.5;
  trace(pen, state.usage, state.usage.held, height);
  pen.stroke();
  drawDeadline(pen, bottom);
  pen.restore();
  pen.fillStyle = ink.dim;
  pen.textAlign = "right";
  for (const share of [0, topShare / 2, topShare]) {
    pen.fillText(
      `${Number((100 * share).toPrecision(2))} %`,
      gutter - 8,
      clamp(height(share), 8, bottom - 4),
    );
    pen.fillRect(gutter - 4, Math.round(height(share)), 4, 1);
  }
  pen.fillRect(gutter, bottom, width - gutter, 1);
  drawTimes(pen, bottom + 13);
};

export const showUse = () => {
  const part = state.shown !== all;
  const whose = part
    ? `the ${plural(state.shown.length, "workflow")} shown (dotted: cores of all)`
    : `all ${plural(all.length, "workflow")}`;
  const most = `${plural(data.cores, "core")} and ${memory(data.memory)}`;
  const said = `In use by ${whose}; 100 % is ${most}, the most that the campaign may use`;
  const line = shape(
    "svg",
    { viewBox: "0 0 26 12", "aria-hidden": "true" },
    shape("path", { d: "M1,6H25", stroke: ink.memory, "stroke-width": 2 }),
  );
  const legend = make(
    "span",
    { class: "legend inline" },
    swatch(ink.cores),
    "cores",
    line,
    "memory",
  );
  element("use").replaceChildren(said, legend);
  element("usage").setAttribute("aria-label", said);
};
