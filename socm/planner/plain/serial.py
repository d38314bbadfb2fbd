"""The serial schedule generation scheme: one workflow after the other, each where it ends first."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush

from socm.planner.capacity import Capacity
from socm.planner.effort import WORK_OF_PLACING
from socm.planner.instance import IndexedMode, Instance, NodeRanks
from socm.planner.ranking import Priority
from socm.planner.schedule import Schedule


def schedule(instance: Instance, priority: Priority) -> Schedule:
    """Schedule an instance; see `socm.planner.schemes.serial`."""
    n = len(instance)
    capacity = Capacity(instance)
    start, modes = [0] * n, [instance.modes[k][0] for k in range(n)]
    placements: list[NodeRanks] = [[] for _ in range(n)]
    waits = [len(parents) for parents in instance.parents]
    ready = instance.release.copy()
    eligible = [(priority[k], k) for k in range(n) if not waits[k]]
    heapify(eligible)
    while eligible:
        _, k = heappop(eligible)
        start[k], modes[k], placements[k] = earliest_finish(instance.modes[k], capacity, ready[k])
        capacity.allocate(modes[k], placements[k], start[k])
        finish = start[k] + modes[k].duration
        for child in instance.children[k]:
            ready[child] = max(ready[child], finish)
            waits[child] -= 1
            if not waits[child]:
                heappush(eligible, (priority[child], child))
    work = capacity.visits + WORK_OF_PLACING * n
    return Schedule(start=start, modes=modes, placements=placements, work=work)


def earliest_finish(
    modes: Sequence[IndexedMode], capacity: Capacity, ready: int
) -> tuple[int, IndexedMode, NodeRanks]:
    """Choose the mode that ends first; of equal ones the smallest QOS, then the fewest nodes."""
    if len(modes) == 1:
        start, _, placements = capacity.earliest(modes[0], ready)
        return start, modes[0], placements
    best: tuple[int, int, int] | None = None
    chosen = None
    # The start that nodes alone would allow: another QOS on the same nodes cannot do better.
    unlimited: dict[tuple[int, bool, int | None, int], int] = {}
    for mode in modes:
        same_nodes = (mode.partition, mode.demand.exclusive, mode.most_nodes, mode.reach)
        soonest = unlimited.get(same_nodes, ready) + mode.duration
        if best is not None and (soonest, mode.qos) > best[:2]:
            continue
        start, unlimited[same_nodes], placements = capacity.earliest(mode, ready)
        key = (start + mode.duration, mode.qos, len(placements))
        if best is None or key < best:
            best, chosen = key, (start, mode, placements)
    assert chosen is not None
    return chosen
