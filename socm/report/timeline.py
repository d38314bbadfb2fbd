"""A page to look around in a simulation: one HTML file that needs nothing else."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape as escaped
from importlib.resources import files
from itertools import takewhile
from typing import Any

from socm.model.outcome import Simulation, WorkflowOutcome, quantile
from socm.report.style import COLOURS, OTHERS, STEPS
from socm.report.terminal import printable
from socm.report.usage import available_memory, held_memory
from socm.report.verdict import SURE, simulation_facts, simulation_verdict
from socm.units import format_count

MOST_BINS, MOST_WARNINGS = 40, 20
MODULES = (
    *("words", "workflows", "dom", "view", "layout", "gantt", "usage", "details"),
    *("histogram", "table", "choice", "input", "main"),
)
"""Of the page's script, in the order in which they need one another."""
PROSE = {"at risk", "assumed"}
"""Facts that are sentences; each of the others begins with what is to catch the eye."""


def page(simulation: Simulation) -> str:
    """Return the page: what there is to say in words, and the data for what it draws."""
    plan, chance = simulation.plan, simulation.probability
    sure = "good" if chance is None or chance >= SURE else "unsure"
    pieces = {
        "title": escape(f"{plan.campaign.name} on {plan.cluster.name}"),
        "mood": sure if simulation.feasible else "late",
        "verdict": escape(simulation_verdict(simulation)),
        "facts": "\n".join(_fact(name, text) for name, text in simulation_facts(simulation)),
        "warnings": _warnings(plan.warnings),
        "data": embedded(page_data(simulation)),
        "theme": _part("theme.js"),
        "style": _part("style.css"),
        "script": script(),
    }
    # In one go: what a name holds is never taken for a gap.
    return re.sub(r"\{\{(\w+)\}\}", lambda gap: pieces[gap[1]], _part("page.html"))


def script() -> str:
    """Return the page's script: its modules one after the other, as one.

    Each imports only from those before it, and no two give one name to different things.
    """
    modules = "\n".join(_part(f"{name}.mjs") for name in MODULES)
    modules = re.sub(r"^import [^;]*;\n", "", modules, flags=re.MULTILINE)
    return re.sub(r"^export ", "", modules, flags=re.MULTILINE)


def _part(name: str) -> str:
    return files("socm.report").joinpath("page", name).read_text(encoding="utf-8")


def escape(text: str) -> str:
    """Return text that stands in a page as it is, and does nothing."""
    return escaped(printable(text))


def embedded(data: object) -> str:
    r"""Write JSON that may stand in a script element.

    Examples
    --------
    >>> print(embedded({"name": "</script>"}))
    {"name":"\u003c/script\u003e"}
    """
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return re.sub("[<>&]", lambda sign: f"\\u{ord(sign[0]):04x}", text)


def page_data(simulation: Simulation) -> dict[str, Any]:
    """Return what the page draws; times in whole seconds, for nothing finer can be seen."""
    plan, exact = simulation.plan, simulation.exact
    ran_last = (math.inf, math.inf)  # those that never ran
    ordered = sorted(
        exact.workflows,
        key=lambda w: ran_last if w.start is None else (w.start, w.finish or w.start),
    )
    number = {w.name: k for k, w in enumerate(ordered)}
    band = [quantile(simulation.makespans, q) for q in (0.05, 0.95)]
    return {
        "makespan": round(exact.makespan),
        "deadline": plan.campaign.deadline,
        "band": [round(end) for end in band if end is not None],
        "replications": simulation.replications,
        "histogram": histogram(simulation.makespans, plan.campaign.deadline),
        "cores": simulation.available_cores,
        "memory": available_memory(simulation),
        "palette": [*COLOURS, OTHERS],
        "steps": STEPS,
        "critical": [number[name] for name in exact.critical_chain],
        "workflows": _columns(simulation, ordered, number),
    }


