"""Policies by name: what a plan is made to achieve, and the baselines to compare it with.

A policy is a callable that schedules an instance within an effort; built-in ones load when they
are named, those of other packages come by the entry-point group ``socm.planners``.
"""

from __future__ import annotations

from collections.abc import Callable

from socm.model.campaign import Campaign
from socm.model.cluster import Cluster
from socm.model.plan import Plan
from socm.planner.effort import Effort
from socm.planner.instance import Instance
from socm.planner.schedule import Schedule
from socm.planner.schemes import serial
from socm.registry import Registry

Policy = Callable[[Instance, Effort], Schedule]

Planner = Callable[[Campaign, Cluster], Plan]
"""What plans a campaign that was changed, or on another cluster; may raise `Infeasible`."""

POLICIES: Registry[Policy] = Registry(
    "policy",
    {
        "time": "socm.planner.improve:shortest",
        "heft": "socm.planner.heft:heft",
        "fifo": "socm.planner.policies:fifo",
        "lpt": "socm.planner.policies:lpt",
    },
    group="socm.planners",
)
"""Policies by name; ``time`` is the default."""


def fifo(instance: Instance, effort: Effort) -> Schedule:
    """Plan as declared: first come, first served, with conservative backfilling.

    A workflow waits for those before it in the file, but for gaps that it fits into without
    delaying any of them.

    References
    ----------
    A. W. Mu'alem, D. G. Feitelson, IEEE Trans. Parallel Distrib. Syst. 12 (2001) 529,
    https://doi.org/10.1109/71.932708
    """
    return serial(instance, [(k,) for k in range(len(instance))])


def lpt(instance: Instance, effort: Effort) -> Schedule:
    """Plan the longest first, of those whose dependencies are planned.

    References
    ----------
    R. L. Graham, SIAM J. Appl. Math. 17 (1969) 416, https://doi.org/10.1137/0117039
    """
    return serial(instance, [(-duration,) for duration in instance.duration])
