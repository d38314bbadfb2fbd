// Where all is in the chart, and its time axis.

import { duration, ticksOf } from "./words.mjs";
import { FONT, clamp, element } from "./dom.mjs";
import { all, bandHigh, bandLow, data, ink, state } from "./view.mjs";

export const ROW = 22,
  NAMED = 13,
  DETAILED = 9; // pixels: of a row, and from which it has a name, details

/** Makes a canvas as large as asked, in pixels of the screen, and empties it. */
export const prepare = (canvas, width, height) => {
  const ratio = window.devicePixelRatio || 1;
  const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== across || canvas.height !== down)
    Object.assign(canvas, { width: across, height: down });
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = `12px ${FONT}`;
  pen.textBaseline = "middle";
  return pen;
};

const rowsInView = () => {
  if (!state.fit) return state.shown;
  const { from, to } = state,
    whole = to >= data.makespan && from <= 0;
  return state.shown.filter((w) => (w.start === null ? whole : w.finish >= from && w.start <= to));
};

/** Pixels that the longest name takes. */
const nameWidth = (() => {
  const longest = all.reduce((most, w) => (w.name.length > most.length ? w.name : most), "");
  const pen = element("gantt").getContext("2d");
  pen.font = `bold 12px ${FONT}`;
  return pen.measureText(longest).width;
})();

const AXIS = data.deadline === null ? 24 : 40; // pixels; the deadline stands above the times

export let layout = {};

/** Decides where all is, in pixels. */
export const place = () => {
  const box = element("rows");
  const rows = rowsInView();
  const most = clamp(window.innerHeight * 0.55, 260, 640);
  const height = Math.round(clamp(state.shown.length * ROW, 3 * ROW, most));
  const rowHeight = state.fit ? Math.min(height / Math.max(rows.length, 1), 1.3 * ROW) : ROW;
  box.style.height = `${height}px`;
  element("spacer").style.height = `${Math.max(0, rows.length * rowHeight - height)}px`;
  const width = box.clientWidth;
  const gutter = rowHeight >= NAMED ? clamp(nameWidth + 16, 70, Math.min(260, width * 0.3)) : 70;
  for (const w of all) w.row = -1;
  for (const [row, w] of rows.entries()) w.row = row;
  const top = state.fit ? 0 : box.scrollTop;
  const scale = (width - gutter) / (state.to - state.from);
  layout = {
    rows,
    height,
    width,
    gutter,
    rowHeight,
    top,
    first: Math.max(0, Math.floor(top / rowHeight)),
    last: Math.min(rows.length, Math.ceil((top + height) / rowHeight)),
    x: (time) => gutter + (time - state.from) * scale,
    y: (row) => row * rowHeight - top,
    time: (x) => state.from + (x - gutter) / scale,
    ticks: ticksOf(state.from, state.to, width - gutter, data.steps),
  };
};

const vertical = (pen, x, height, dash = []) => {
  pen.setLineDash(dash);
  pen.beginPath();
  pen.moveTo(x, 0);
  pen.lineTo(x, height);
  pen.stroke();
  pen.setLineDash([]);
};

export const inView = (x) => x >= layout.gutter && x <= layout.width;

/** Draws what lies behind: the band in which 90 % of the replications end, and the grid. */
export const drawGround = (pen, height) => {
  const { x, gutter, width } = layout;
  if (bandHigh !== undefined) {
    const [low, high] = [bandLow, bandHigh].map((time) => clamp(x(time), gutter, width));
    pen.fillStyle = ink.band;
    if (x(bandHigh) >= gutter && x(bandLow) <= width)
      pen.fillRect(low, 0, Math.max(1, high - low), height);
  }
  pen.strokeStyle = ink.line;
  pen.lineWidth = 0.5;
  for (const [time] of layout.ticks) vertical(pen, Math.round(x(time)) + 0.5, height);
};

export const drawDeadline = (pen, height) => {
  if (data.deadline === null || !inView(layout.x(data.deadline))) return;
  pen.strokeStyle = ink.alarm;
  pen.lineWidth = 1.5;
  vertical(pen, layout.x(data.deadline), height, [5, 4]);
};

export const drawTimes = (pen, y) => {
  const { x, gutter, width, ticks } = layout;
  pen.fillStyle = ink.dim;
  pen.textAlign = "center";
  for (const [time, text] of ticks) {
    const half = pen.measureText(text).width / 2;
    pen.fillText(text, clamp(x(time), gutter + Math.min(half, 4), width - half), y);
  }
};

export const drawAxis = () => {
  const { x, gutter, width, ticks } = layout;
  const pen = prepare(element("axis"), width, AXIS);
  drawTimes(pen, AXIS - 13);
  for (const [time] of ticks) pen.fillRect(Math.round(x(time)), AXIS - 4, 1, 4);
  if (data.deadline === null) return;
  const at = x(data.deadline);
  let text = `deadline ${duration(data.deadline)}`;
  if (at > width) text += ", further right →";
  if (at < gutter) text = `← ${text}`;
  const half = pen.measureText(text).width / 2;
  pen.fillStyle = ink["alarm-text"];
  pen.fillText(text, clamp(at, gutter + half, width - half), 9);
  if (inView(at)) {
    pen.strokeStyle = ink.alarm;
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.moveTo(at, AXIS - 4);
    pen.lineTo(at, AXIS);
    pen.stroke();
  }
};
