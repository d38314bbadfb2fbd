// Numbers, durations and memory in words, as the command line writes them.

const MINUTE = 60,
  HOUR = 60 * MINUTE,
  DAY = 24 * HOUR;

export const count = (number) =>
  Math.round(number)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, "\u202f");
export const plural = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
export const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;

export const duration = (seconds) => {
  if (seconds < 0) return `-${duration(-seconds)}`;
  const step = seconds >= DAY ? HOUR : seconds >= HOUR ? MINUTE : 1;
  const whole = Math.floor((Math.round(seconds) + Math.floor(step / 2)) / step) * step;
  for (const [size, large, smaller, small] of [
    [DAY, "d", HOUR, "h"],
    [HOUR, "h", MINUTE, "min"],
    [MINUTE, "min", 1, "s"],
  ]) {
    if (whole < size) continue;
    const rest = Math.floor((whole % size) / smaller);
    return `${Math.floor(whole / size)} ${large}${rest ? ` ${rest} ${small}` : ""}`;
  }
  return `${whole} s`;
};

export const clock = (seconds) => {
  const two = (number) => String(number).padStart(2, "0");
  const days = Math.floor(seconds / DAY),
    hours = Math.floor((seconds % DAY) / HOUR);
  const rest = `${two(Math.floor((seconds % HOUR) / MINUTE))}:${two(seconds % MINUTE)}`;
  return days ? `${days}-${two(hours)}:${rest}` : `${hours}:${rest}`;
};

/** Writes a time in full, down to the unit that steps of this size need: ticks are to differ. */
export const instant = (seconds, step) => {
  const smallest = [DAY, HOUR, MINUTE].find((unit) => step >= unit) ?? 1;
  let rest = Math.round(seconds / smallest) * smallest;
  const parts = [];
  for (const [size, unit] of [
    [DAY, "d"],
    [HOUR, "h"],
    [MINUTE, "min"],
    [1, "s"],
  ]) {
    if (rest >= size) parts.push(`${Math.floor(rest / size)} ${unit}`);
    rest %= size;
  }
  return parts.join(" ") || "0";
};

export const memory = (megabytes) => {
  for (const [size, unit] of [
    [1024 ** 2, "TB"],
    [1024, "GB"],
  ]) {
    if (megabytes < 0.9995 * size) continue;
    const amount = megabytes / size;
    const digits = amount < 9.995 ? 2 : amount < 99.95 ? 1 : 0;
    return `${amount.toFixed(digits).replace(/\.0+$/, "")} ${unit}`;
  }
  return `${Math.round(megabytes)} MB`;
};

/** Times for the axis, with what to write there: as many as there is room for. */
export const ticksOf = (from, to, width, steps) => {
  const most = Math.max(2, Math.floor(width / 120));
  const step = steps.find((each) => to - from <= most * each) ?? steps.at(-1);
  const ticks = [];
  for (let time = Math.ceil(from / step) * step; time <= to; time += step)
    ticks.push([time, instant(time, step)]);
  return ticks;
};
