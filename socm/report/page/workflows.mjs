// What is known of the workflows, apart from how it is shown.

import { clock, count, duration, memory, percent, plural } from "./words.mjs";

/** Turns columns into workflows, in order of start; those that never ran have a start of null. */
export const readWorkflows = (columns) => {
  const at = (column, k) => (Array.isArray(column) ? column[k] : column);
  const text = ({ texts, which }, k) => texts[at(which, k)];
  let name = "";
  const workflows = Array.from({ length: columns.count }, (_, k) => {
    const [shared, rest] = columns.name[k];
    name = name.slice(0, shared) + rest;
    const start = columns.start[k],
      took = columns.duration[k];
    const plannedStart = (start ?? 0) - at(columns.startsLater, k);
    const asked = at(columns.memory, k),
      share = at(columns.perMilleCritical, k);
    return {
      index: k,
      name,
      start,
      finish: start === null ? null : start + took,
      plannedStart,
      plannedFinish: plannedStart + took - at(columns.takesLonger, k),
      lower: name.toLowerCase(),
      kind: text(columns.kind, k),
      qos: text(columns.qos, k) ?? "none",
      partition: text(columns.partition, k),
      status: text(columns.status, k),
      attempts: at(columns.attempts, k),
      walltime: at(columns.walltime, k),
      nodes: at(columns.nodes, k),
      ranks: at(columns.ranks, k),
      threads: at(columns.threads, k),
      gpus: at(columns.gpus, k),
      cores: at(columns.cores, k),
      memory: asked,
      held: asked + at(columns.heldMore, k),
      criticality: share === null ? null : share / 1000,
      onChain: false,
      row: -1, // in the chart as it is drawn now
      depends: [],
      dependants: [],
    };
  });
  workflows.forEach((w, k) => {
    w.depends = columns.depends[k].map((parent) => workflows[parent]);
    for (const parent of w.depends) parent.dependants.push(w);
  });
  return workflows;
};

/** Says what there is to know of a workflow, by name. */
export const factsOf = (w) => {
  const facts = [];
  if (w.start === null) facts.push(["runs", "did not run"]);
  else
    facts.push([
      "runs",
      `${clock(w.start)} to ${clock(w.finish)} (${duration(w.finish - w.start)})`,
    ]);
  if (w.start !== w.plannedStart || w.finish !== w.plannedFinish)
    facts.push(["planned", `${clock(w.plannedStart)} to ${clock(w.plannedFinish)}`]);
  if (w.status !== "completed") facts.push(["status", w.status]);
  if (w.attempts > 1) facts.push(["attempts", count(w.attempts)]);
  facts.push(
    ["walltime", clock(w.walltime)],
    ["type", w.kind],
    ["QOS", w.qos],
    ["partition", w.partition],
    ["nodes", count(w.nodes)],
    ["ranks × threads", `${count(w.ranks)} × ${w.threads}, ${plural(w.cores, "core")} reserved`],
    ["memory", memory(w.memory) + (w.held > 1.01 * w.memory ? `, ${memory(w.held)} reserved` : "")],
  );
  if (w.gpus) facts.push(["GPUs", count(w.gpus)]);
  const often = w.criticality === null ? "" : `in ${percent(w.criticality)} of the replications`;
  facts.push([
    "critical",
    [w.onChain ? "in the exact run" : "", often].filter(Boolean).join(", ") || "no",
  ]);
  return facts;
};

/** Adds up what workflows hold: from each time on, cores and MB. */
export const usageOf = (workflows, whole) => {
  const changes = [];
  for (const w of workflows) {
    if (w.start === null) continue;
    changes.push([w.start, w.cores, w.held], [w.finish, -w.cores, -w.held]);
  }
  changes.sort((a, b) => a[0] - b[0]);
  const times = [],
    cores = [],
    held = [];
  let ofCores = 0,
    ofMemory = 0;
  for (const [time, moreCores, moreMemory] of changes) {
    ofCores += moreCores;
    ofMemory += moreMemory;
    if (times.at(-1) !== time) times.push(time);
    cores[times.length - 1] = ofCores / whole.cores;
    held[times.length - 1] = ofMemory / whole.memory;
  }
  return { times, cores, held };
};

/** Groups workflows by kind or QOS: the large ones have colours, the others share grey. */
export const groupsBy = (key, workflows, palette) => {
  const sizes = new Map();
  for (const w of workflows) sizes.set(w[key], (sizes.get(w[key]) ?? 0) + 1);
  const colours = palette.slice(0, -1),
    grey = palette.at(-1);
  const large = new Set(
    [...sizes]
      .sort((a, b) => b[1] - a[1])
      .slice(0, colours.length)
      .map(([name]) => name),
  );
  const groups = new Map();
  const others = { label: "others", colour: grey, size: 0 };
  for (const [name, size] of sizes) {
    if (large.has(name)) groups.set(name, { label: name, colour: colours.shift(), size });
    else groups.set(name, Object.assign(others, { size: others.size + size }));
  }
  return groups;
};
