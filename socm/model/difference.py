"""Differences between two campaigns, their clusters and their plans."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from socm.model.allocation import AnyPlan
from socm.model.campaign import Campaign, Workflow
from socm.model.cluster import Cluster
from socm.model.placement import PlannedWorkflow


class Change(NamedTuple):
    """A value that differs.

    Parameters
    ----------
    subject
        What it is a value of: a workflow, a partition or a QOS; empty for the campaign or the
        cluster itself.
    key
        Name of the value.
    before, after
        The value on either side.
    """

    subject: str
    key: str
    before: Any
    after: Any


class Side(NamedTuple):
    """A campaign on a cluster, and its plan, or the reasons why no plan exists."""

    campaign: Campaign
    cluster: Cluster
    plan: AnyPlan | None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Everything that differs between two sides.

    Parameters
    ----------
    campaign, cluster
        Values of the campaigns, and of the clusters.
    added, removed
        Workflows that only the second side has, or only the first.
    changed
        Values of workflows that both have.
    planned
        Places in the plan of workflows that both have.
    """

    campaign: tuple[Change, ...]
    cluster: tuple[Change, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[Change, ...]
    planned: tuple[Change, ...]

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))

    @property
    def workflows(self) -> set[str]:
        """Names of the workflows that differ in anything."""
        changes = {change.subject for change in (*self.changed, *self.planned)}
        return {*self.added, *self.removed, *changes}


def difference(a: Side, b: Side) -> Difference:
    """Compare two campaigns, their clusters and plans.

    Only the number of nodes of a workflow is compared, not which nodes of a partition they are.

    Examples
    --------
    >>> from socm.model.campaign import ResourceRequest
    >>> from socm.model.partition import Partition
    >>> cpu = Partition(name="cpu", nodes=2, cores=8, memory=1000)
    >>> def side(*minutes):
    ...     work = [
    ...         Workflow(name=f"w{k}", request=ResourceRequest(runtime=60 * m))
    ...         for k, m in enumerate(minutes)
    ...     ]
    ...     return Side(Campaign.of("c", work), Cluster(name="small", partitions=(cpu,)), None)
    >>> found = difference(side(10, 20), side(10, 30, 5))
    >>> found.added, found.changed
    (('w2',), (Change(subject='w1', key='runtime', before=1200, after=1800),))
    """
    before, after = a.campaign.workflows, b.campaign.workflows
    both = [name for name in after if name in before]
    planned: Iterable[Change] = ()
    if a.plan is not None and b.plan is not None:
        old, new = a.plan.by_name, b.plan.by_name
        planned = (change for name in both for change in _planned(old[name], new[name]))
    return Difference(
        campaign=tuple(campaign_changes(a.campaign, b.campaign)),
        cluster=tuple(_cluster_changes(a.cluster, b.cluster)),
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=tuple(c for name in both for c in workflow_changes(before[name], after[name])),
        planned=tuple(planned),
    )


def campaign_changes(before: Campaign, after: Campaign) -> Iterator[Change]:
    """Yield the differences of campaigns, apart from their names and workflows."""
    yield from _values("", before, after, ("deadline",))
    for change in _values("", before.budget, after.budget, (f.name for f in fields(after.budget))):
        yield change._replace(key=f"budget.{change.key}")
    for name in sorted({*before.limits, *after.limits}):
        old, new = before.limits.get(name), after.limits.get(name)
        if old != new:
            yield Change("", f"limits.{name}", old, new)
    yield from _values("", before, after, ("policy", "retries"))


def workflow_changes(before: Workflow, after: Workflow) -> Iterator[Change]:
    """Yield the differences of a workflow; its request is compared key by key."""
    for field in (f for f in fields(after) if f.compare):
        if field.name == "request":
            names = (f.name for f in fields(after.request))
            yield from _values(after.name, before.request, after.request, names)
        else:
            yield from _values(after.name, before, after, (field.name,))


def _cluster_changes(before: Cluster, after: Cluster) -> Iterator[Change]:
    yield from _values("", before, after, ("name",))
    for kind, old, new in (
        ("partition", before.by_partition, after.by_partition),
        ("QOS", {q.name: q for q in before.qos}, {q.name: q for q in after.qos}),
    ):
        yield from _members(kind, old, new)


def _members(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    """Yield the partitions or QOS that only one side has, and the differences of the others."""
    for name in (*before, *(name for name in after if name not in before)):
        subject = f"{kind} {name}"
        if name not in before or name not in after:
            yield Change(subject, "there", name in before, name in after)
        else:
            names = (f.name for f in fields(after[name]))
            yield from _values(subject, before[name], after[name], names)


def _planned(before: PlannedWorkflow, after: PlannedWorkflow) -> Iterator[Change]:
    """Yield the differences of the place of a workflow in the plan."""
    yield from _values(after.name, before, after, ("partition", "qos"))
    nodes = len(before.placements), len(after.placements)
    if nodes[0] != nodes[1]:
        yield Change(after.name, "nodes", *nodes)
    yield from _values(after.name, before, after, ("start", "finish", "walltime"))


def _values(subject: str, before: Any, after: Any, names: Iterable[str]) -> Iterator[Change]:
    for name in names:
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            yield Change(subject, name, old, new)
