"""Check the limits of each QOS, the budget and counted resources: what is in use at once."""

from __future__ import annotations

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
    for qos in plan.cluster.qos_by_size:
        mine = [w for w in workflows if (w.qos or "") == qos.name]
        most = qos.running_jobs
        if most is not None and (jobs := peak(mine, lambda w: 1)) > most:
            yield f"QOS {qos.name}: {jobs} jobs run at once, the limit is {most}"
        most = qos.cores
        if most is not None and (cores := peak(mine, lambda w: w.cores)) > most:
            yield f"QOS {qos.name}: {cores} cores in use at once, the limit is {most}"
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
