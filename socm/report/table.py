"""Tables of a plan for the terminal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from socm.model.allocation import AnyPlan
from socm.model.placement import PlannedWorkflow
from socm.units import (
    HOUR,
    format_core_hours,
    format_count,
    format_duration,
    format_walltime,
)
from socm.words import count

WIDE = 100
"""From this many columns on, a table shows ranks and threads."""
NARROW = 70
"""Below this many columns, it shows only the nodes and the times of each workflow."""


def plan_table(plan: AnyPlan, workflows: Sequence[PlannedWorkflow], *, width: int = 80) -> Table:
    """Return a table of planned workflows, those on the critical chain in bold.

    Parameters
    ----------
    workflows
        Those of the plan that are listed; the last line sums up all of them.
    width
        Columns of the terminal.
    """
    wide, narrow = width >= WIDE, width < NARROW
    partitions = len(plan.cluster.partitions) > 1
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_footer=True, padding=(0, 1, 0, 0))
    table.add_column("workflow", footer=count(len(plan.workflows), "workflow"), overflow="fold")
    if partitions:
        table.add_column("partition")
    if not narrow:
        table.add_column("QOS")
    table.add_column("nodes", justify="right", footer=format_count(plan.peak_nodes))
    if wide:
        table.add_column("ranks", justify="right")
    table.add_column("start", justify="right", no_wrap=True)
    table.add_column("finish", justify="right", no_wrap=True, footer=format_walltime(plan.makespan))
    if not narrow:
        table.add_column("walltime", justify="right", no_wrap=True)
        table.add_column("core-h", justify="right", footer=format_core_hours(plan.core_hours))
    critical = set(plan.critical_chain)
    for w in workflows:
        cells = [w.name]
        if partitions:
            cells.append(w.partition)
        if not narrow:
            cells.append(w.qos or "-")
        cells.append(str(len(w.placements)))
        if wide:
            cells.append(f"{plan.campaign.workflows[w.name].request.ranks}×{w.threads}")
        cells += [format_walltime(w.start), format_walltime(w.finish)]
        if not narrow:
            cells += [format_walltime(w.walltime), format_core_hours(_core_hours([w]))]
        table.add_row(*cells, style="bold" if w.name in critical else None)
    return table


def facts_table(facts: Iterable[tuple[str, str]]) -> Table:
    """Return names and values, without a grid."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, value)
    return table


def campaign_table(plan: AnyPlan) -> Table:
    """Return for each workflow type how many workflows a plan has, and their times and cost."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_footer=True, padding=(0, 1, 0, 0))
    table.add_column("type", footer="all", no_wrap=True)
    for name, footer in (
        ("workflows", format_count(len(plan.workflows))),
        ("dependencies", format_count(sum(map(len, plan.campaign.children.values())))),
        ("shortest", ""),
        ("longest", ""),
        ("finish", format_walltime(plan.makespan)),
        ("core-h", format_core_hours(plan.core_hours)),
    ):
        table.add_column(name, justify="right", footer=footer)
    by_type: dict[str, list[PlannedWorkflow]] = defaultdict(list)
    for w in plan.workflows:
        by_type[plan.campaign.workflows[w.name].kind].append(w)
    for kind, workflows in by_type.items():
        durations = [w.duration for w in workflows]
        table.add_row(
            kind,
            format_count(len(workflows)),
            format_count(sum(len(plan.campaign.workflows[w.name].depends) for w in workflows)),
            format_duration(min(durations)),
            format_duration(max(durations)),
            format_walltime(max(w.finish for w in workflows)),
            format_core_hours(_core_hours(workflows)),
        )
    return table


def _core_hours(workflows: Iterable[PlannedWorkflow]) -> float:
    return sum(w.cores * w.duration for w in workflows) / HOUR


def exceptions(plan: AnyPlan, most: int) -> tuple[PlannedWorkflow, ...]:
    """Return some workflows of a long plan: the critical chain, then the largest by core-hours.

    Parameters
    ----------
    most
        The number of workflows, which are in the order of the plan.
    """
    critical = set(plan.critical_chain)
    ranked = sorted(plan.workflows, key=lambda w: (w.name not in critical, -w.cores * w.duration))
    return tuple(sorted(ranked[:most], key=lambda w: (w.start, -w.upward_rank)))
