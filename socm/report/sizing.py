"""What budgets come to, and which to ask for: a table, words, and JSON data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from socm.model.campaign import Budget
from socm.planner.sizing import Sizing
from socm.planner.sizing.budgets import Size
from socm.report.verdict import before
from socm.units import format_core_hours, format_count, format_duration, format_walltime


def sizing_table(sizing: Sizing) -> Table:
    """Return a table of budgets by nodes, the chosen one in bold."""
    charged = any(_differ(size) for size in sizing.rows)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("nodes", "makespan", "core-h", *(["charged"] if charged else []), "margin"):
        table.add_column(name, justify="right", no_wrap=True)
    for size in sizing.rows:
        plan, margin = size.plan, size.margin
        table.add_row(
            format_count(size.nodes),
            format_walltime(plan.makespan),
            format_core_hours(plan.core_hours),
            *([format_core_hours(plan.charged_core_hours)] if charged else []),
            "-" if margin is None else format_duration(margin),
            style="bold green" if size is sizing.chosen else None if size.in_time else "dim",
        )
    return table


def _differ(size: Size) -> bool:
    return round(size.plan.charged_core_hours) != round(size.plan.core_hours)


def sizing_verdict(sizing: Sizing) -> str:
    """Say in one line which budget is the smallest that meets the deadline."""
    size, plan = sizing.best, sizing.best.plan
    deadline, done = plan.campaign.deadline, format_duration(plan.makespan)
    if deadline is None:
        return (
            "No deadline is given, so no budget is the smallest that makes it; "
            'say deadline = "3d" in [campaign].'
        )
    if sizing.chosen is not None:
        return (
            f"{_nodes(size.nodes)} will do: done after {done}, {before(deadline - plan.makespan)} "
            f"the deadline of {format_duration(deadline)}."
        )
    return (
        f"No budget meets the deadline of {format_duration(deadline)}: the shortest plan, with "
        f"{_nodes(size.nodes)}, is done after {done}."
    )


def sizing_reasons(sizing: Sizing) -> Iterator[str]:
    """Say why nothing smaller does, or nothing at all, and what is not known."""
    plan = sizing.best.plan
    if plan.campaign.deadline is None:
        return
    everything = sum(p.nodes for p in plan.cluster.distinct)
    if sizing.floor > everything and sizing.bound is not None:
        yield (
            f"with all {_nodes(everything)} of {plan.cluster.name} no plan ends before "
            f"{format_duration(sizing.bound)} (lower bound)"
        )
        yield f"the longest chain is {_chain(plan.critical_chain)}"
        return
    if sizing.floor > 1:
        fewer = f"with {_nodes(sizing.floor - 1)}" + " or fewer" * (sizing.floor > 2)
        yield (
            f"{fewer} no plan ends before {format_duration(sizing.bound)} (lower bound)"
            if sizing.bound is not None
            else f"{fewer} some workflow does not fit"
        )
    end = sizing.chosen.nodes if sizing.chosen else everything + 1
    if late := [size.nodes for size in sizing.rows if sizing.floor <= size.nodes < end]:
        yield f"planned with {_listed(late)} node{'s' * (late != [1])}, and late"
    if sizing.untried:
        spans = [f"{a} to {b}" if b > a else f"{a}" for a, b in sizing.untried]
        yield f"not tried, so that one of them may do: {', '.join(spans)} nodes"
    yield from _cost_reasons(sizing)


def _cost_reasons(sizing: Sizing) -> Iterator[str]:
    """Say how near the cheapest plan is to what every plan costs."""
    if sizing.least is None or sizing.chosen is None:
        return
    charged = sizing.minimize == "charge"
    cost, usual = (
        (size.plan.charged_core_hours if charged else size.plan.core_hours) if size else None
        for size in (sizing.chosen, sizing.usual)
    )
    assert cost is not None
    what = "core-hours charged" if charged else "core-hours"
    if cost <= sizing.least * (1 + 1e-9):
        yield f"{format_core_hours(cost)} {what}: no plan takes less"
    else:
        least = format_core_hours(sizing.least)
        yield f"{format_core_hours(cost)} {what}; every plan takes at least {least}"
    if usual is not None:
        yield f"where time alone counts, the same nodes take {format_core_hours(usual)}"


def to_write(sizing: Sizing, budget: Budget, *, yaml: bool) -> Iterator[str]:
    """Say what to write into the campaign file; line by line.

    Parameters
    ----------
    budget
        What the file has now.
    yaml
        Whether it is a YAML file, else TOML.
    """
    if sizing.chosen is None:
        return
    nodes = sizing.chosen.nodes
    now = [
        f"{key} = {value}"
        for key, value in (("requested_resources", budget.cores), ("nodes", budget.nodes))
        if value is not None and (key, value) != ("nodes", nodes)
    ]
    instead = f", in place of {' and '.join(now)}" if now else ""
    yield f"To ask for that, write into the campaign file{instead}:"
    yield ""
    yield from (
        ("  campaign:", f"    resources: {{nodes: {nodes}}}")
        if yaml
        else ("  [campaign.resources]", f"  nodes = {nodes}")
    )
    held: dict[tuple[str | None, str | None], list[str]] = {}
    for name, where in sizing.named.items():
        held.setdefault(where, []).append(name)
    for (partition, qos), names in held.items():
        pairs = [("partition", partition), ("qos", qos)]
        keys = [f'{key} = "{value}"' for key, value in pairs if value is not None]
        yield ""
        yield f"and {', '.join(keys)} into the resources of {_listed(names)}"
    yield ""
    yield "`socm simulate` then says how sure that is."


def sizing_rows(sizing: Sizing) -> list[dict[str, Any]]:
    """Return the rows as JSON data."""
    return [
        {
            "nodes": size.nodes,
            "makespan_s": size.plan.makespan,
            "lower_bound_s": size.plan.lower_bound,
            "core_hours": size.plan.core_hours,
            "charged_core_hours": size.plan.charged_core_hours,
            "margin_s": size.margin,
            "feasible": size.plan.feasible,
            "chosen": size is sizing.chosen,
        }
        for size in sizing.rows
    ]


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{format_count(count)} nodes"


def _listed(items: list[Any], most: int = 6) -> str:
    """List things; of many, the first ones.

    Examples
    --------
    >>> _listed([3, 4]), _listed(["a"] * 9, most=2)
    ('3, 4', 'a, a and 7 more')
    """
    text = ", ".join(map(str, items[:most]))
    return text if len(items) <= most else f"{text} and {len(items) - most} more"


def _chain(names: tuple[str, ...], most: int = 6) -> str:
    shown = names if len(names) <= most else (*names[: most // 2], "…", *names[-(most // 2) :])
    return " → ".join(shown)
