"""Check the limits of each QOS, the budget and counted resources: what is in use at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from math import fsum

from socm.model.campaign import Budget
from socm.model.placement import PlannedWorkflow, peak, peak_nodes
from socm.model.plan import Plan


def exceeded_limits(plan: Plan, workflows: Sequence[PlannedWorkflow]) -> Iterator[str]:
    """Yield the limits that are exceeded.

    Parameters
    ----------
    workflows
        Those of the plan that are planned as the campaign and the cluster say.
    """
    # What was over when the plan was made may have had more: the campaign was edited meanwhile.
    everything = workflows
    workflows = [w for w in everything if not w.fixed or w.finish > plan.start]
    for (owner, most), mine in _under(plan, workflows, "running_jobs").items():
        if (jobs := peak(mine, lambda w: 1)) > most:
            yield f"{owner}: {jobs} jobs run at once, the limit is {most}"
    for (owner, most), mine in _under(plan, workflows, "submit_jobs").items():
        if (jobs := peak(mine, lambda w: 1)) > most:
            yield f"{owner}: {jobs} jobs run at once, {most} may be submitted"
    for (owner, most), mine in _under(plan, workflows, "cores").items():
        if (cores := peak(mine, lambda w: w.cores)) > most:
            yield f"{owner}: {cores} cores in use at once, the limit is {most}"
    for name, most in plan.campaign.limits.items():
        if (used := _peak_use(plan, workflows, name)) > most:
            yield f"limits: {used} of {name} in use at once, the limit is {most}"
    budget, by_qos = plan.campaign.budget, plan.cluster.by_qos
    core_hours = [w.cores * w.duration / 3600 * by_qos[w.qos or ""].charge for w in everything]
    sizes = [plan.cluster.by_partition[w.partition].cores for w in everything]
    node_hours = [hours / size for hours, size in zip(core_hours, sizes, strict=True)]
    yield from too_dear(budget, core_hours, node_hours)
    if budget.cores is not None and (most := peak(workflows, lambda w: w.cores)) > budget.cores:
        yield f"budget: {most} cores in use at once, not {budget.cores}"
    if budget.nodes is not None and (most := peak_nodes(workflows)) > budget.nodes:
        yield f"budget: {most} nodes in use at once, not {budget.nodes}"


def _under(
    plan: Plan, workflows: Sequence[PlannedWorkflow], what: str
) -> dict[tuple[str, int], list[PlannedWorkflow]]:
    """Return the workflows under each limit of a kind: each is under the first that it has."""
    found: dict[tuple[str, int], list[PlannedWorkflow]] = defaultdict(list)
    for w in workflows:
        partition, qos = plan.cluster.by_partition[w.partition], plan.cluster.by_qos[w.qos or ""]
        of_partition = getattr(partition.limits, what, None)
        of_qos = getattr(qos, what)
        of_all = getattr(plan.cluster.limits, what, None)
        if of_partition is not None and (of_qos is None or not qos.over_partition_limits):
            slurm_name = partition.slurm_name or partition.name
            found[f"all jobs in {slurm_name}", of_partition].append(w)
        elif of_qos is not None:
            found[f"QOS {qos.name}", of_qos].append(w)
        elif of_all is not None:
            found["all jobs", of_all].append(w)
    return found


def _peak_use(plan: Plan, workflows: Sequence[PlannedWorkflow], name: str) -> int:
    """Return the most of a counted resource that is in use at once."""
    asked = plan.campaign.workflows
    return peak(workflows, lambda w: asked[w.name].request.uses.get(name, 0))


def too_dear(
    budget: Budget, core_hours: Iterable[float], node_hours: Iterable[float]
) -> Iterator[str]:
    """Yield by how much a budget of hours is exceeded by what jobs are charged."""
    for most, hours, unit in (
        (budget.core_hours, fsum(core_hours), "core-hours"),
        (budget.node_hours, fsum(node_hours), "node-hours"),
    ):
        if most is not None and hours > most + 1e-5:
            yield f"budget: {hours:.6g} {unit} are charged, not {most:.6g}"
