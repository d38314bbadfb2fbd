"""Check that a workflow gets what it asks for, where the cluster admits it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from socm.model.placement import PlannedWorkflow
from socm.model.plan import Plan


def bad_request(plan: Plan, w: PlannedWorkflow) -> Iterator[str]:
    """Yield where a workflow is not planned as its request and the cluster say."""
    request = plan.campaign.workflows[w.name].request
    options, _ = plan.cluster.admit(request, plan.campaign.budget)
    option = next(
        (o for o in options if (o.partition.name, o.qos.name) == (w.partition, w.qos or "")), None
    )
    if option is None:
        yield f"{w.name}: {w.partition} with QOS {w.qos} does not admit it"
        return
    nodes, ranks = w.nodes, [p.ranks for p in w.placements]
    for what, planned, right in (
        ("threads", w.threads, option.threads),
        ("exclusive", w.exclusive, option.exclusive),
        ("ranks", sum(ranks), request.ranks),
        ("seconds", w.duration, w.duration if w.fixed else option.duration),
    ):
        if planned != right:
            yield f"{w.name}: {what} is {planned}, not {right}"
    if not w.fixed and not w.duration <= w.walltime <= option.walltime:
        yield (
            f"{w.name}: walltime {w.walltime} s is not between {w.duration} s and "
            f"{option.walltime} s"
        )
    if len(w.placements) < option.partition.least_nodes_per_job:
        least = option.partition.least_nodes_per_job
        yield f"{w.name}: runs on {len(w.placements)} nodes, a job there has at least {least}"
    most = option.partition.memory_per_core
    if most is not None and not w.exclusive and w.threads * most * request.ranks < request.memory:
        yield f"{w.name}: has {w.threads} cores for each rank, and {most} MB for each core at most"
    for other in plan.cluster.qos:
        if (
            not (w.fixed or option.qos.send or other.send)
            and other.usable_on(option.partition)
            and not plan.cluster.why_account(request.account, option.partition, other)
            and w.walltime
            <= (other.walltime or 0)
            < (plan.cluster.by_qos[w.qos or ""].walltime or math.inf)
        ):
            yield f"{w.name}: SLURM takes QOS {other.name} for {w.walltime} s, not {w.qos}"
    if len(set(nodes)) < len(nodes) or min(ranks, default=1) < 1:
        yield f"{w.name}: a node is listed twice or without ranks"
    for partition, node in nodes:
        first, home = option.partition.first_node, option.partition.nodes_of or w.partition
        if partition != home or not first <= node < first + option.partition.nodes:
            yield f"{w.name}: there is no node {node} of {partition} in {w.partition}"
    for most, owner in (
        (option.qos.nodes_per_job, f"a job of QOS {w.qos} may have"),
        (plan.campaign.budget.nodes, "the budget is"),
    ):
        if most is not None and len(w.placements) > most:
            yield f"{w.name}: spans {len(w.placements)} nodes, {owner} {most}"
    if w.exclusive and w.cores != len(w.placements) * option.partition.cores:
        yield f"{w.name}: counts {w.cores} cores on {len(w.placements)} whole nodes"
    if not w.exclusive and w.cores != request.ranks * option.threads:
        yield f"{w.name}: counts {w.cores} cores for {request.ranks} × {option.threads}"
