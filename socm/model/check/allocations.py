"""Checks of a plan in allocations: each as a job, and the plan inside it as a plan."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from socm.model.allocation import Allocation, AllocationPlan, inside, part
from socm.model.check.jobs import faults_of_jobs
from socm.model.check.limits import too_dear
from socm.model.check.order import missing_or_unknown


def faults_of_allocations(plan: AllocationPlan) -> Iterator[str]:
    """Yield everything that a plan in allocations breaks, outside and inside of them."""
    names = [w.name for a in plan.allocations for w in a.plan.workflows]
    yield from missing_or_unknown(plan.campaign, names)
    yield from _bad_order(plan)
    for number, a in enumerate(plan.allocations, 1):
        for fault in (*_bad_job(plan, a), *_bad_inside(plan, a), *faults_of_jobs(a.plan)):
            yield f"allocation {number}: {fault}"
    for number, (before, after) in enumerate(pairwise(plan.allocations), 2):
        if after.start < before.finish:
            yield (
                f"allocation {number}: starts at {after.start} s, before the one before ends at "
                f"{before.finish} s"
            )
    by_qos, sizes = plan.cluster.by_qos, {p.name: p.cores for p in plan.cluster.partitions}
    known = [a for a in plan.allocations if (a.qos or "") in by_qos and a.partition in sizes]
    node_hours = [a.nodes * a.duration / 3600 * by_qos[a.qos or ""].charge for a in known]
    core_hours = [hours * sizes[a.partition] for hours, a in zip(node_hours, known, strict=True)]
    yield from too_dear(plan.campaign.budget, core_hours, node_hours)
    if plan.allocations and plan.makespan < plan.lower_bound:
        yield f"it ends at {plan.makespan} s, below its lower bound {plan.lower_bound} s"


def _bad_order(plan: AllocationPlan) -> Iterator[str]:
    """Yield the workflows that depend on one of a later allocation."""
    allocation_of = {
        w.name: number for number, a in enumerate(plan.allocations, 1) for w in a.plan.workflows
    }
    for name, workflow in plan.campaign.workflows.items():
        for parent in workflow.depends:
            if allocation_of.get(name, math.inf) < allocation_of.get(parent, 0):
                yield (
                    f"{name}: is in allocation {allocation_of[name]}, {parent}, on which it "
                    f"depends, in allocation {allocation_of[parent]}"
                )


def _bad_job(plan: AllocationPlan, a: Allocation) -> Iterator[str]:
    """Yield what the cluster or the budget does not let an allocation have."""
    pairs = {(p.name, q.name): (p, q) for p, q in plan.cluster.pairs()}
    if (a.partition, a.qos or "") not in pairs:
        yield f"partition {a.partition} with QOS {a.qos} does not exist"
        return
    partition, qos = pairs[a.partition, a.qos or ""]
    cores, budget = a.nodes * partition.cores, plan.campaign.budget
    of_partition = None if qos.over_partition_walltime else partition.walltime
    for what, have, limit, owner in (
        ("nodes", a.nodes, partition.nodes, f"{partition.name} has"),
        ("nodes", a.nodes, qos.nodes_per_job, f"a job of QOS {qos.name} may have"),
        ("nodes", a.nodes, budget.nodes, "the budget is"),
        ("cores", cores, qos.cores_per_job, f"a job of QOS {qos.name} may have"),
        ("cores", cores, qos.cores, f"QOS {qos.name} may have"),
        ("cores", cores, budget.cores, "the budget is"),
        ("seconds of walltime", a.walltime, of_partition, f"a job of {partition.name} may have"),
        ("seconds of walltime", a.walltime, qos.walltime, f"a job of QOS {qos.name} may have"),
    ):
        if limit is not None and have > limit:
            yield f"has {have} {what}, {owner} {limit}"
    if a.nodes < (least := partition.least_nodes_per_job):
        yield f"has {a.nodes} nodes, a job of {partition.name} has at least {least}"
    if a.start < plan.start:
        yield f"starts at {a.start} s, before the plan at {plan.start} s"
    if a.walltime < a.duration:
        yield f"its walltime is {a.walltime} s, its workflows take {a.duration} s"
    if not a.plan.workflows:
        yield "no workflow runs in it"
    for other in plan.cluster.qos:
        routed = not (qos.send or other.send) and other.usable_on(partition)
        if routed and a.walltime <= (other.walltime or 0) < (qos.walltime or math.inf):
            yield f"SLURM takes QOS {other.name} for {a.walltime} s, not {qos.name}"
    mixed = len({p.gpus > 0 for p in plan.cluster.partitions}) > 1
    for name, workflow in plan.campaign.workflows.items():
        request = workflow.request
        if request.qos != qos.name and (qos.debug or qos.preemptible):
            yield f"QOS {qos.name} is on request, and {name} does not name it"
        if request.partition is None and request.qos is None:
            if partition.debug or partition.preemptible:
                yield f"partition {partition.name} is on request, and {name} does not name it"
            elif partition.gpus and mixed and not request.gpus:
                yield f"partition {partition.name} has GPUs, and {name} needs none"
    for r in plan.reservations:
        mine = r.partition == a.partition and (r.node is None or r.node < a.nodes)
        if mine and r.start < a.finish and a.start < r.finish:
            yield f"a reservation is on its nodes from {r.start} s to {r.finish} s"


def _bad_inside(plan: AllocationPlan, a: Allocation) -> Iterator[str]:
    """Yield where the plan of the inside is not one of these workflows on these nodes."""
    partition = plan.cluster.by_partition.get(a.partition)
    if partition is None or a.plan.cluster != inside(plan.cluster, partition, a.nodes):
        yield f"its plan is not for the inside of {a.nodes} nodes of {a.partition}"
    if a.plan.campaign != part(plan.campaign, {w.name for w in a.plan.workflows}):
        yield "its plan is not for the workflows of the campaign that run in it"
    if a.plan.start != 0 or a.plan.reservations:
        yield "its plan does not start with it, on all of its nodes"
    for w in a.plan.workflows:
        named = plan.campaign.workflows.get(w.name)
        if named is not None and named.request.partition not in (None, a.partition):
            yield f"{w.name}: names partition {named.request.partition}, not {a.partition}"
        if w.fixed:
            yield f"{w.name}: is fixed, and no step may be"
        if w.start + w.walltime > a.walltime:
            yield (
                f"{w.name}: may run until {w.start + w.walltime} s after the start, the allocation "
                f"until {a.walltime} s"
            )
