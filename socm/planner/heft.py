"""Heterogeneous earliest finish time, for rigid parallel workflows on shared nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from socm.model.campaign import Campaign, Workflow
from socm.model.cluster import Option
from socm.model.plan import PlannedWorkflow
from socm.planner.capacity import Capacity
from socm.planner.ranking import upward_rank


def heft(
    campaign: Campaign,
    options: Mapping[str, Sequence[Option]],
    capacity: Capacity,
    *,
    start: int = 0,
    fixed: Iterable[PlannedWorkflow] = (),
) -> list[PlannedWorkflow]:
    """Plan a campaign by upward rank and earliest finish, with insertion.

    The algorithm of Topcuoglu, Hariri and Wu (2002) with two changes. A processor is here a set
    of nodes with cores, memory and GPUs for all ranks at all times, so the earliest gap is sought
    over all nodes of a partition at once. And their heterogeneous processors are partitions of
    different speed, each under every QOS that admits the workflow.

    Parameters
    ----------
    options
        For each workflow the partitions and QOS that admit it, smallest tier first.
    capacity
        What is free; it is used up.
    start
        Nothing new begins before.
    fixed
        Workflows that have run or are running: they stay where they are.

    References
    ----------
    H. Topcuoglu, S. Hariri, M.-Y. Wu, IEEE Trans. Parallel Distrib. Syst. 13 (2002) 260,
    https://doi.org/10.1109/71.993206
    """
    mean = {
        name: fmean({o.partition.name: o.duration for o in ways}.values())
        for name, ways in options.items()
    }
    rank = upward_rank(campaign, mean)
    planned = {w.name: replace(w, fixed=True) for w in fixed}
    for w in planned.values():
        capacity.take(campaign.workflows[w.name].request, w)

    declared = {name: k for k, name in enumerate(campaign.workflows)}
    work = {name: mean[name] * options[name][0].cores for name in declared}
    # Equal ranks: the larger first, for the smaller fits into what is left.
    by_rank = sorted(declared, key=lambda name: (-rank[name], -work[name], declared[name]))
    for name in by_rank:
        if name in planned:
            continue
        workflow = campaign.workflows[name]
        ready = max((planned[parent].finish for parent in workflow.depends), default=start)
        planned[name] = _earliest_finish(
            workflow, options[name], capacity, max(ready, start), rank[name]
        )
        capacity.take(workflow.request, planned[name])
    return list(planned.values())


def _earliest_finish(
    workflow: Workflow, options: Sequence[Option], capacity: Capacity, ready: int, rank: float
) -> PlannedWorkflow:
    """Choose the option that finishes first; of equal ones the smallest tier, then fewest nodes."""
    tiers = list(dict.fromkeys(option.qos.name for option in options))
    best: tuple[int, int, int] | None = None
    chosen = None
    # Where nodes alone would let it begin: another QOS on the same nodes cannot do better.
    unlimited: dict[tuple[str, bool, int | None], int] = {}
    for option in options:
        tier = tiers.index(option.qos.name)
        same_nodes = (option.partition.name, option.exclusive, option.qos.nodes_per_job)
        soonest = unlimited.get(same_nodes, ready) + option.duration
        if best is not None and (soonest, tier) > best[:2]:
            continue
        begin, unlimited[same_nodes], placements = capacity.earliest(
            option, workflow.request, ready
        )
        key = (begin + option.duration, tier, len(placements))
        if best is None or key < best:
            best, chosen = key, (option, begin, placements)
    assert chosen is not None
    option, begin, placements = chosen
    return PlannedWorkflow(
        name=workflow.name,
        partition=option.partition.name,
        qos=option.qos.name or None,
        placements=placements,
        threads=option.threads,
        exclusive=option.exclusive,
        cores=option.cores,
        start=begin,
        finish=begin + option.duration,
        walltime=option.walltime,
        rank=rank,
    )
