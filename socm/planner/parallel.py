"""The parallel schedule generation scheme: at each instant, all that fits begins."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from socm.planner.compiled import LOADER
from socm.planner.instance import Instance
from socm.planner.machine import Held, Machine
from socm.planner.ranking import Priority
from socm.planner.schedule import Schedule

Group = tuple[tuple[int, ...], ...]
"""What is alike in workflows that ask for about the same, and wait in one queue."""

WORK_OF_PLACING = 1000
"""What it takes to place a workflow, in nodes looked at one by one."""
DEPTH = 32
"""How many workflows may be found not to fit at one instant before the rest must wait."""
VERY_LARGE = 30_000
"""Workflows from which on half as many may."""


def parallel(instance: Instance, priority: Priority) -> Schedule:
    """Go forward in time, and at each instant begin what fits, the least priority value first.

    Of what does not fit, the first gets nodes for the earliest time at which it will, and what
    would hold these longer may not overtake it (EASY backfilling). Other than `serial` it never
    looks back, which makes it fast where there are very many workflows; it cannot be used where
    capacity is reserved for later.

    Parameters
    ----------
    priority
        For each workflow; of equals the one that was declared first comes first.

    References
    ----------
    R. Kolisch, Eur. J. Oper. Res. 90 (1996) 320, https://doi.org/10.1016/0377-2217(95)00357-6
    A. W. Mu'alem, D. G. Feitelson, IEEE Trans. Parallel Distrib. Syst. 12 (2001) 529,
    https://doi.org/10.1109/71.932708
    """
    assert not instance.reservations
    work = WORK_OF_PLACING * len(instance)
    return LOADER.schedule("parallel", instance, priority, work) or plain(instance, priority)


def plain(instance: Instance, priority: Priority) -> Schedule:
    """Do so with NumPy alone."""
    n = len(instance)
    machine = Machine(instance)
    start, ways = [0] * n, [instance.ways[k][0] for k in range(n)]
    held: list[Held | None] = [None] * n
    waits = [len(parents) for parents in instance.parents]
    ready = instance.release.copy()
    group_of, most_misfits = groups(instance), depth(n)
    queues: dict[Group, list[tuple[tuple[float, ...], int]]] = {}
    events = [(ready[k], k) for k in range(n) if not waits[k]]
    events += [(has.finish, k) for k, has in machine.running.items()]
    heapify(events)
    while events:
        now = events[0][0]
        machine.turn(now)
        while events and events[0][0] == now:
            _, k = heappop(events)
            if k not in machine.running:
                heappush(queues.setdefault(group_of[k], []), (priority[k], k))
                continue
            machine.give(k)
            for child in instance.children[k] if k >= 0 else ():
                ready[child] = max(ready[child], now)
                waits[child] -= 1
                if not waits[child]:
                    heappush(events, (ready[child], child))
        heads = [(queue[0], group) for group, queue in queues.items()]
        heapify(heads)
        while heads and len(machine.misfits) < most_misfits:
            (_, k), group = heappop(heads)
            found = machine.fit(instance.ways[k], k)
            if found is None:
                continue
            ways[k], has = found
            start[k], held[k] = now, has
            machine.take(k, has)
            heappush(events, (has.finish, k))
            heappop(queues[group])
            if queues[group]:
                heappush(heads, (queues[group][0], group))
            else:
                del queues[group]
    rooms = [machine.rooms(has) for has in held if has is not None]
    assert len(rooms) == n  # each fits once nothing else runs
    return Schedule(start=start, ways=ways, rooms=rooms, work=WORK_OF_PLACING * n)


def depth(workflows: int) -> int:
    """Return how many workflows may be found not to fit before the rest must wait."""
    return DEPTH if workflows < VERY_LARGE else DEPTH // 2


def groups(instance: Instance) -> list[Group]:
    """Put into one queue what asks for the same, but for time, and memory up to a factor of 2."""
    known: dict[int, Group] = {}
    for ways in instance.ways:
        if id(ways) not in known:
            known[id(ways)] = tuple(
                (w.partition, w.tier, *w.shape[:2], w.shape.memory.bit_length(), w.shape.gpus)
                for w in ways
            )
    return [known[id(ways)] for ways in instance.ways]
