"""What a simulated campaign holds of its cluster over time, for pictures."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush

from socm.model.outcome import Simulation
from socm.model.plan import Plan


def usage(simulation: Simulation) -> dict[float, tuple[int, int]]:
    """Return the cores and the MB that the exact run holds from each time on.

    A workflow that was retried counts from its first start to its last end.
    """
    plan = simulation.plan
    changes: list[tuple[float, int, int]] = []
    for w in simulation.exact.workflows:
        if w.start is None or w.finish is None:
            continue
        cores, memory = plan.by_name[w.name].cores, held_memory(plan, w.name)
        changes += [(w.start, cores, memory), (w.finish, -cores, -memory)]
    held: dict[float, tuple[int, int]] = {}
    cores = memory = 0
    for time, more_cores, more_memory in sorted(changes):
        cores, memory = cores + more_cores, memory + more_memory
        held[time] = (cores, memory)
    return held


def held_memory(plan: Plan, name: str) -> int:
    """MB that a workflow holds while it runs: what its ranks ask for, or whole nodes."""
    w = plan.by_name[name]
    demand, node = plan.demand(w), plan.cluster.by_partition[w.partition].node
    return sum(demand.load(p.ranks, node).memory for p in w.placements)


def lanes(spans: Iterable[tuple[float, float]]) -> list[int]:
    """Assign each span, in order of start, the first lane that is free.

    Examples
    --------
    >>> lanes([(0, 4), (0, 2), (2, 3), (3, 9), (3, 5)])
    [0, 1, 1, 1, 2]
    """
    busy: list[tuple[float, int]] = []
    free: list[int] = []
    chosen = []
    for start, finish in spans:
        while busy and busy[0][0] <= start:
            heappush(free, heappop(busy)[1])
        lane = heappop(free) if free else len(busy)
        heappush(busy, (finish, lane))
        chosen.append(lane)
    return chosen


def available_memory(simulation: Simulation) -> int:
    """MB of the nodes whose cores are `Simulation.available_cores`."""
    cores, memory = simulation.available_cores, 0
    for partition in sorted(simulation.plan.cluster.distinct, key=lambda p: -p.cores):
        nodes = min(partition.nodes, -(-cores // partition.cores))
        memory += nodes * partition.memory
        cores -= min(cores, nodes * partition.cores)
    return max(memory, 1)
