"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from socm.config.findings import Resolved
from socm.config.schema import kebab
from socm.model.allocation import AnyPlan
from socm.model.cluster import Cluster
from socm.model.placement import PlannedWorkflow
from socm.units import (
    HOUR,
    format_core_hours,
    format_count,
    format_duration,
    format_memory,
    format_walltime,
)

WIDE = 100
"""Columns from which a table shows what is good to know but not needed."""
NARROW = 70
"""Below these, it shows only who runs when."""


def plan_table(plan: AnyPlan, workflows: Sequence[PlannedWorkflow], *, width: int = 80) -> Table:
    """Return a table of planned workflows, those on the critical chain in bold.

    Where there is room, ranks and threads are in it too.
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_footer=True, padding=(0, 1, 0, 0))
    wide, narrow = width >= WIDE, width < NARROW
    several = len(plan.cluster.partitions) > 1
    table.add_column("workflow", footer=f"{len(plan.workflows)} workflows", overflow="fold")
    if several:
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
        request = plan.campaign.workflows[w.name].request
        table.add_row(
            w.name,
            *([w.partition] if several else []),
            *([] if narrow else [w.qos or "-"]),
            str(len(w.placements)),
            *([f"{request.ranks}×{w.threads}"] if wide else []),
            format_walltime(w.start),
            format_walltime(w.finish),
            *(
                []
                if narrow
                else [
                    format_walltime(w.walltime),
                    format_core_hours(w.cores * w.duration / HOUR),
                ]
            ),
            style="bold" if w.name in critical else None,
        )
    return table


def facts_table(facts: Iterable[tuple[str, str]]) -> Table:
    """Return names and values without lines."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, value)
    return table


def cluster_tables(cluster: Cluster) -> Iterable[Table]:
    """Yield the partitions and the QOS of a cluster, with the source of each figure."""
    partitions = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("partition", "nodes", "cores", "memory", "GPUs", "speed", "walltime", "shared"):
        partitions.add_column(name, justify="left" if name == "partition" else "right")
    for p in cluster.partitions:
        partitions.add_row(
            p.name,
            format_count(p.nodes),
            str(p.cores),
            format_memory(p.memory),
            str(p.gpus or "-"),
            f"{p.speed:g}",
            format_walltime(p.walltime) if p.walltime else "-",
            "no" if p.exclusive else "yes",
        )
    yield partitions
    if cluster.qos:
        tiers = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        for name in ("QOS", "walltime", "jobs", "cores", "cores/job", "nodes/job", "charge"):
            tiers.add_column(name, justify="left" if name == "QOS" else "right", no_wrap=True)
        tiers.add_column("")
        for q in cluster.tiers:
            tiers.add_row(
                q.name,
                format_walltime(q.walltime) if q.walltime else "-",
                *(
                    format_count(limit) if limit is not None else "-"
                    for limit in (q.running_jobs, q.cores, q.cores_per_job, q.nodes_per_job)
                ),
                f"{q.charge:g}",
                ", ".join(
                    word
                    for word, true in (("whole nodes", q.exclusive), ("on request", q.debug))
                    if true
                ),
            )
        yield tiers


def cluster_sources(cluster: Cluster) -> Iterable[tuple[str, str]]:
    """Yield where the figures of a cluster come from, and when that was looked at."""
    for name, source, checked, note in (
        (cluster.name, cluster.source, cluster.checked, cluster.description),
        *((p.name, p.source, p.checked, p.note) for p in cluster.partitions),
        *((q.name, q.source, q.checked, q.note) for q in cluster.qos),
    ):
        parts = [source or "no source", f"checked {checked}" if checked else "", note or ""]
        yield name, "; ".join(part for part in parts if part)


def campaign_table(plan: AnyPlan) -> Table:
    """Return how many workflows of each kind there are, and what they take."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_footer=True, padding=(0, 1, 0, 0))
    table.add_column("kind", footer="all", no_wrap=True)
    for name, footer in (
        ("workflows", format_count(len(plan.workflows))),
        ("depend on", format_count(plan.campaign.dag.number_of_edges())),
        ("shortest", ""),
        ("longest", ""),
        ("last ends", format_walltime(plan.makespan)),
        ("core-h", format_core_hours(plan.core_hours)),
    ):
        table.add_column(name, justify="right", footer=footer)
    kinds: dict[str, list[PlannedWorkflow]] = {}
    for w in plan.workflows:
        kinds.setdefault(plan.campaign.workflows[w.name].kind, []).append(w)
    for kind, workflows in kinds.items():
        durations = [w.duration for w in workflows]
        table.add_row(
            kind,
            format_count(len(workflows)),
            format_count(sum(len(plan.campaign.workflows[w.name].depends) for w in workflows)),
            format_duration(min(durations)),
            format_duration(max(durations)),
            format_walltime(max(w.finish for w in workflows)),
            format_core_hours(sum(w.cores * w.duration for w in workflows) / HOUR),
        )
    return table


def exceptions(plan: AnyPlan, most: int) -> tuple[PlannedWorkflow, ...]:
    """Return the workflows of a long plan that one would ask about, by start.

    Those on the critical chain, and then the largest by core-hours.
    """
    critical = set(plan.critical_chain)
    ranked = sorted(plan.workflows, key=lambda w: (w.name not in critical, -w.cores * w.duration))
    return tuple(sorted(ranked[:most], key=lambda w: (w.start, -w.upward_rank)))


def resolved_table(values: Iterable[Resolved]) -> Table:
    """Return keys, values and where they come from."""
    table = Table.grid(padding=(0, 2))
    for style in ("", "", "dim"):
        table.add_column(style=style, overflow="fold")
    for value in values:
        table.add_row(kebab(value.key), _value(value), value.origin)
    return table


def _value(resolved: Resolved) -> str:
    """Write a value in the unit of its key."""
    value = resolved.value
    if value is None:
        return "-"
    if isinstance(value, int) and resolved.key in ("deadline", "runtime", "walltime"):
        return format_duration(value)
    if isinstance(value, int) and resolved.key == "memory":
        return format_memory(value)
    if isinstance(value, dict):
        return ", ".join(f"{k}={v}" for k, v in value.items()) or "-"
    return str(value)


def keys_table(keys: Iterable[Mapping[str, Any]]) -> Table:
    """The keys of a workflow type."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("key", no_wrap=True)
    for title in ("type", "default"):
        table.add_column(title, overflow="fold", max_width=18)
    table.add_column("help", overflow="fold")
    for key in keys:
        default = "required" if key["required"] else _default(key["default"])
        also = f"Also {', '.join(key['aliases'])}." if key["aliases"] else ""
        told = f"{key['help']} {also}".strip()
        kind = f"{key['type']} ({key['unit']})" if key["unit"] else key["type"]
        table.add_row(key["name"], kind, default, told)
    return table


def _default(value: object) -> str:
    empty = value is None or value in ([], {})
    return "" if empty else str(value).lower() if isinstance(value, bool) else str(value)
