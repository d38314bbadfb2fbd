"""From a campaign and a cluster to a plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from socm.errors import ConfigError, Infeasible, Problem, did_you_mean
from socm.model.campaign import Campaign
from socm.model.cluster import Cluster, Option
from socm.model.plan import Plan, PlannedWorkflow, Reservation
from socm.planner.bounds import lower_bound
from socm.planner.capacity import Capacity
from socm.planner.heft import heft
from socm.units import format_walltime

__all__ = ["POLICIES", "plan_campaign"]

POLICIES = {"time": heft}
"""Name of a policy to the planner that follows it."""


def plan_campaign(
    campaign: Campaign,
    cluster: Cluster,
    *,
    start: int = 0,
    reservations: Iterable[Reservation] = (),
    fixed: Iterable[PlannedWorkflow] = (),
) -> Plan:
    """Lay a campaign out on a cluster, and prove that it fits.

    Parameters
    ----------
    campaign, cluster
        What to do, and where.
    start
        Nothing new begins before, in seconds since the campaign's start.
    reservations
        Capacity that is not the campaign's.
    fixed
        Workflows that have run or are running; they keep their place.

    Returns
    -------
    Plan
        Checked. It may miss the deadline; `Plan.feasible` tells.

    Raises
    ------
    Infeasible
        If some workflow fits nowhere; the reasons are listed per workflow and option.
    ConfigError
        If the policy is unknown.

    Examples
    --------
    >>> from socm.model.campaign import ResourceRequest, Workflow
    >>> from socm.model.cluster import Partition
    >>> hour = ResourceRequest(ranks=1, threads=8, memory=500, runtime=3600)
    >>> campaign = Campaign.of("maps", [
    ...     Workflow(name="f090", request=hour),
    ...     Workflow(name="f150", request=hour),
    ...     Workflow(name="spectrum", request=hour, depends=("f090", "f150")),
    ... ])
    >>> one_node = Partition(name="cpu", nodes=1, cores=8, memory=1000)
    >>> plan = plan_campaign(campaign, Cluster(name="small", partitions=(one_node,)))
    >>> [(w.name, w.start) for w in plan.workflows], plan.makespan, plan.lower_bound
    ([('f090', 0), ('f150', 3600), ('spectrum', 7200)], 10800, 10800)
    """
    policy = POLICIES.get(campaign.policy)
    if policy is None:
        raise ConfigError(
            Problem(
                message=f"unknown policy {campaign.policy!r}",
                hint=did_you_mean(campaign.policy, POLICIES) or f"known are {', '.join(POLICIES)}",
            )
        )
    reservations, fixed = tuple(reservations), tuple(fixed)
    unknown = [w.name for w in fixed if w.name not in campaign.workflows]
    unknown += [r.partition for r in reservations if r.partition not in cluster.by_partition]
    if unknown:
        raise ConfigError(*(Problem(message=f"there is no {name!r}") for name in unknown))
    admitted = {
        name: cluster.admit(workflow.request, campaign.budget)
        for name, workflow in campaign.workflows.items()
    }
    impossible = {name: why_not for name, (options, why_not) in admitted.items() if not options}
    if impossible:
        raise Infeasible(
            f"{len(impossible)} of {len(admitted)} workflows cannot run on {cluster.name}",
            [f"{name}: {reason}" for name, reasons in impossible.items() for reason in reasons],
            hint=f"`socm clusters {cluster.name}` shows what it has",
        )
    options = {name: options for name, (options, _) in admitted.items()}
    capacity = Capacity(cluster, campaign.budget, start, reservations, fixed)
    workflows = policy(campaign, options, capacity, start=start, fixed=fixed)
    workflows.sort(key=lambda w: (w.start, -w.rank))
    plan = Plan(
        campaign=campaign,
        cluster=cluster,
        workflows=tuple(workflows),
        lower_bound=lower_bound(
            campaign,
            cluster,
            options,
            start=start,
            fixed=fixed,
            known=max((w.finish for w in workflows), default=start),
        ),
        start=start,
        reservations=reservations,
        warnings=tuple(_warnings(workflows, options)),
    )
    plan.check()
    return plan


def _warnings(
    workflows: Iterable[PlannedWorkflow], options: Mapping[str, Sequence[Option]]
) -> Iterator[str]:
    for w in workflows:
        pair = (w.partition, w.qos or "")
        if any(o.capped and (o.partition.name, o.qos.name) == pair for o in options[w.name]):
            yield (
                f"{w.name}: walltime capped at {format_walltime(w.walltime)} by QOS {w.qos}, "
                f"{w.walltime / w.duration:.2f} × its runtime"
            )
