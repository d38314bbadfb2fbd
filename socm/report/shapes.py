"""One campaign as jobs and in allocations, side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from socm.errors import Infeasible
from socm.model.allocation import AnyPlan
from socm.units import format_core_hours, format_count, format_duration, format_walltime

Shapes = Mapping[str, AnyPlan | Infeasible]
"""For each shape its plan, or the reasons why no plan exists."""

_COLUMNS: dict[str, Callable[[AnyPlan], str]] = {
    "makespan": lambda plan: format_walltime(plan.makespan),
    "margin": lambda plan: "-" if plan.margin is None else format_duration(plan.margin),
    "nodes": lambda plan: format_count(plan.peak_nodes),
    "jobs": lambda plan: format_count(len(plan.jobs)),
    "node-h": lambda plan: format_core_hours(plan.node_hours),
    "core-h": lambda plan: format_core_hours(plan.core_hours),
    "charged": lambda plan: format_core_hours(plan.charged_core_hours),
    "QOS": lambda plan: ", ".join(_qos_names(plan)) or "-",
}


def shapes_table(shapes: Shapes) -> Table:
    """Return a table with a row for each shape of a campaign."""
    plans = [plan for plan in shapes.values() if not isinstance(plan, Infeasible)]
    charged = any(round(p.charged_core_hours) != round(p.core_hours) for p in plans)
    columns = {k: v for k, v in _COLUMNS.items() if charged or k != "charged"}
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("shape", no_wrap=True)
    for name in columns:
        if name == "QOS":
            table.add_column(name, overflow="fold")
        else:
            table.add_column(name, justify="right", no_wrap=True)
    for shape, plan in shapes.items():
        if isinstance(plan, Infeasible):
            table.add_row(shape, "no plan", style="dim")
        else:
            cells = [cell(plan) for cell in columns.values()]
            table.add_row(shape, *cells, style=None if plan.feasible else "dim")
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
            "qos": _qos_names(plan),
        }
        for shape, plan in shapes.items()
    ]


def _qos_names(plan: AnyPlan) -> list[str]:
    """Name the QOS of a plan, the one with the most workflows first."""
    return [qos for qos, _ in Counter(w.qos for w in plan.workflows if w.qos).most_common()]