def _columns(
    simulation: Simulation, ordered: Sequence[WorkflowOutcome], number: Mapping[str, int]
) -> dict[str, Any]:
    """Return the facts of the workflows fact by fact: ten thousand workflows are to stay small."""
    plan, often = simulation.plan, simulation.criticality
    rows = [(w, plan.by_name[w.name], plan.campaign.workflows[w.name]) for w in ordered]
    starts = [None if w.start is None else round(w.start) for w in ordered]
    took = [round((w.finish or 0) - (w.start or 0)) for w in ordered]
    return {
        "count": len(rows),
        "name": [*_rests(printable(w.name) for w in ordered)],
        "kind": _indexed(w.kind for _, _, w in rows),
        "qos": _indexed(p.qos for _, p, _ in rows),
        "partition": _indexed(p.partition for _, p, _ in rows),
        "status": _indexed(w.status for w in ordered),
        "attempts": _column(w.attempts for w in ordered),
        "start": starts,
        "duration": took,
        # Mostly all is as planned; then these are zeros.
        "startsLater": _column(
            (start or 0) - p.start for start, (_, p, _) in zip(starts, rows, strict=True)
        ),
        "takesLonger": _column(
            seconds - p.duration for seconds, (_, p, _) in zip(took, rows, strict=True)
        ),
        "walltime": _column(p.walltime for _, p, _ in rows),
        "nodes": _column(len(p.placements) for _, p, _ in rows),
        "ranks": _column(w.request.ranks for _, _, w in rows),
        "threads": _column(p.threads for _, p, _ in rows),
        "gpus": _column(w.request.ranks * w.request.gpus for _, _, w in rows),
        "cores": _column(p.cores for _, p, _ in rows),
        "memory": _column(w.request.memory for _, _, w in rows),
        "heldMore": _column(held_memory(plan, w.name) - w.request.memory for _, _, w in rows),
        "perMilleCritical": _column(
            round(1000 * often[w.name]) if w.name in often else None for w in ordered
        ),
        "depends": [[number[name] for name in w.depends] for _, _, w in rows],
    }


def _column(values: Iterable[Any]) -> Any:
    """Return a column; one that says the same of all is what it says."""
    column = [*values]
    return column[0] if column and column.count(column[0]) == len(column) else column


def _rests(names: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield of each name how much it shares with the one before, as JavaScript counts; the rest."""
    before = ""
    for name in names:
        pairs = takewhile(lambda pair: pair[0] == pair[1], zip(before, name, strict=False))
        shared = "".join(sign for sign, _ in pairs)
        yield len(shared.encode("utf-16-le", "surrogatepass")) // 2, name[len(shared) :]
        before = name


def _indexed(values: Iterable[str | None]) -> dict[str, Any]:
    """Return each text once, in the order in which they come, and a column of which is whose."""
    column = [text and printable(text) for text in values]
    places = {text: k for k, text in enumerate(dict.fromkeys(column))}
    return {"texts": [*places], "which": _column(places[text] for text in column)}


def histogram(makespans: Sequence[float], deadline: int | None) -> dict[str, Any] | None:
    """Count makespans in bins of a round width, none of which lies on both sides of the deadline.

    Bin k holds what ends after ``start + k · step``, and not after ``start + (k + 1) · step``.

    Examples
    --------
    >>> histogram([90.0, 100.0, 101.0, 130.0], deadline=100)
    {'start': 85, 'step': 5, 'counts': [1, 0, 1, 1, 0, 0, 0, 0, 1]}
    """
    if not makespans:
        return None
    origin, span = deadline or 0, max(makespans) - min(makespans)
    most = min(MOST_BINS, 8 + round(math.sqrt(len(makespans))))
    step = next(step for step in STEPS if span <= (most - 1) * step)
    bins = Counter(math.ceil((end - origin) / step) - 1 for end in makespans)
    counts = [bins[k] for k in range(min(bins), max(bins) + 1)]
    return {"start": origin + min(bins) * step, "step": step, "counts": counts}


def _fact(name: str, text: str) -> str:
    """Write a fact; what it begins with is set large."""
    prose = name in PROSE
    ends = "$" if prose else r"[;,] | \(| (?=of )|$"
    head, sign, rest = re.split(f"({ends})", text, maxsplit=1)
    if sign == " (":
        rest = rest.removesuffix(")")
    said = f"<b>{escape(head)}</b>" + (f" <span>{escape(rest)}</span>" if rest else "")
    kind = "prose" if prose else "number"
    return f'<div class="{kind}"><dt>{escape(name)}</dt><dd>{said}</dd></div>'


def _warnings(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    items = [escape(warning) for warning in warnings[:MOST_WARNINGS]]
    if more := len(warnings) - len(items):
        items.append(f"and {format_count(more)} more")
    said = f"{format_count(len(warnings))} warning" + "s" * (len(warnings) > 1)
    listed = "".join(f"<li>{item}</li>" for item in items)
    return f'<details class="warnings" open><summary>{said}</summary><ul>{listed}</ul></details>'
