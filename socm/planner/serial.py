"""The serial schedule generation scheme: one workflow after the other, each where it ends first."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush

from socm.planner.capacity import Capacity
from socm.planner.compiled import LOADER
from socm.planner.instance import Instance, Rooms, Way
from socm.planner.ranking import Priority
from socm.planner.schedule import Schedule

WORK_OF_PLACING = 24
"""What it takes to place a workflow once its nodes are found, in nodes looked at."""


def serial(instance: Instance, priority: Priority) -> Schedule:
    """Place one workflow after the other where it ends first, in the gaps that others left.

    The serial schedule generation scheme: of the workflows whose parents have their place, the
    one with the least priority value comes next.

    Parameters
    ----------
    priority
        For each workflow; of equals the one that was declared first comes first.

    References
    ----------
    R. Kolisch, Eur. J. Oper. Res. 90 (1996) 320, https://doi.org/10.1016/0377-2217(95)00357-6
    """
    nodes = sum(p.nodes for p in instance.cluster.partitions)
    work = len(instance) * (nodes + WORK_OF_PLACING)
    return LOADER.schedule("serial", instance, priority, work) or plain(instance, priority)


def plain(instance: Instance, priority: Priority) -> Schedule:
    """Do so in Python."""
    n = len(instance)
    capacity = Capacity(instance)
    start, ways = [0] * n, [instance.ways[k][0] for k in range(n)]
    rooms: list[Rooms] = [[] for _ in range(n)]
    waits = [len(parents) for parents in instance.parents]
    ready = instance.release.copy()
    eligible = [(priority[k], k) for k in range(n) if not waits[k]]
    heapify(eligible)
    while eligible:
        _, k = heappop(eligible)
        start[k], ways[k], rooms[k] = earliest_finish(instance.ways[k], capacity, ready[k])
        capacity.take(ways[k], rooms[k], start[k])
        finish = start[k] + ways[k].duration
        for child in instance.children[k]:
            ready[child] = max(ready[child], finish)
            waits[child] -= 1
            if not waits[child]:
                heappush(eligible, (priority[child], child))
    work = capacity.visits + WORK_OF_PLACING * n
    return Schedule(start=start, ways=ways, rooms=rooms, work=work)


def earliest_finish(ways: Sequence[Way], capacity: Capacity, ready: int) -> tuple[int, Way, Rooms]:
    """Choose the way that finishes first; of equal ones the smallest tier, then fewest nodes."""
    if len(ways) == 1:
        start, _, rooms = capacity.earliest(ways[0], ready)
        return start, ways[0], rooms
    best: tuple[int, int, int] | None = None
    chosen = None
    # Where nodes alone would let it begin: another QOS on the same nodes cannot do better.
    unlimited: dict[tuple[int, bool, int | None], int] = {}
    for way in ways:
        same_nodes = (way.partition, way.shape.exclusive, way.shape.most_nodes)
        soonest = unlimited.get(same_nodes, ready) + way.duration
        if best is not None and (soonest, way.tier) > best[:2]:
            continue
        start, unlimited[same_nodes], rooms = capacity.earliest(way, ready)
        key = (start + way.duration, way.tier, len(rooms))
        if best is None or key < best:
            best, chosen = key, (start, way, rooms)
    assert chosen is not None
    return chosen
