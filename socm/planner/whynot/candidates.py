"""What could be raised for a campaign to be done sooner: its budget, nodes, and limits of QOS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from socm.model.campaign import Budget, Campaign
from socm.model.cluster import MOST_NODES, Cluster, Partition, Qos
from socm.model.placement import peak
from socm.model.plan import Plan
from socm.planner.whynot.words import nodes_in_words
from socm.units import format_count

Case = tuple[Campaign, Cluster]
"""A campaign, and a cluster to plan it on."""
MOST_GROWTH = 10
"""So many times the nodes of a partition are tried, where there is no budget to raise."""


@dataclass(frozen=True, kw_only=True)
class Lever:
    """An amount that may be raised in steps.

    Parameters
    ----------
    kind
        ``"nodes"``, ``"cores"`` or ``"qos"``.
    limit
        Whose limit it is: ``"budget"``, ``"nodes"`` of the cluster, or ``"qos"``.
    binds
        What it is that binds as long as it is not raised.
    most
        How many steps there are.
    case
        Campaign and cluster after so many steps.
    change, text
        So many steps as data, and in words.
    whole
        All steps in words.
    """

    kind: str
    limit: str
    binds: str
    most: int
    case: Callable[[int], Case]
    change: Callable[[int], Mapping[str, Any]]
    text: Callable[[int], str]
    whole: str


def budget_levers(plan: Plan) -> Iterator[Lever]:
    """Yield what may be raised of a budget: nodes one by one, cores by those of a node."""
    campaign, cluster = plan.campaign, plan.cluster
    nodes, cores = campaign.budget.nodes, campaign.budget.cores
    all_nodes, all_cores, node = _size(cluster)
    if nodes is not None and nodes < all_nodes:
        now = nodes
        yield _budget_lever(plan, "nodes", "nodes", now, all_nodes, 1)
    if cores is not None and cores < all_cores:
        yield _budget_lever(plan, "cores", "requested_resources", cores, all_cores, node)


def _budget_lever(plan: Plan, what: str, key: str, now: int, there: int, step: int) -> Lever:
    campaign, cluster = plan.campaign, plan.cluster

    def raised(k: int) -> dict[str, Any]:
        return {what: min(now + k * step, there)}

    return Lever(
        kind=what,
        limit="budget",
        binds="the budget of "
        + (nodes_in_words(now) if what == "nodes" else f"{format_count(now)} cores"),
        most=-(-(there - now) // step),
        case=lambda k: (
            replace(campaign, budget=replace(campaign.budget, **raised(k))),
            cluster,
        ),
        change=lambda k: {"budget": raised(k)},
        text=lambda k: f"{key} {raised(k)[what]} instead of {now}",
        whole=f"all {format_count(there)} {what} of {cluster.name}",
    )


def both_budgets(plan: Plan) -> Lever:
    """Raise a budget of nodes and cores: by nodes, each with all of its cores."""
    campaign, cluster = plan.campaign, plan.cluster
    nodes, cores = campaign.budget.nodes or 0, campaign.budget.cores or 0
    all_nodes, _, node = _size(cluster)

    def raised(k: int) -> dict[str, Any]:
        return {"nodes": nodes + k, "cores": cores + k * node}

    return Lever(
        kind="nodes",
        limit="budget",
        binds=f"the budget of {nodes_in_words(nodes)} and {format_count(cores)} cores",
        most=max(0, all_nodes - nodes),
        case=lambda k: (replace(campaign, budget=Budget(**raised(k))), cluster),
        change=lambda k: {"budget": raised(k)},
        text=lambda k: (
            f"nodes {nodes + k} and requested_resources {cores + k * node} "
            f"instead of {nodes} and {cores}"
        ),
        whole=f"all {format_count(all_nodes)} nodes of {cluster.name}",
    )


def _size(cluster: Cluster) -> tuple[int, int, int]:
    """Return how many nodes and cores there are, and the cores of the largest node."""
    partitions = cluster.partitions
    return (
        sum(p.nodes for p in partitions),
        sum(p.nodes * p.cores for p in partitions),
        max(p.cores for p in partitions),
    )


def more_nodes(plan: Plan) -> Lever:
    """Let the partition that does the most have more nodes than there are."""
    cluster = plan.cluster
    use = {p.name: 0 for p in cluster.partitions}
    for w in plan.workflows:
        use[w.partition] += w.cores * w.duration
    partition = cluster.by_partition[max(use, key=lambda name: use[name])]
    nodes = partition.nodes
    # With so many more, no workflow waits for another.
    placed = sum(len(w.placements) for w in plan.workflows)
    most = max(0, min(placed, (MOST_GROWTH - 1) * nodes, MOST_NODES - nodes))
    return Lever(
        kind="nodes",
        limit="nodes",
        binds=f"the {nodes_in_words(nodes)} of {partition.name}",
        most=most,
        case=lambda k: (
            plan.campaign,
            with_partition(cluster, replace(partition, nodes=nodes + k)),
        ),
        change=lambda k: {"partition": {"name": partition.name, "nodes": nodes + k}},
        text=lambda k: f"{nodes + k} nodes in {partition.name} instead of {nodes}",
        whole=f"{format_count(nodes + most)} nodes in {partition.name}",
    )


def limit_levers(plan: Plan) -> Iterator[Lever]:
    """Yield the limits of QOS that may hold back a workflow of a plan."""
    free = [w for w in plan.workflows if not w.fixed]
    largest = max((w.cores for w in free), default=0)
    for qos in plan.cluster.qos_by_size:
        mine = [w for w in plan.workflows if (w.qos or "") == qos.name]
        if not mine or not free:
            continue
        if qos.running_jobs is not None and peak(mine, lambda w: 1) + 1 > qos.running_jobs:
            yield _limit_lever(plan, qos, "running_jobs", qos.running_jobs, len(plan.workflows), 1)
        if qos.cores is not None and peak(mine, lambda w: w.cores) + largest > qos.cores:
            _, _, node = _size(plan.cluster)
            enough = sum(w.cores for w in plan.workflows)
            yield _limit_lever(plan, qos, "cores", qos.cores, enough, node)


def _limit_lever(plan: Plan, qos: Qos, limit: str, now: int, enough: int, step: int) -> Lever:
    key, what = limit.replace("_", "-"), limit.replace("_", " ")

    def raised(k: int) -> dict[str, Any]:
        return {limit: now + k * step}

    return Lever(
        kind="qos",
        limit="qos",
        binds=f"the {format_count(now)} {what} of QOS {qos.name}",
        most=-(-max(0, enough - now) // step),
        case=lambda k: (plan.campaign, with_qos(plan.cluster, replace(qos, **raised(k)))),
        change=lambda k: {"limit": {"qos": qos.name, **raised(k)}},
        text=lambda k: f"{key} {now + k * step} in QOS {qos.name} instead of {now}",
        whole=f"any number of {what} in QOS {qos.name}",
    )


def with_partition(cluster: Cluster, partition: Partition) -> Cluster:
    """Return a cluster with another partition of the same name."""
    partitions = (partition if p.name == partition.name else p for p in cluster.partitions)
    return replace(cluster, partitions=tuple(partitions))


def with_qos(cluster: Cluster, qos: Qos) -> Cluster:
    """Return a cluster with another QOS of the same name."""
    return replace(cluster, qos=tuple(qos if q.name == qos.name else q for q in cluster.qos))
