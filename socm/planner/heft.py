"""Heterogeneous earliest finish time, for rigid parallel workflows on shared nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from socm.model.campaign import Campaign
from socm.model.cluster import Option
from socm.model.plan import PlannedWorkflow
from socm.planner.capacity import Capacity
from socm.planner.ranking import mean_durations, upward_rank
from socm.planner.serial import serial


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
    mean = mean_durations(options)
    rank = upward_rank(campaign, mean)
    declared = {name: k for k, name in enumerate(campaign.workflows)}
    work = {name: mean[name] * options[name][0].cores for name in declared}
    # Equal ranks: the larger first, for the smaller fits into what is left.
    by_rank = sorted(declared, key=lambda name: (-rank[name], -work[name], declared[name]))
    return serial(campaign, options, capacity, by_rank, start=start, fixed=fixed)
