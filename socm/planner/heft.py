"""Heterogeneous earliest finish time, for rigid parallel workflows on shared nodes."""

from __future__ import annotations

from socm.planner.effort import Effort
from socm.planner.instance import Instance
from socm.planner.ranking import by_rank
from socm.planner.schedule import Schedule
from socm.planner.schemes import serial


def heft(instance: Instance, effort: Effort) -> Schedule:
    """Plan a campaign by upward rank and earliest finish, with insertion, in one pass.

    The algorithm of Topcuoglu, Hariri and Wu (2002) with two changes. A processor is here a set
    of nodes with cores, memory and GPUs for all ranks at all times, so the earliest gap is sought
    over all nodes of a partition at once. And their heterogeneous processors are partitions of
    different speed, each under every QOS that admits the workflow.

    References
    ----------
    H. Topcuoglu, S. Hariri, M.-Y. Wu, IEEE Trans. Parallel Distrib. Syst. 13 (2002) 260,
    https://doi.org/10.1109/71.993206
    """
    return serial(instance, by_rank(instance))
