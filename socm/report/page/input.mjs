// Pointer, wheel and keys.

import { clamp, element } from "./dom.mjs";
import { home, look, pan, state, zoom } from "./view.mjs";
import { NAMED, layout } from "./layout.mjs";
import { hideTip, showTip } from "./details.mjs";
import { choose, goTo, zoomTo } from "./choice.mjs";

/** The workflow whose bar is there; where rows are thin, a near one will do. */
const workflowAt = (across, down) => {
  const { rows, rowHeight, top, gutter, x } = layout;
  const slack = rowHeight < 6 ? 3 : 0;
  const rowAt = (height) => Math.floor((height + top) / rowHeight);
  const about = rows.slice(Math.max(0, rowAt(down - slack)), rowAt(down + slack) + 1);
  if (across < gutter) return rowHeight >= NAMED ? about[0] : undefined;
  const hit = about.filter((w) => {
    if (w.start === null) return false;
    const left = x(w.start),
      right = Math.max(x(w.finish), left + 1);
    return left - 3 <= across && across <= right + 3;
  });
  return hit.find((w) => w.onChain) ?? hit[hit.length >> 1];
};

const positionIn = (canvas, event) => {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};

export const dragToPan = (canvas) => {
  let held = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    held = {
      x: event.clientX,
      y: event.clientY,
      from: state.from,
      to: state.to,
      top: element("rows").scrollTop,
      moved: false,
    };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = positionIn(canvas, event);
    if (!held) {
      const w = workflowAt(x, y);
      canvas.style.cursor = w ? "pointer" : "grab";
      if (w) showTip(w, event.clientX, event.clientY);
      else hideTip();
      return;
    }
    const [right, down] = [event.clientX - held.x, event.clientY - held.y];
    held.moved ||= Math.hypot(right, down) > 4;
    if (!held.moved) return;
    hideTip();
    canvas.style.cursor = "grabbing";
    const by = (right / (layout.width - layout.gutter)) * (held.to - held.from);
    if (event.pointerType === "mouse") element("rows").scrollTop = held.top - down;
    look(held.from - by, held.to - by);
  });
  canvas.addEventListener("pointerup", (event) => {
    const click = held && !held.moved;
    held = null;
    if (!click) return;
    const w = workflowAt(...positionIn(canvas, event)) ?? null;
    choose(w === state.chosen ? null : w);
  });
  canvas.addEventListener("pointercancel", () => {
    held = null;
  });
  canvas.addEventListener("pointerleave", hideTip);
  canvas.addEventListener("dblclick", (event) => {
    const w = workflowAt(...positionIn(canvas, event));
    if (!w) return;
    choose(w);
    zoomTo(w);
  });
};

export const dragToZoom = (canvas) => {
  const band = element("range-chosen");
  let begin = null;
  const chosen = (event) => {
    const now = clamp(positionIn(canvas, event)[0], layout.gutter, layout.width);
    return [Math.min(begin, now), Math.max(begin, now)];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    begin = clamp(positionIn(canvas, event)[0], layout.gutter, layout.width);
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (begin === null) return;
    const [left, right] = chosen(event);
    band.hidden = false;
    Object.assign(band.style, { left: `${left}px`, width: `${right - left}px`, top: 0, bottom: 0 });
  });
  canvas.addEventListener("pointerup", (event) => {
    if (begin === null) return;
    const [left, right] = chosen(event);
    begin = null;
    band.hidden = true;
    if (right - left > 4) look(layout.time(left), layout.time(right));
  });
  canvas.addEventListener("pointercancel", () => {
    begin = null;
    band.hidden = true;
  });
};

export const wheel = (event) => {
  const pixels = (delta) => delta * (event.deltaMode === 1 ? 16 : 1);
  const { deltaX, deltaY, shiftKey } = event;
  const sideways = shiftKey ? deltaX || deltaY : Math.abs(deltaX) > Math.abs(deltaY) && deltaX;
  if (event.ctrlKey || event.metaKey) {
    const x = event.clientX - element("chart").getBoundingClientRect().left;
    zoom(
      Math.exp(clamp(pixels(deltaY), -200, 200) / 300),
      layout.time(clamp(x, layout.gutter, layout.width)),
    );
  } else if (sideways) pan(pixels(sideways) / (layout.width - layout.gutter));
  else return; // scrolls
  event.preventDefault();
  hideTip();
};

const chooseRow = (row) => {
  const { rows } = layout;
  if (rows.length) goTo(rows[clamp(row, 0, rows.length - 1)]);
};

/** Chooses the workflow so many rows further down. */
const chooseFurther = (by) => chooseRow(layout.rows.indexOf(state.chosen) + by);

export const KEYS = {
  "+": () => zoom(1 / 1.4),
  "=": () => zoom(1 / 1.4),
  "-": () => zoom(1.4),
  "−": () => zoom(1.4),
  0: () => look(home.from, home.to),
  ArrowLeft: () => pan(-0.1),
  ArrowRight: () => pan(0.1),
  ArrowUp: () => chooseFurther(-1),
  ArrowDown: () => chooseFurther(1),
  PageUp: () => chooseFurther(-20),
  PageDown: () => chooseFurther(20),
  Home: () => chooseRow(0),
  End: () => chooseRow(Infinity),
  Enter: () => zoomTo(state.chosen),
  Escape: () => {
    hideTip();
    choose(null);
  },
};
