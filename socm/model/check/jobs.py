"""Checks of a plan in which each workflow is a job of its own."""

from __future__ import annotations

from collections.abc import Iterator

from socm.model.check.limits import exceeded_limits
from socm.model.check.maintenance import into_maintenance
from socm.model.check.nodes import overfull_nodes
from socm.model.check.order import bad_order, bad_times, missing_or_unknown
from socm.model.check.requests import bad_request
from socm.model.plan import Plan


def faults_of_jobs(plan: Plan) -> Iterator[str]:
    """Yield every dependency, capacity, limit or budget that a plan breaks."""
    yield from missing_or_unknown(plan.campaign, [w.name for w in plan.workflows])
    yield from bad_times(plan)
    for r in plan.reservations:
        partition = plan.cluster.by_partition.get(r.partition)
        if partition is None or (r.node is not None and r.node not in partition.numbers):
            yield f"a reservation is on node {r.node} of {r.partition}, which does not exist"
            return
    known = [w for w in plan.workflows if w.name in plan.campaign.workflows]
    broken = {w.name: [*bad_request(plan, w)] for w in known}
    for complaints in broken.values():
        yield from complaints
    sound = [w for w in known if not broken[w.name]]
    yield from bad_order(plan)
    yield from overfull_nodes(plan, sound)
    yield from exceeded_limits(plan, sound)
    yield from into_maintenance(plan, sound)
    if len(sound) == len(plan.workflows) > 0 and plan.makespan < plan.lower_bound:
        yield f"it ends at {plan.makespan} s, below its lower bound {plan.lower_bound} s"
