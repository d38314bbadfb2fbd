"""Serial schedule generation: workflows in an order, each at its earliest finish."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from socm.model.campaign import Campaign, Workflow
from socm.model.cluster import Option
from socm.model.plan import PlannedWorkflow
from socm.planner.capacity import Capacity
from socm.planner.ranking import mean_durations, upward_rank


def serial(
    campaign: Campaign,
    options: Mapping[str, Sequence[Option]],
    capacity: Capacity,
    order: Iterable[str],
    *,
    start: int = 0,
    fixed: Iterable[PlannedWorkflow] = (),
) -> list[PlannedWorkflow]:
    """Plan workflows one after another, each where and when it finishes first.

    With insertion: a later one takes a gap that earlier ones left, and delays none of them.

    Parameters
    ----------
    options
        For each workflow the partitions and QOS that admit it, smallest tier first.
    capacity
        What is free; it is used up.
    order
        Names, each after all that it depends on; `socm.planner.ranking.by_priority` makes one.
    start
        Nothing new begins before.
    fixed
        Workflows that have run or are running: they stay where they are.

    References
    ----------
    R. Kolisch, Eur. J. Oper. Res. 90 (1996) 320, https://doi.org/10.1016/0377-2217(95)00357-6
    """
    rank = upward_rank(campaign, mean_durations(options))
    planned = {w.name: replace(w, fixed=True) for w in fixed}
    for w in planned.values():
        capacity.take(campaign.workflows[w.name].request, w)
    for name in order:
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
