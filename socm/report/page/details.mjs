// Words around the chart: the legend, the chosen workflow, and the one under the pointer.

import { count } from "./words.mjs";
import { factsOf } from "./workflows.mjs";
import { clamp, element, make, shape, swatch } from "./dom.mjs";
import { all, bandHigh, chain, data, groups, ink, state } from "./view.mjs";

const MOST_LINKS = 40;

export const showLegend = () => {
  const line = (attributes) =>
    shape(
      "svg",
      { viewBox: "0 0 26 12", "aria-hidden": "true" },
      shape("path", { fill: "none", ...attributes }),
    );
  const box = "M1,1H25V11H1Z",
    level = "M1,6H25",
    upright = "M13,0V12";
  const named = [...new Set(groups.values())].sort(
    (a, b) => (a.label === "others") - (b.label === "others"),
  );
  const items = named.map((group) => [
    swatch(group.colour),
    `${group.label} (${count(group.size)})`,
  ]);
  items.push([line({ d: box, stroke: ink.ink, "stroke-width": 2 }), "critical chain"]);
  items.push([line({ d: "M1,3V11H25V3", stroke: ink.dim }), "as planned"]);
  if (chain.some((w, k) => k && !w.depends.includes(chain[k - 1])))
    items.push([
      line({ d: level, stroke: ink.ink, "stroke-dasharray": "2 3", "stroke-width": 1.3 }),
      "waits for its nodes or limit",
    ]);
  if (all.some((w) => w.attempts > 1)) {
    const hatched = swatch(data.palette.at(-1));
    hatched.style.backgroundImage =
      "repeating-linear-gradient(135deg, white 0 1.5px, transparent 1.5px 4px)";
    items.push([hatched, "retried"]);
  }
  if (all.some((w) => w.status === "failed"))
    items.push([line({ d: box, stroke: ink.alarm, "stroke-width": 2 }), "failed"]);
  if (bandHigh !== undefined) items.push([swatch(ink.band), "90 % of the replications end here"]);
  if (data.deadline !== null)
    items.push([
      line({ d: upright, stroke: ink.alarm, "stroke-dasharray": "3 2", "stroke-width": 1.5 }),
      "deadline",
    ]);
  element("legend").replaceChildren(...items.map((parts) => make("li", {}, ...parts)));
};

const sheet = (w) => {
  const list = make("dl", { class: "sheet" });
  for (const [name, value] of factsOf(w)) list.append(make("dt", {}, name), make("dd", {}, value));
  return list;
};

const links = (title, workflows) => {
  const list = make("ul", { class: "links" });
  for (const w of workflows.slice(0, MOST_LINKS)) {
    const button = make("button", { type: "button", "data-workflow": w.index }, w.name);
    list.append(make("li", {}, button));
  }
  if (workflows.length > MOST_LINKS)
    list.append(make("li", {}, `and ${count(workflows.length - MOST_LINKS)} more`));
  return workflows.length ? [make("h3", {}, `${title} (${count(workflows.length)})`), list] : [];
};

export const showDetails = () => {
  const { chosen } = state;
  element("details").replaceChildren(
    ...(chosen
      ? [
          make("h2", {}, chosen.name),
          sheet(chosen),
          ...links("depends on", chosen.depends),
          ...links("needed by", chosen.dependants),
        ]
      : [
          make("h2", {}, "No workflow chosen"),
          make(
            "p",
            { class: "quiet" },
            "Click a bar or a row of the table to see its dependencies.",
          ),
          ...links("critical chain", chain),
        ]),
  );
};

export const hideTip = () => {
  element("tip").hidden = true;
};

export const showTip = (w, x, y) => {
  const tip = element("tip");
  const list = sheet(w);
  const parents = w.depends
    .slice(0, 6)
    .map((parent) => parent.name)
    .join(", ");
  const more = w.depends.length > 6 ? ` and ${count(w.depends.length - 6)} more` : "";
  if (parents) list.append(make("dt", {}, "depends on"), make("dd", {}, parents + more));
  tip.replaceChildren(make("strong", {}, w.name), list);
  tip.hidden = false;
  const { offsetWidth, offsetHeight } = tip;
  const right = x + 16 + offsetWidth > window.innerWidth ? x - 16 - offsetWidth : x + 16;
  tip.style.left = `${Math.max(4, right)}px`;
  tip.style.top = `${clamp(y + 16, 4, Math.max(4, window.innerHeight - offsetHeight - 4))}px`;
};
