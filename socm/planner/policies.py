"""Policies by name: what a plan is made to achieve, and the baselines to compare it with.

A policy is a callable that plans a campaign; built-in ones load when they are named, those of
other packages come by the entry-point group ``socm.planners``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from socm.model.campaign import Campaign
from socm.model.cluster import Option
from socm.model.plan import PlannedWorkflow
from socm.planner.capacity import Capacity
from socm.planner.ranking import by_priority, mean_durations
from socm.planner.serial import serial
from socm.registry import Registry


class Policy(Protocol):
    """What plans a campaign: every workflow once, and those that are fixed where they are.

    Parameters are those of `socm.planner.serial.serial`, without an order.
    """

    def __call__(
        self,
        campaign: Campaign,
        options: Mapping[str, Sequence[Option]],
        capacity: Capacity,
        /,
        *,
        start: int,
        fixed: Iterable[PlannedWorkflow],
    ) -> Iterable[PlannedWorkflow]:
        """Plan the campaign."""
        ...


POLICIES: Registry[Policy] = Registry(
    "policy",
    {
        "time": "socm.planner.heft:heft",
        "fifo": "socm.planner.policies:fifo",
        "lpt": "socm.planner.policies:lpt",
    },
    group="socm.planners",
)
"""Policies by name; ``time`` is the default."""


def fifo(
    campaign: Campaign,
    options: Mapping[str, Sequence[Option]],
    capacity: Capacity,
    *,
    start: int = 0,
    fixed: Iterable[PlannedWorkflow] = (),
) -> list[PlannedWorkflow]:
    """Plan as declared: first come, first served, with conservative backfilling.

    A workflow waits for those before it in the file, but for gaps that it fits into without
    delaying any of them.

    References
    ----------
    A. W. Mu'alem, D. G. Feitelson, IEEE Trans. Parallel Distrib. Syst. 12 (2001) 529,
    https://doi.org/10.1109/71.932708
    """
    declared = {name: k for k, name in enumerate(campaign.workflows)}
    order = by_priority(campaign, declared.__getitem__)
    return serial(campaign, options, capacity, order, start=start, fixed=fixed)


def lpt(
    campaign: Campaign,
    options: Mapping[str, Sequence[Option]],
    capacity: Capacity,
    *,
    start: int = 0,
    fixed: Iterable[PlannedWorkflow] = (),
) -> list[PlannedWorkflow]:
    """Plan the longest first, of those whose dependencies are planned.

    References
    ----------
    R. L. Graham, SIAM J. Appl. Math. 17 (1969) 416, https://doi.org/10.1137/0117039
    """
    duration = mean_durations(options)
    order = by_priority(campaign, lambda name: -duration[name])
    return serial(campaign, options, capacity, order, start=start, fixed=fixed)
