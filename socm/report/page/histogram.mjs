// When the replications end.

import { count, duration, plural, ticksOf } from "./words.mjs";
import { clamp, element, make, shape } from "./dom.mjs";
import { bandHigh, bandLow, data } from "./view.mjs";

const TALL = 220,
  CEILING = 40,
  FLOOR = TALL - 22,
  SIDE = 30; // pixels

/** The times that the histogram shows: of the ends, and what is not far from them. */
const histogramSpan = ({ start, step, counts }) => {
  const end = start + step * counts.length,
    span = end - start;
  const close = (time) => time !== null && time > start - span && time < end + span;
  const marks = [data.makespan, data.deadline].filter(close);
  return { low: Math.min(start, ...marks), high: Math.max(end, ...marks), close };
};

const histogramTitle = (total) => {
  const lost = data.replications - total;
  if (lost <= 0) return [make("h2", {}, `When ${plural(total, "replication")} end`)];
  const title = `When ${count(total)} of ${plural(data.replications, "replication")} end`;
  const why = make("p", { class: "quiet" }, "In the others a workflow failed.");
  return [make("h2", {}, title), why];
};

const histogramBars = ({ start, step, counts }, x, y) =>
  counts.map((number, k) => {
    const from = start + k * step,
      to = from + step;
    const late = data.deadline !== null && from >= data.deadline;
    const bar = {
      x: x(from) + 0.5,
      width: Math.max(0.5, x(to) - x(from) - 1),
      y: y(number),
      height: FLOOR - y(number),
      fill: late ? "var(--alarm)" : "var(--cores)",
    };
    const said = `${duration(from)} to ${duration(to)}: ${count(number)}`;
    return shape("rect", bar, shape("title", {}, said));
  });

export const showHistogram = () => {
  const box = element("histogram"),
    bins = data.histogram;
  box.hidden = !bins;
  if (!bins) return;
  const total = bins.counts.reduce((a, b) => a + b, 0);
  const most = bins.counts.reduce((a, b) => Math.max(a, b), 0);
  const { low, high, close } = histogramSpan(bins);
  const width = Math.max(240, box.clientWidth - 32),
    margin = (high - low) * 0.02;
  const scale = (width - SIDE - 10) / (high - low + 2 * margin);
  const x = (time) => SIDE + (time - low + margin) * scale;
  const y = (number) => FLOOR - (number / most) * (FLOOR - CEILING);
  const label = `Histogram of simulated ends, ${duration(low)} to ${duration(high)}`;
  const picture = shape("svg", { width, height: TALL, role: "img", "aria-label": label });
  const block = (left, top, across, down, fill) =>
    picture.append(shape("rect", { x: left, y: top, width: across, height: down, fill }));
  const text = (words, at, level, anchor = "middle", fill = "var(--dim)") => {
    const where = { x: at, y: level, "text-anchor": anchor, style: `fill: ${fill}` };
    picture.append(shape("text", where, words));
  };
  const mark = (time, words, level, colour, dash) => {
    const line = { stroke: colour, "stroke-width": 1.5, "stroke-dasharray": dash };
    picture.append(shape("path", { d: `M${x(time)},${level + 4}V${FLOOR}`, ...line }));
    const half = words.length * 3.4; // about: nothing is to be cut off
    text(words, clamp(x(time), half, width - half), level, "middle", colour);
  };
  block(x(bandLow), CEILING, Math.max(1, x(bandHigh) - x(bandLow)), FLOOR - CEILING, "var(--band)");
  picture.append(...histogramBars(bins, x, y));
  block(SIDE, FLOOR, width - SIDE - 10, 1, "var(--dim)");
  for (const [time, words] of ticksOf(low, high, width, data.steps))
    text(words, x(time), FLOOR + 16);
  text(count(most), SIDE - 6, CEILING + 4, "end");
  text("0", SIDE - 6, FLOOR, "end");
  if (close(data.makespan)) {
    mark(data.makespan, `exact runtimes: ${duration(data.makespan)}`, 28, "var(--ink)", "none");
  }
  if (data.deadline !== null) {
    const words = `deadline ${duration(data.deadline)}`,
      colour = "var(--alarm-text)";
    if (close(data.deadline)) mark(data.deadline, words, 12, colour, "5 4");
    else if (data.deadline > high) text(`${words}, further right →`, width, 12, "end", colour);
    else text(`← ${words}`, 0, 12, "start", colour);
  }
  box.replaceChildren(...histogramTitle(total), picture);
};
