"""The parallel schedule generation scheme: forward in time, each instant starts all that fits."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from socm.planner.effort import WORK_OF_STARTING
from socm.planner.instance import Group, Instance, depth, groups
from socm.planner.plain.availability import Availability, Running
from socm.planner.ranking import Priority
from socm.planner.schedule import Schedule


def schedule(instance: Instance, priority: Priority) -> Schedule:
    """Schedule an instance; see `socm.planner.schemes.parallel`."""
    n = len(instance)
    available = Availability(instance)
    start, modes = [0] * n, [instance.modes[k][0] for k in range(n)]
    running: list[Running | None] = [None] * n
    waits = [len(parents) for parents in instance.parents]
    ready = instance.release.copy()
    group_of, most_misfits = groups(instance), depth(n)
    queues: dict[Group, list[tuple[tuple[float, ...], int]]] = {}
    events = [(ready[k], k) for k in range(n) if not waits[k]]
    events += [(job.finish, k) for k, job in available.running.items()]
    heapify(events)
    while events:
        now = events[0][0]
        available.advance(now)
        while events and events[0][0] == now:
            _, k = heappop(events)
            if k not in available.running:
                heappush(queues.setdefault(group_of[k], []), (priority[k], k))
                continue
            available.release(k)
            for child in instance.children[k] if k >= 0 else ():
                ready[child] = max(ready[child], now)
                waits[child] -= 1
                if not waits[child]:
                    heappush(events, (ready[child], child))
        heads = [(queue[0], group) for group, queue in queues.items()]
        heapify(heads)
        while heads and len(available.misfits) < most_misfits:
            (_, k), group = heappop(heads)
            found = available.fit(instance.modes[k], k)
            if found is None:
                continue
            modes[k], job = found
            start[k], running[k] = now, job
            available.allocate(k, job)
            heappush(events, (job.finish, k))
            heappop(queues[group])
            if queues[group]:
                heappush(heads, (queues[group][0], group))
            else:
                del queues[group]
    placements = [available.placements(job) for job in running if job is not None]
    assert len(placements) == n  # every workflow fits once nothing else runs
    return Schedule(start=start, modes=modes, placements=placements, work=WORK_OF_STARTING * n)
