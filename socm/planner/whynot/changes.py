"""Changes of a campaign or a cluster, each as data that can be applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from socm.model.allowance import Kind
from socm.model.campaign import Budget, Campaign
from socm.model.cluster import Cluster
from socm.model.qos import Qos

Case = tuple[Campaign, Cluster]
"""A campaign, and a cluster to plan it on."""
Limit = Kind
"""What a QOS limits over all of its jobs."""


@dataclass(frozen=True)
class Deadline:
    """Another deadline, in seconds since the campaign's start."""

    seconds: int


@dataclass(frozen=True)
class RaisedBudget:
    """A budget of more nodes, cores or both; `None` is as before."""

    budget: Budget


@dataclass(frozen=True)
class MoreNodes:
    """A partition with more nodes than it has."""

    partition: str
    nodes: int


@dataclass(frozen=True)
class RaisedLimit:
    """A QOS with a higher limit of running jobs, or of cores in use."""

    qos: str
    limit: Limit
    amount: int


@dataclass(frozen=True)
class MoreUses:
    """A counted resource of which more may be in use at once."""

    name: str
    amount: int


@dataclass(frozen=True)
class MoreHours:
    """A larger budget of hours, in the unit that it has."""

    hours: float


@dataclass(frozen=True)
class OpenQos:
    """A QOS on request that every workflow may use."""

    qos: str


@dataclass(frozen=True)
class NamedQos:
    """Workflows that name another QOS, or none."""

    qos: Mapping[str, str | None]


@dataclass(frozen=True)
class Dropped:
    """A campaign without some workflows, and without all that depend on them."""

    workflows: Sequence[str]


Change = (
    Deadline
    | RaisedBudget
    | MoreNodes
    | RaisedLimit
    | MoreUses
    | MoreHours
    | OpenQos
    | NamedQos
    | Dropped
)


def applied(change: Change, campaign: Campaign, cluster: Cluster) -> Case:
    """Return campaign and cluster with a change."""
    match change:
        case Deadline(seconds):
            return replace(campaign, deadline=seconds), cluster
        case RaisedBudget(raised):
            now = campaign.budget
            cores, nodes = raised.cores or now.cores, raised.nodes or now.nodes
            budget = replace(now, cores=cores, nodes=nodes)
            return replace(campaign, budget=budget), cluster
        case MoreNodes(name, nodes):
            partition = replace(cluster.by_partition[name], nodes=nodes)
            others = (partition if p.name == name else p for p in cluster.partitions)
            return campaign, replace(cluster, partitions=tuple(others))
        case RaisedLimit(name, "cores", amount):
            return campaign, _with_qos(cluster, replace(cluster.by_qos[name], cores=amount))
        case RaisedLimit(name, "submit_jobs", amount):
            return campaign, _with_qos(cluster, replace(cluster.by_qos[name], submit_jobs=amount))
        case RaisedLimit(name, _, amount):
            return campaign, _with_qos(cluster, replace(cluster.by_qos[name], running_jobs=amount))
        case MoreUses(name, amount):
            return replace(campaign, limits={**campaign.limits, name: amount}), cluster
        case MoreHours(hours):
            by_cores = campaign.budget.node_hours is None
            budget = replace(
                campaign.budget,
                core_hours=hours if by_cores else None,
                node_hours=None if by_cores else hours,
            )
            return replace(campaign, budget=budget), cluster
        case OpenQos(name):
            return campaign, _opened(cluster, cluster.by_qos[name])
        case NamedQos(named):
            workflows = dict(campaign.workflows)
            for name, qos in named.items():
                workflow = workflows[name]
                workflows[name] = replace(workflow, request=replace(workflow.request, qos=qos))
            return replace(campaign, workflows=workflows), cluster
        case Dropped(names):
            gone = _with_children(campaign, names)
            rest = {name: w for name, w in campaign.workflows.items() if name not in gone}
            return replace(campaign, workflows=rest), cluster


def _opened(cluster: Cluster, qos: Qos) -> Cluster:
    """Return the cluster with a QOS for all, and its partitions if it leads to no others."""
    ways = [p for p in cluster.partitions if qos.usable_on(p)]
    if all(p.on_request for p in ways):
        partitions = (
            replace(p, debug=False, preemptible=False) if p in ways else p
            for p in cluster.partitions
        )
        cluster = replace(cluster, partitions=tuple(partitions))
    return _with_qos(cluster, replace(qos, debug=False, preemptible=False))


def _with_qos(cluster: Cluster, qos: Qos) -> Cluster:
    return replace(cluster, qos=tuple(qos if q.name == qos.name else q for q in cluster.qos))


def _with_children(campaign: Campaign, names: Sequence[str]) -> set[str]:
    """Return some workflows and all that depend on them, directly or not."""
    found, ahead = {*names}, [*names]
    while ahead:
        children = [c for c in campaign.children[ahead.pop()] if c not in found]
        found.update(children)
        ahead += children
    return found
