// The chart: who runs when.

import { plural } from "./words.mjs";
import { FONT, element, make } from "./dom.mjs";
import { chain, colourOf, ink, state } from "./view.mjs";
import { DETAILED, NAMED, drawDeadline, drawGround, inView, layout, prepare } from "./layout.mjs";

/** Leaves out the middle of what is too long: its ends tell more. */
const shorten = (pen, text, width) => {
  if (pen.measureText(text).width <= width) return text;
  let kept = Math.max(2, Math.floor((text.length * width) / pen.measureText(text).width));
  const cut = () =>
    `${text.slice(0, Math.ceil(kept / 2))}…${text.slice(text.length - Math.floor(kept / 2))}`;
  while (kept > 2 && pen.measureText(cut()).width > width) kept -= 1;
  return cut();
};

/** The chosen workflow and those it has to do with; nobody is without it. */
const relatives = () => {
  const { chosen } = state;
  return chosen && new Set([chosen, ...chosen.depends, ...chosen.dependants]);
};

const hatching = (pen) => {
  const tile = make("canvas", { width: 6, height: 6 });
  const brush = tile.getContext("2d");
  brush.strokeStyle = "white";
  brush.lineWidth = 1.5;
  for (const shift of [-6, 0, 6]) {
    brush.moveTo(shift, 6);
    brush.lineTo(shift + 6, 0);
  }
  brush.stroke();
  return pen.createPattern(tile, "repeat");
};

const drawBar = (pen, w, y, height, hatch) => {
  const { x, gutter, width, rowHeight } = layout;
  const left = Math.max(x(w.start), gutter - 2),
    right = Math.min(x(w.finish), width + 2);
  const across = Math.max(right - left, 1);
  pen.fillStyle = colourOf(w);
  pen.fillRect(left, y, across, height);
  if (w.attempts > 1 && rowHeight >= DETAILED) {
    pen.fillStyle = hatch;
    pen.fillRect(left, y, across, height);
  }
  const marked = w.status === "failed" ? ink.alarm : w.onChain ? ink.ink : null;
  if (marked) {
    // Where rows are thin, a mark is what remains of an outline.
    if (rowHeight < DETAILED) {
      pen.fillStyle = marked;
      pen.fillRect(left, y + height / 2 - 1, across, 2);
    } else {
      pen.strokeStyle = marked;
      pen.lineWidth = 2;
      pen.strokeRect(left, y, across, height);
    }
  } else if (rowHeight >= DETAILED && across > 4) {
    pen.strokeStyle = ink.edge;
    pen.lineWidth = 1;
    pen.strokeRect(left + 0.5, y + 0.5, across - 1, height - 1);
  }
};

const drawBars = (pen) => {
  const { rows, first, last, x, y, rowHeight, width, gutter } = layout;
  const related = relatives(),
    hatch = hatching(pen);
  const thick = rowHeight >= DETAILED,
    height = thick ? Math.round(rowHeight * 0.62) : Math.max(rowHeight * 0.85, 1);
  const inset = thick ? Math.round((rowHeight - height) / 2) - 1 : 0;
  const visible = rows
    .slice(first, last)
    .filter(
      (w) =>
        w.start !== null &&
        x(Math.max(w.finish, w.plannedFinish)) >= gutter &&
        x(Math.min(w.start, w.plannedStart)) <= width,
    );
  const isPale = (w) => related && !related.has(w);
  if (thick) {
    pen.strokeStyle = ink.dim;
    pen.lineWidth = 1;
    for (const w of visible) {
      const left = x(w.plannedStart),
        across = Math.max(x(w.plannedFinish) - left, 1);
      pen.globalAlpha = isPale(w) ? 0.4 : 1;
      pen.strokeRect(left + 0.5, y(w.row) + inset + 3.5, across, height);
    }
  }
  // What is to be seen comes last: on top, where rows are thinner than bars.
  const isAbove = (w) => (related ? related.has(w) : w.onChain);
  const isBelow = (w) => !isAbove(w);
  for (const w of [...visible.filter(isBelow), ...visible.filter(isAbove)]) {
    pen.globalAlpha = isPale(w) ? 0.22 : 1;
    const tall = related?.has(w) ? Math.max(height, 3) : height;
    drawBar(pen, w, y(w.row) + inset, tall, hatch);
  }
  pen.globalAlpha = 1;
};

const arrowhead = (pen, x, y, angle, size) => {
  pen.beginPath();
  pen.moveTo(x, y);
  for (const side of [-0.45, 0.45])
    pen.lineTo(x - size * Math.cos(angle + side), y - size * Math.sin(angle + side));
  pen.fill();
};

