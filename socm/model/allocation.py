"""Whole nodes for a while, with workflows as steps inside; and the proof of such a plan."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from socm.model.cluster import longest

if TYPE_CHECKING:
    from socm.model.plan import Plan, PlannedWorkflow


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """One SLURM job that holds whole nodes while workflows run on them.

    Parameters
    ----------
    partition, qos
        To submit to; `qos` is `None` on a cluster without QOS.
    nodes
        How many; the placements of its workflows count them from 0.
    start, finish
        When it begins, and when the last of its workflows is over, in whole seconds since the
        campaign's start.
    walltime
        Limit to ask for, in seconds.
    """

    partition: str
    qos: str | None
    nodes: int
    start: int
    finish: int
    walltime: int

    @property
    def duration(self) -> int:
        """Seconds between start and finish."""
        return self.finish - self.start

    def holds(self, w: PlannedWorkflow) -> bool:
        """Whether a workflow runs while it lasts."""
        return self.start <= w.start and w.finish <= self.finish


def bad_step(plan: Plan, w: PlannedWorkflow) -> Iterator[str]:
    """Yield where a workflow is not what was asked for, or is not within an allocation."""
    request = plan.campaign.workflows[w.name].request
    within = next((a for a in plan.allocations if a.holds(w)), None)
    partition = plan.cluster.by_partition.get(w.partition)
    if within is None:
        yield f"{w.name}: runs from {w.start} s to {w.finish} s, within no allocation"
        return
    if (w.partition, w.qos) != (within.partition, within.qos) or partition is None:
        yield (
            f"{w.name}: is on {w.partition} with QOS {w.qos}, its allocation on "
            f"{within.partition} with QOS {within.qos}"
        )
        return
    if request.partition not in (None, w.partition):
        yield f"{w.name}: names partition {request.partition}, not {w.partition}"
    threads = request.cores(partition.threads_per_core)
    for what, planned, right in (
        ("threads", w.threads, threads),
        ("exclusive", w.exclusive, False),
        ("fixed", w.fixed, False),
        ("ranks", sum(p.ranks for p in w.placements), request.ranks),
        ("cores", w.cores, request.ranks * threads),
        ("seconds", w.duration, math.ceil(request.runtime / partition.speed)),
    ):
        if planned != right:
            yield f"{w.name}: {what} is {planned}, not {right}"
    most = min(within.start + within.walltime - w.start, request.walltime or math.inf)
    if not w.duration <= w.walltime <= most:
        yield f"{w.name}: walltime {w.walltime} s is not between {w.duration} s and {most} s"
    if len(set(w.nodes)) < len(w.nodes) or any(p.ranks < 1 for p in w.placements):
        yield f"{w.name}: a node is listed twice or without ranks"
    for p in w.placements:
        if p.partition != w.partition or not 0 <= p.node < within.nodes:
            yield f"{w.name}: there is no node {p.node} in an allocation of {within.nodes}"


def bad_allocations(plan: Plan) -> Iterator[str]:
    """Yield where allocations are not what the cluster, the budget or their order lets them be."""
    for number, a in enumerate(plan.allocations, 1):
        for complaint in _bad_allocation(plan, a):
            yield f"allocation {number}: {complaint}"
    for number, (before, after) in enumerate(pairwise(plan.allocations), 2):
        if after.start < before.finish:
            yield (
                f"allocation {number}: starts at {after.start} s, before the one before ends at "
                f"{before.finish} s"
            )


def _bad_allocation(plan: Plan, a: Allocation) -> Iterator[str]:
    pairs = {(p.name, q.name): (p, q) for p, q in plan.cluster.pairs()}
    if (a.partition, a.qos or "") not in pairs:
        yield f"there is no {a.partition} with QOS {a.qos}"
        return
    partition, qos = pairs[a.partition, a.qos or ""]
    cores, budget = a.nodes * partition.cores, plan.campaign.budget
    for what, have, limit, owner in (
        ("nodes", a.nodes, partition.nodes, f"{partition.name} has"),
        ("nodes", a.nodes, qos.nodes_per_job, f"QOS {qos.name} gives a job"),
        ("nodes", a.nodes, budget.nodes, "the budget is"),
        ("cores", cores, qos.cores_per_job, f"QOS {qos.name} gives a job"),
        ("cores", cores, qos.cores, f"QOS {qos.name} lets"),
        ("cores", cores, budget.cores, "the budget is"),
        ("seconds of walltime", a.walltime, longest(partition, qos), "the longest is"),
    ):
        if limit is not None and have > limit:
            yield f"has {have} {what}, {owner} {limit}"
    if a.nodes < 1 or a.duration < 1 or a.start < plan.start or a.walltime < a.duration:
        yield f"{a.nodes} nodes from {a.start} s to {a.finish} s, for {a.walltime} s, is none"
    if not any(a.holds(w) for w in plan.workflows):
        yield "no workflow runs in it"
    if qos.debug:
        for name, workflow in plan.campaign.workflows.items():
            if workflow.request.qos != qos.name:
                yield f"QOS {qos.name} must be named, and {name} does not"
    for r in plan.reservations:
        mine = r.partition == a.partition and (r.node is None or r.node < a.nodes)
        if mine and r.start < a.finish and a.start < r.finish:
            yield f"a reservation is on its nodes from {r.start} s to {r.finish} s"
