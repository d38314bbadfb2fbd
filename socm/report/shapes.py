"""One campaign as jobs and in allocations, side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from socm.errors import Infeasible
from socm.model.allocation import AnyPlan
from socm.units import format_core_hours, format_count, format_duration, format_walltime

Shapes = Mapping[str, AnyPlan | Infeasible]
"""What each shape comes to: a plan, or the reasons why there is none."""


def shapes_table(shapes: Shapes) -> Table:
    """Return a table of what the shapes of a campaign come to."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("shape", no_wrap=True)
    plans = [plan for plan in shapes.values() if not isinstance(plan, Infeasible)]
    charged = any(round(p.charged_core_hours) != round(p.core_hours) for p in plans)
    columns = ["makespan", "margin", "nodes", "jobs", "node-h", "core-h"]
    for name in [*columns, *(["charged"] if charged else [])]:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("QOS", overflow="fold")
    for shape, plan in shapes.items():
        if isinstance(plan, Infeasible):
            table.add_row(shape, "no plan", style="dim")
            continue
        deadline = plan.campaign.deadline
        table.add_row(
            shape,
            format_walltime(plan.makespan),
            "-" if deadline is None else format_duration(deadline - plan.makespan),
            format_count(plan.peak_nodes),
            format_count(len(plan.jobs)),
            format_core_hours(plan.node_hours),
            format_core_hours(plan.core_hours),
            *([format_core_hours(plan.charged_core_hours)] if charged else []),
            ", ".join(_tiers(plan)) or "-",
            style=None if plan.feasible else "dim",
        )
    return table


def shapes_rows(shapes: Shapes) -> list[dict[str, Any]]:
    """Return the rows as JSON data."""
    return [
        {"shape": shape, "reasons": [*plan.reasons]}
        if isinstance(plan, Infeasible)
        else {
            "shape": shape,
            "makespan_s": plan.makespan,
            "feasible": plan.feasible,
            "nodes": plan.peak_nodes,
            "jobs": len(plan.jobs),
            "core_hours": plan.core_hours,
            "node_hours": plan.node_hours,
            "charged_core_hours": plan.charged_core_hours,
            "qos": _tiers(plan),
        }
        for shape, plan in shapes.items()
    ]


def _tiers(plan: AnyPlan) -> list[str]:
    """Name the QOS that are used, the one with the most workflows first."""
    return [qos for qos, _ in Counter(w.qos for w in plan.workflows if w.qos).most_common()]
