"""What could be raised so that a campaign ends sooner: its budget, nodes, and limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from socm.model.campaign import Budget
from socm.model.cluster import Cluster
from socm.model.partition import MOST_NODES
from socm.model.placement import peak
from socm.model.plan import Plan
from socm.model.qos import Qos
from socm.planner.whynot.changes import (
    Change,
    Limit,
    MoreNodes,
    MoreUses,
    RaisedBudget,
    RaisedLimit,
)

MOST_GROWTH = 10
"""A partition grows to at most this many times its nodes, if no budget can be raised."""


@dataclass(frozen=True, kw_only=True)
class Lever:
    """An amount that can be raised in steps.

    Parameters
    ----------
    most
        Number of steps.
    change
        The change for a number of steps.
    """

    most: int
    change: Callable[[int], Change]


def budget_levers(plan: Plan) -> Iterator[Lever]:
    """Yield what can be raised of a budget: nodes one by one, cores by those of a node."""
    nodes, cores = plan.campaign.budget.nodes, plan.campaign.budget.cores
    all_nodes, all_cores, node = _size(plan.cluster)
    if nodes is not None and nodes < all_nodes:
        yield Lever(most=all_nodes - nodes, change=lambda k: RaisedBudget(Budget(nodes=nodes + k)))
    if cores is not None and cores < all_cores:
        yield Lever(
            most=-(-(all_cores - cores) // node),
            change=lambda k: RaisedBudget(Budget(cores=min(cores + k * node, all_cores))),
        )


def both_budgets(plan: Plan) -> Lever:
    """Raise a budget of nodes and cores: by nodes, each with all of its cores."""
    nodes, cores = plan.campaign.budget.nodes or 0, plan.campaign.budget.cores or 0
    all_nodes, _, node = _size(plan.cluster)
    return Lever(
        most=max(0, all_nodes - nodes),
        change=lambda k: RaisedBudget(Budget(nodes=nodes + k, cores=cores + k * node)),
    )


def _size(cluster: Cluster) -> tuple[int, int, int]:
    """Return the number of nodes and of cores, and the cores of the largest node."""
    partitions = cluster.distinct
    return (
        sum(p.nodes for p in partitions),
        sum(p.nodes * p.cores for p in partitions),
        max(p.cores for p in partitions),
    )


def more_nodes(plan: Plan) -> Lever:
    """Raise the nodes of the partition that does the most work."""
    use = {p.name: 0 for p in plan.cluster.partitions}
    for w in plan.workflows:
        use[w.partition] += w.cores * w.duration
    partition = plan.cluster.by_partition[max(use, key=lambda name: use[name])]
    nodes = partition.nodes
    # With this many more, no workflow waits for another.
    placed = sum(len(w.placements) for w in plan.workflows)
    return Lever(
        most=max(0, min(placed, (MOST_GROWTH - 1) * nodes, MOST_NODES - nodes)),
        change=lambda k: MoreNodes(partition.name, nodes + k),
    )


def limit_levers(plan: Plan) -> Iterator[Lever]:
    """Yield the limits of QOS and of counted resources that may delay a workflow of a plan."""
    free = [w for w in plan.workflows if not w.fixed]
    largest = max((w.cores for w in free), default=0)
    for qos in plan.cluster.qos_by_size:
        mine = [w for w in plan.workflows if (w.qos or "") == qos.name]
        if not mine or not free:
            continue
        if qos.running_jobs is not None and peak(mine, lambda w: 1) + 1 > qos.running_jobs:
            yield _limit_lever(qos, "running_jobs", qos.running_jobs, len(plan.workflows), 1)
        if qos.submit_jobs is not None and peak(mine, lambda w: 1) + 1 > qos.submit_jobs:
            yield _limit_lever(qos, "submit_jobs", qos.submit_jobs, len(plan.workflows), 1)
        if qos.cores is not None and peak(mine, lambda w: w.cores) + largest > qos.cores:
            _, _, node = _size(plan.cluster)
            enough = sum(w.cores for w in plan.workflows)
            yield _limit_lever(qos, "cores", qos.cores, enough, node)
    for name, most in plan.campaign.limits.items():
        yield from _uses_lever(plan, name, most)


def _uses_lever(plan: Plan, name: str, now: int) -> Iterator[Lever]:
    workflows = plan.campaign.workflows
    use = {w.name: workflows[w.name].request.uses.get(name, 0) for w in plan.workflows}
    largest = max((use[w.name] for w in plan.workflows if not w.fixed), default=0)
    if largest and peak(plan.workflows, lambda w: use[w.name]) + largest > now:
        enough = sum(use.values())
        yield Lever(most=max(0, enough - now), change=lambda k: MoreUses(name, now + k))


def _limit_lever(qos: Qos, limit: Limit, now: int, enough: int, step: int) -> Lever:
    return Lever(
        most=-(-max(0, enough - now) // step),
        change=lambda k: RaisedLimit(qos.name, limit, now + k * step),
    )
