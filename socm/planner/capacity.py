"""Free capacity over time, on each node and under each limit.

Each node has a step function of free cores, memory and GPUs, so that a plan over months costs
no more than one over minutes. A plan only ever allocates capacity, so a start that was found not
to fit never fits later, and is not looked at again.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

from socm.model.demand import Amounts
from socm.model.partition import Partition
from socm.planner.instance import Begun, IndexedMode, Instance, NodeRanks, usable_nodes
from socm.planner.limit import Limit

_Columns = tuple[list[int], ...]
"""Of one node: times, and from each on free cores, MB and GPUs, and jobs."""


class Timelines:
    """Free cores, memory and GPUs of each node of one partition, over time.

    Parameters
    ----------
    nodes
        The nodes that may be used; earlier ones are tried first.
    counts_jobs
        Whether to count the jobs on each node, for `idle`.
    shared
        The nodes of other partitions, by their set and their number in it.
    """

    def __init__(
        self,
        partition: Partition,
        nodes: Sequence[int],
        start: int,
        *,
        counts_jobs: bool,
        shared: dict[tuple[str, int], _Columns] | None = None,
    ) -> None:
        self.partition = partition
        self._nodes = nodes
        self._position = {node: position for position, node in enumerate(nodes)}
        has = ([start], [partition.cores], [partition.memory], [partition.gpus], [0])
        known = {} if shared is None else shared
        of_nodes = [
            known.setdefault((partition.home, node), tuple(map(list, has))) for node in nodes
        ]
        self._times = [columns[0] for columns in of_nodes]
        self._cores = [columns[1] for columns in of_nodes]
        self._memory = [columns[2] for columns in of_nodes]
        self._gpus = [columns[3] for columns in of_nodes] if partition.gpus else []
        self._jobs = [columns[4] for columns in of_nodes] if counts_jobs else []
        # Start and end of maintenance, node by node.
        self._closed: dict[int, list[tuple[int, int]]] = {}
        # All nodes together: where these are full, no single node need be looked at.
        self._all_cores = Limit(len(nodes) * partition.cores, start)
        self._all_memory = Limit(len(nodes) * partition.memory, start)
        # For each family of modes an interval of starts that are known not to fit.
        self._hopeless: dict[int, tuple[int, int]] = {}
        self.visits = 0
        """Number of nodes looked at so far."""

    def __contains__(self, node: int) -> bool:
        return node in self._position

    def earliest(self, mode: IndexedMode, ready: int) -> tuple[int, NodeRanks]:
        """Return the first start, at `ready` or later, at which a mode fits, and where.

        A start that does not fit the shortest duration of a family fits none of its modes, now or
        later. So each family passes over such starts once.
        """
        duration, shortest = mode.duration, mode.shortest
        start, free, later = ready, None, ready
        known = self._hopeless.get(mode.family)
        low, high = known or (ready, ready)
        while free is None:
            start = high if low <= later < high else later
            start = self._with_enough_in_all(mode, shortest, start)
            free, later = self._probe(mode, shortest, start)
        if start > ready:
            if known is None or (ready <= high and start >= low):
                self._hopeless[mode.family] = (min(low, ready), max(high, start))
            elif start - ready >= high - low:
                self._hopeless[mode.family] = (ready, start)
        if duration > shortest:
            free, later = self._probe(mode, duration, start)
            while free is None:
                start = self._with_enough_in_all(mode, duration, later)
                free, later = self._probe(mode, duration, start)
        return start, free

    def fitting(self, mode: IndexedMode, start: int) -> NodeRanks:
        """Return how many ranks of a mode fit on each node; nodes that are never idle first."""
        free, _ = self._probe(mode, mode.duration, start, all_nodes=True)
        finish = start + mode.duration
        idle = {node: self._idle_within(node, start, finish) for node, _ in free or ()}
        return sorted(free or (), key=lambda pair: idle[pair[0]])

    def _with_enough_in_all(self, mode: IndexedMode, duration: int, ready: int) -> int:
        """Return the first start at which all nodes together have enough cores and memory."""
        demand = mode.demand
        start, before = ready, -1
        while start != before:
            before = start
            start = self._all_cores.earliest(demand.ranks * demand.threads, duration, start)
            start = self._all_memory.earliest(demand.memory, duration, start)
        return start

    def _probe(
        self, mode: IndexedMode, duration: int, start: int, *, all_nodes: bool = False
    ) -> tuple[NodeRanks | None, int]:
        """Return how many ranks fit on each node; or `None` and the next start to probe.

        As many ranks fit on a node as fit at every time from start to finish. Until the last
        segment with the fewest is over, that node holds no more; and until some node holds more,
        nothing fits.
        """
        # The innermost loop of the plain scheme: `Demand.ranks_within`, written out.
        ranks, threads, memory, gpus, exclusive = mode.demand
        full, most_nodes = mode.ranks_per_node, mode.most_nodes
        finish = start + duration
        whole_cores, whole_memory, whole_gpus = self.partition.node
        first_fit = most_nodes is None and not all_nodes
        found = 0
        free: NodeRanks = []
        never = math.inf
        later = never
        for position, times in enumerate(self._times):
            last = len(times) - 1
            least = full
            if times[last] > start:
                all_cores = self._cores[position]
                all_memory = self._memory[position]
                over = never
                segment = bisect_right(times, start) - 1
                while segment < last and times[segment] < finish:
                    cores = all_cores[segment]
                    if exclusive:
                        idle = cores == whole_cores and all_memory[segment] == whole_memory
                        fit = full if idle else 0
                    else:
                        fit = cores // threads
                        if fit and memory:
                            of_memory = all_memory[segment] * ranks // memory
                            if of_memory < fit:
                                fit = of_memory
                    if self._gpus and fit and (gpus or exclusive):
                        have = self._gpus[position][segment]
                        if exclusive:
                            fit = full if have == whole_gpus else 0
                        else:
                            fit = min(fit, have // gpus)
                    segment += 1
                    if fit <= least and fit < full:
                        least = fit
                        over = times[segment]
                if over < later:
                    later = over
            for begin, end in self._closed.get(position, ()):
                if start < end and start + mode.reach > begin:
                    least = 0
                    later = min(later, end)
            if least > 0:  # reservations that overlap may take more than there is
                free.append((self._nodes[position], least))
                found += least
                if found >= ranks and first_fit:
                    self.visits += position + 1
                    return free, start
        self.visits += len(self._times)
        if most_nodes is not None:
            free.sort(key=lambda pair: -pair[1])
            del free[most_nodes:]
            found = sum(fit for _, fit in free)
        if found >= ranks:
            return free, start
        return None, int(later)

    def allocate(self, node: int, load: Amounts, start: int, finish: int, *, jobs: int = 1) -> None:
        """Allocate an amount of a node; `jobs` is 0 for a reservation."""
        position = self._position.get(node)
        if position is None:
            return  # a reservation on a node that the campaign does not use
        first, end = self._cut(position, start), self._cut(position, finish)
        cores, memory, gpus = load
        column = self._cores[position]
        for segment in range(first, end):
            column[segment] -= cores
        if memory:
            column = self._memory[position]
            for segment in range(first, end):
                column[segment] -= memory
        if gpus and self._gpus:  # a reservation may name GPUs that the node does not have
            column = self._gpus[position]
            for segment in range(first, end):
                column[segment] -= gpus
        if jobs and self._jobs:
            column = self._jobs[position]
            for segment in range(first, end):
                column[segment] += jobs

    def close(self, node: int, start: int, finish: int) -> None:
        """Let no job run on a node from start to finish, by its walltime."""
        position = self._position.get(node)
        if position is not None:
            self._closed.setdefault(position, []).append((start, finish))

    def allocate_in_all(self, cores: int, memory: int, start: int, finish: int) -> None:
        """Count what was allocated over all nodes together."""
        self._all_cores.allocate(cores, start, finish)
        self._all_memory.allocate(memory, start, finish)

    def idle(self, node: int, time: int) -> bool:
        """Whether no job is on a node at a time."""
        position = self._position[node]
        return not self._jobs[position][max(0, bisect_right(self._times[position], time) - 1)]

    def _idle_within(self, node: int, start: int, finish: int) -> bool:
        """Whether a node has no job at some time from start to finish."""
        return any(self.idle(node, time) for time in (start, *self.changes(node, start, finish)))

    def changes(self, node: int, start: int, finish: int) -> list[int]:
        """Times between start and finish at which the free capacity of a node changes."""
        times = self._times[self._position[node]]
        return times[bisect_right(times, start) : bisect_left(times, finish)]

    def _cut(self, position: int, time: int) -> int:
        """Let a segment of a node begin at a time; return its index."""
        times = self._times[position]
        segment = bisect_left(times, time)
        if segment == len(times) or times[segment] != time:
            if segment == 0:  # before the plan begins, which is never asked for
                return 0
            times.insert(segment, time)
            for columns in (self._cores, self._memory, self._gpus, self._jobs):
                if columns:
                    columns[position].insert(segment, columns[position][segment - 1])
        return segment


class Capacity:
    """What is free for a campaign over time: nodes, and what is left under each limit.

    Reservations and fixed workflows are allocated from the beginning.

    Examples
    --------
    Two workflows, one after the other, each where it first fits:

    >>> from socm.model.campaign import Campaign, ResourceRequest, Workflow
    >>> from socm.model.cluster import Cluster
    >>> from socm.planner.instance import instance_of, modes_of
    >>> minute = ResourceRequest(threads=8, runtime=60)
    >>> maps = Campaign.of("maps", [Workflow(name=name, request=minute) for name in "ab"])
    >>> cpu = Partition(name="cpu", nodes=1, cores=8, memory=1000)
    >>> cluster = Cluster(name="small", partitions=(cpu,))
    >>> instance = instance_of(maps, cluster, modes_of(maps, cluster))
    >>> capacity = Capacity(instance)
    >>> for (mode,) in instance.modes:
    ...     start, _, placements = capacity.earliest(mode, ready=0)
    ...     capacity.allocate(mode, placements, start)
    ...     print(start, placements)
    0 [(0, 1)]
    60 [(0, 1)]
    """

    def __init__(self, instance: Instance) -> None:
        cluster, start = instance.cluster, instance.start
        several, nodes = len(cluster.partitions) > 1, instance.node_budget
        # On one partition the usable nodes are the budget; on several, busy nodes are counted.
        self._busy = Limit(nodes, start) if nodes is not None and several else None
        shared: dict[tuple[str, int], _Columns] = {}
        self._timelines = [
            Timelines(
                partition,
                usable_nodes(partition, nodes, instance.reservations, instance.fixed),
                start,
                counts_jobs=self._busy is not None,
                shared=shared,
            )
            for partition in cluster.partitions
        ]
        homes = [t.partition.home for t in self._timelines]
        self._sharing = {h: [t for t in self._timelines if t.partition.home == h] for h in homes}
        self._limits = [Limit(most, start) for most in instance.limits]
        by_name = {t.partition.name: t for t in self._timelines}
        for r in instance.reservations:
            timelines = by_name[r.partition]
            for node, load in r.loads(timelines.partition):
                sharing = self._sharing[timelines.partition.home]
                user = next((t for t in (timelines, *sharing) if node in t), timelines)
                user.allocate(node, load, r.start, r.finish, jobs=0)
                for other in sharing if r.maintenance else ():
                    other.close(node, r.start, r.finish)
        for begun in instance.begun:
            self._allocate(begun, begun.placements, begun.start, begun.finish)

    def earliest(self, mode: IndexedMode, ready: int) -> tuple[int, int, NodeRanks]:
        """Return the first start at which a mode fits, and where.

        Returns
        -------
        start
            At `ready` or later.
        unlimited
            The start that nodes alone would allow, without limits and budget.
        placements
            How many ranks go on each node.
        """
        timelines = self._timelines[mode.partition]
        start, free = timelines.earliest(mode, ready)
        unlimited = start
        while True:
            allowed = self._allowed(mode, start)
            if allowed == start:
                if self._busy is not None:
                    free = timelines.fitting(mode, start)
                placements = _filled(mode.demand.ranks, free)
                allowed = self._nodes_allowed(timelines, placements, start, mode.duration)
                if allowed == start:
                    return start, unlimited, placements
            start, free = timelines.earliest(mode, allowed)

    @property
    def visits(self) -> int:
        """Number of nodes looked at so far."""
        return sum(timelines.visits for timelines in self._timelines)

    def _allowed(self, mode: IndexedMode, ready: int) -> int:
        """Return the first start that all limits allow."""
        start, before, counts = ready, -1, mode.counts
        while counts and start != before:
            before = start
            for number, amount in counts:
                start = self._limits[number].earliest(amount, mode.duration, start)
        return start

    def _nodes_allowed(
        self, timelines: Timelines, placements: NodeRanks, start: int, duration: int
    ) -> int:
        """Return `start` if the budget of nodes allows it, else a later start to try."""
        if self._busy is None:
            return start
        finish = start + duration
        times = {start}
        for node, _ in placements:
            times.update(timelines.changes(node, start, finish))
        change = self._busy.next_change(start)
        later = change
        while change is not None and change < finish:
            times.add(change)
            change = self._busy.next_change(change)
        for time in times:
            woken = sum(timelines.idle(node, time) for node, _ in placements)
            if self._busy.exceeded(woken, time):
                assert later is not None  # when nothing runs, the budget allows any workflow
                return later
        return start

    def allocate(self, mode: IndexedMode, placements: NodeRanks, start: int) -> None:
        """Allocate nodes and limits to a mode for its duration."""
        self._allocate(mode, placements, start, start + mode.duration)

    def _allocate(
        self, mode: IndexedMode | Begun, placements: NodeRanks, start: int, finish: int
    ) -> None:
        for number, amount in mode.counts:
            self._limits[number].allocate(amount, start, finish)
        timelines = self._timelines[mode.partition]
        if self._busy is not None:
            for node, _ in placements:
                bounds = [start, *timelines.changes(node, start, finish), finish]
                for begin, end in pairwise(bounds):
                    if timelines.idle(node, begin):
                        self._busy.allocate(1, begin, end)
        demand, whole = mode.demand, timelines.partition.node
        loads = [(node, demand.load(ranks, whole)) for node, ranks in placements]
        for node, load in loads:
            timelines.allocate(node, load, start, finish)
        for sharing in self._sharing[timelines.partition.home]:
            here = [load for node, load in loads if node in sharing]
            cores, memory = sum(x.cores for x in here), sum(x.memory for x in here)
            if cores or memory:
                sharing.allocate_in_all(cores, memory, start, finish)


def _filled(ranks: int, free: NodeRanks) -> NodeRanks:
    """Fill nodes in order until every rank has a place; `free` says how many fit on each."""
    placements = []
    for node, fit in free:
        placements.append((node, min(fit, ranks)))
        ranks -= fit
        if ranks <= 0:
            break
    return placements