/** Leads from each workflow of the critical chain to the next; dotted where it only makes room. */
const drawChain = (pen) => {
  const { x, y, rowHeight, height } = layout;
  pen.strokeStyle = pen.fillStyle = ink.ink;
  pen.lineWidth = 1.3;
  pen.globalAlpha = state.chosen ? 0.3 : 1;
  for (let k = 1; k < chain.length; k += 1) {
    const [a, b] = [chain[k - 1], chain[k]];
    if (a.row < 0 || b.row < 0 || b.start === null) continue;
    const [left, right] = [x(a.finish), x(b.start)];
    const down = a.row < b.row;
    const [from, to] = [
      y(a.row) + rowHeight * (down ? 0.8 : 0.2),
      y(b.row) + rowHeight * (down ? 0.17 : 0.8),
    ];
    if (Math.max(from, to) < 0 || Math.min(from, to) > height || !inView(right)) continue;
    pen.setLineDash(b.depends.includes(a) ? [] : [2, 3]);
    pen.beginPath();
    pen.moveTo(left, from);
    pen.lineTo(right, to);
    pen.stroke();
    if (rowHeight >= DETAILED) arrowhead(pen, right, to, Math.atan2(to - from, right - left), 7);
  }
  pen.setLineDash([]);
  pen.globalAlpha = 1;
};

/** Leads from what the chosen one waits for to it, and from it to what waits for it. */
const drawLinks = (pen) => {
  const { chosen } = state;
  if (!chosen || chosen.row < 0 || chosen.start === null) return;
  const { x, y, rowHeight } = layout;
  pen.strokeStyle = pen.fillStyle = ink.accent;
  pen.lineWidth = 1.6;
  const pairs = [
    ...chosen.depends.map((w) => [w, chosen]),
    ...chosen.dependants.map((w) => [chosen, w]),
  ];
  for (const [a, b] of pairs) {
    if (a.row < 0 || b.row < 0 || a.finish === null || b.start === null) continue;
    const [x1, y1, x2, y2] = [x(a.finish), y(a.row + 0.5), x(b.start), y(b.row + 0.5)];
    const bow = Math.max(14, (x2 - x1) / 2);
    pen.beginPath();
    pen.moveTo(x1, y1);
    pen.bezierCurveTo(x1 + bow, y1, x2 - bow, y2, x2, y2);
    pen.stroke();
    arrowhead(pen, x2, y2, 0, 7);
  }
  const left = Math.max(x(chosen.start), layout.gutter);
  pen.lineWidth = 2.5;
  pen.strokeRect(
    left - 2,
    y(chosen.row) + 1,
    Math.max(x(chosen.finish) - left, 1) + 4,
    Math.max(rowHeight - 3, 3),
  );
};

const drawNames = (pen) => {
  const { rows, first, last, y, gutter, rowHeight, height } = layout;
  pen.textAlign = "left";
  if (rowHeight < NAMED) {
    pen.save();
    pen.translate(gutter - 18, Math.min(height, rows.length * rowHeight) / 2);
    pen.rotate(-Math.PI / 2);
    pen.textAlign = "center";
    pen.fillStyle = ink.dim;
    pen.fillText(`${plural(rows.length, "workflow")}, by start`, 0, 0);
    pen.restore();
    return;
  }
  const related = relatives();
  for (const w of rows.slice(first, last)) {
    const middle = y(w.row) + rowHeight / 2;
    pen.globalAlpha = related && !related.has(w) ? 0.5 : 1;
    pen.font = `${w.onChain ? "bold " : ""}${Math.min(12, rowHeight * 0.8)}px ${FONT}`;
    pen.fillStyle = w === state.chosen ? ink.accent : ink.ink;
    pen.fillText(shorten(pen, w.name, gutter - 16), 6, middle);
    if (w.start !== null) continue;
    pen.fillStyle = ink["alarm-text"];
    pen.fillText("did not run", gutter + 8, middle);
  }
  pen.globalAlpha = 1;
};

export const drawGantt = () => {
  const { rows, first, last, width, height, gutter, y, rowHeight } = layout;
  const pen = prepare(element("gantt"), width, height);
  pen.fillStyle = ink.pale;
  if (rowHeight >= DETAILED)
    for (let row = first + (first % 2); row < last; row += 2)
      pen.fillRect(0, y(row), width, rowHeight);
  pen.save();
  pen.beginPath();
  pen.rect(gutter, 0, width - gutter, height);
  pen.clip();
  drawGround(pen, height);
  drawBars(pen);
  drawChain(pen);
  drawLinks(pen);
  drawDeadline(pen, height);
  pen.restore();
  drawNames(pen);
  if (!rows.length) {
    pen.fillStyle = ink.dim;
    pen.textAlign = "center";
    pen.fillText(
      state.shown.length ? "no workflow runs in this time" : "no workflow matches",
      (gutter + width) / 2,
      height / 2,
    );
  }
};
