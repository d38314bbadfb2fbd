"""From a campaign and a cluster to a plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from socm.errors import ConfigError, Infeasible, Problem
from socm.garbage import no_collection
from socm.model.campaign import Campaign
from socm.model.charge import hours_in_words
from socm.model.check import check_plan
from socm.model.cluster import Cluster
from socm.model.placement import PlannedWorkflow, Reservation
from socm.model.plan import Plan
from socm.planner.affordable import Prices
from socm.planner.bounds import lower_bound
from socm.planner.bounds.destructive import MOST
from socm.planner.effort import USUAL, Effort
from socm.planner.instance import Instance, Modes, admitted, instance_of
from socm.planner.policies import POLICIES, Policy
from socm.planner.ranking import by_rank, upward_rank
from socm.planner.schemes import serial
from socm.units import format_memory, format_walltime
from socm.words import count, listed

__all__ = ["POLICIES", "Effort", "admitted", "plan_campaign"]


@no_collection()
def plan_campaign(
    campaign: Campaign,
    cluster: Cluster,
    *,
    start: int = 0,
    reservations: Iterable[Reservation] = (),
    fixed: Iterable[PlannedWorkflow] = (),
    policy: Policy | None = None,
    effort: Effort = USUAL,
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
    policy
        Followed instead of the one that the campaign names.
    effort
        What the search for a better plan may spend; usually less than a second.

    Returns
    -------
    Plan
        Checked. It may miss the deadline; `Plan.feasible` tells.

    Raises
    ------
    Infeasible
        If some workflow fits nowhere; the reasons are listed per workflow and mode.
    ConfigError
        If the policy is unknown or cannot be loaded.

    Examples
    --------
    >>> from socm.model.campaign import ResourceRequest, Workflow
    >>> from socm.model.partition import Partition
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
    policy = policy or POLICIES[campaign.policy]
    reservations, fixed = tuple(reservations), tuple(fixed)
    unknown = [w.name for w in fixed if w.name not in campaign.workflows]
    unknown += [r.partition for r in reservations if r.partition not in cluster.by_partition]
    if unknown:
        raise ConfigError(*(Problem(message=f"there is no {name!r}") for name in unknown))
    admission = admitted(campaign, cluster)
    impossible = {name: why_not for name, (modes, why_not) in admission.items() if not modes}
    if impossible:
        from socm.planner.whynot.fitting import fitting  # not for those who need no help

        raise Infeasible(
            f"{len(impossible)} of {len(admission)} workflows cannot run on {cluster.name}",
            [f"{name}: {reason}" for name, reasons in impossible.items() for reason in reasons],
            remedies=fitting(campaign, cluster, impossible),
            hint=f"`socm clusters {cluster.known_as}` shows what it has",
        )
    modes: Modes = {name: modes for name, (modes, _) in admission.items()}
    prices = Prices(campaign, cluster, modes, fixed)
    prices.refuse_too_dear()
    instance = instance_of(
        campaign, cluster, modes, start=start, reservations=reservations, fixed=fixed
    )
    instance = replace(instance, bound=_bound(instance, modes, effort))
    workflows = policy(instance, effort).planned(instance, upward_rank(instance))
    while (held := prices.cheaper(workflows, modes)) is not None:
        modes = held
        instance = replace(
            instance_of(
                campaign, cluster, modes, start=start, reservations=reservations, fixed=fixed
            ),
            bound=instance.bound,
        )
        workflows = policy(instance, effort).planned(instance, upward_rank(instance))
    workflows.sort(key=lambda w: (w.start, -w.upward_rank))
    plan = Plan(
        campaign=campaign,
        cluster=cluster,
        workflows=tuple(workflows),
        lower_bound=instance.bound,
        start=start,
        reservations=reservations,
        warnings=tuple(_warnings(workflows, modes, campaign, cluster)),
    )
    if not plan.most_charged.within(campaign.budget):
        plan = replace(plan, warnings=(*plan.warnings, _charged_too_much(plan)))
    check_plan(plan)
    return plan


def _bound(instance: Instance, modes: Modes, effort: Effort) -> int:
    """Bound the makespan of every schedule.

    The sharpest bound aims at a makespan that is known; for a small campaign one is quickly made.
    Where no more than one pass is asked for, bounds that take longer than that are left out.
    """
    sharp = len(instance) <= MOST and not effort.is_none
    return lower_bound(
        instance.campaign,
        instance.cluster,
        modes,
        start=instance.start,
        fixed=instance.fixed,
        known=serial(instance, by_rank(instance)).makespan if sharp else None,
        quick=effort.is_none,
    )


def _warnings(
    workflows: Sequence[PlannedWorkflow], modes: Modes, campaign: Campaign, cluster: Cluster
) -> Iterator[str]:
    for w in workflows:
        pair = (w.partition, w.qos or "")
        if any(m.capped and (m.partition.name, m.qos.name) == pair for m in modes[w.name]):
            yield (
                f"{w.name}: walltime capped at {format_walltime(w.walltime)} by QOS {w.qos}, "
                f"{w.walltime / w.duration:.2f} × its runtime"
            )
    yield from _preemptible(workflows, cluster)
    yield from _with_more_cores(campaign, cluster, workflows)


def _preemptible(workflows: Sequence[PlannedWorkflow], cluster: Cluster) -> Iterator[str]:
    """Yield the partitions and QOS whose jobs may be stopped, and how many workflows are there."""
    places = (
        part.name
        for w in workflows
        for part in (cluster.by_partition[w.partition], cluster.by_qos[w.qos or ""])
        if part.preemptible
    )
    for name, number in Counter(places).items():
        yield (
            f"{count(number, 'workflow')} in {name}: SLURM may stop their jobs for those of others"
        )


def _with_more_cores(
    campaign: Campaign, cluster: Cluster, workflows: Sequence[PlannedWorkflow]
) -> Iterator[str]:
    """Yield for each partition who gets more cores than asked for, because of the memory."""
    names: dict[str, list[str]] = {}
    amount: dict[str, int] = {}
    for w in workflows:
        partition = cluster.by_partition[w.partition]
        threads = campaign.workflows[w.name].request.cores(partition.threads_per_core)
        if w.threads > threads and partition.memory_per_core is not None:
            names.setdefault(w.partition, []).append(w.name)
            amount[w.partition] = partition.memory_per_core
    for place, mine in names.items():
        yield (
            f"{listed(mine, most=5)}: more cores than asked for, because {place} gives at most "
            f"{format_memory(amount[place])} for each core"
        )


def _charged_too_much(plan: Plan) -> str:
    """Say that walltimes do not fit into the budget of hours, though expected runtimes do."""
    budget = plan.campaign.budget
    hours = hours_in_words(plan.most_charged.of(budget), budget)
    return (
        f"with the walltimes of what is in the queue, up to {hours} are charged at once, more than "
        "the budget: some workflows wait until others end, or are left out; shorter walltimes "
        "help, and `socm simulate` shows what is left out"
    )
