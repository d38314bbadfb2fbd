"""What is free over time: on each node, and under each limit.

Each node has a step function of free cores, memory and GPUs, so that a plan over months costs
no more than one over minutes. A plan only ever takes capacity away; what was found not to fit
stays so, and is not looked at again.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from socm.model.cluster import Partition
from socm.model.placement import PlannedWorkflow, Reservation
from socm.planner.instance import Instance, Rooms, Shape, Way


class Limit:
    """A count that may not exceed a limit at any time: running jobs, cores in use, busy nodes."""

    def __init__(self, limit: int, start: int) -> None:
        self._limit = limit
        self._times = [start]
        self._used = [0]

    def earliest(self, amount: int, duration: int, ready: int) -> int:
        """Find the first start, at `ready` or later, with room for `amount` for so long."""
        times, used = self._times, self._used
        most = self._limit - amount
        start = ready
        segment = max(0, bisect_right(times, start) - 1)
        while segment < len(times) and times[segment] < start + duration:
            if used[segment] > most:
                if segment + 1 == len(times):
                    return start  # more than there ever is: not for this limit to tell
                start = times[segment + 1]
            segment += 1
        return start

    def used(self, time: int) -> int:
        """How much is in use at a time."""
        return self._used[max(0, bisect_right(self._times, time) - 1)]

    def exceeded(self, amount: int, time: int) -> bool:
        """Whether so much more at a time would be too much."""
        return self.used(time) + amount > self._limit

    def next_change(self, time: int) -> int | None:
        """The next time after this one at which what is in use changes, if there is one."""
        segment = bisect_right(self._times, time)
        return self._times[segment] if segment < len(self._times) else None

    def take(self, amount: int, start: int, finish: int) -> None:
        """Use so much for a while."""
        for segment in range(self._cut(start), self._cut(finish)):
            self._used[segment] += amount

    def _cut(self, time: int) -> int:
        segment = bisect_left(self._times, time)
        if segment == len(self._times) or self._times[segment] != time:
            if segment == 0:
                return 0
            self._times.insert(segment, time)
            self._used.insert(segment, self._used[segment - 1])
        return segment


class Timelines:
    """Free cores, memory and GPUs of nodes of one partition, from now to the end of time.

    Parameters
    ----------
    nodes
        Those that may be used, the first to be tried first.
    counts_jobs
        Whether it is asked which nodes are idle.
    """

    def __init__(
        self, partition: Partition, nodes: Sequence[int], start: int, *, counts_jobs: bool
    ) -> None:
        self.partition = partition
        self._nodes = nodes
        self._position = {node: position for position, node in enumerate(nodes)}
        self._times = [[start] for _ in nodes]
        self._cores = [[partition.cores] for _ in nodes]
        self._memory = [[partition.memory] for _ in nodes]
        self._gpus = [[partition.gpus] for _ in nodes] if partition.gpus else []
        self._jobs = [[0] for _ in nodes] if counts_jobs else []
        # All nodes together: where these are full, no node need be asked.
        self._all_cores = Limit(len(nodes) * partition.cores, start)
        self._all_memory = Limit(len(nodes) * partition.memory, start)
        # Per kind of way: an interval of starts known not to fit.
        self._hopeless: dict[int, tuple[int, int]] = {}
        self.visits = 0
        """How many nodes were looked at."""

    def earliest(self, way: Way, ready: int) -> tuple[int, Rooms]:
        """Find the first start, at `ready` or later, at which a way's ranks fit for so long.

        Starts that do not even fit the shortest duration of its kind fit none of that kind, ever:
        so each kind walks them once.
        """
        duration, shortest, shape = way.duration, way.shortest, way.shape
        start, rooms, later = ready, None, ready
        known = self._hopeless.get(way.kind)
        low, high = known or (ready, ready)
        while rooms is None:
            start = high if low <= later < high else later
            start = self._with_enough_in_all(shape, shortest, start)
            rooms, later = self._probe(shape, shortest, start)
        if start > ready:
            if known is None or (ready <= high and start >= low):
                self._hopeless[way.kind] = (min(low, ready), max(high, start))
            elif start - ready >= high - low:
                self._hopeless[way.kind] = (ready, start)
        if duration > shortest:
            rooms, later = self._probe(shape, duration, start)
            while rooms is None:
                start = self._with_enough_in_all(shape, duration, later)
                rooms, later = self._probe(shape, duration, start)
        return start, rooms

    def rooms(self, way: Way, start: int) -> Rooms:
        """List what every node has for a way, those first that have jobs all the time."""
        rooms, _ = self._probe(way.shape, way.duration, start, all_nodes=True)
        finish = start + way.duration
        idle = {node: self._idle_within(node, start, finish) for node, _ in rooms or ()}
        return sorted(rooms or (), key=lambda room: idle[room[0]])

    def _with_enough_in_all(self, shape: Shape, duration: int, ready: int) -> int:
        """Find the first start at which all nodes together have enough cores and memory."""
        start, before = ready, -1
        while start != before:
            before = start
            start = self._all_cores.earliest(shape.ranks * shape.threads, duration, start)
            start = self._all_memory.earliest(shape.memory, duration, start)
        return start

    def _probe(
        self, shape: Shape, duration: int, start: int, *, all_nodes: bool = False
    ) -> tuple[Rooms | None, int]:
        """Return the rooms at this start; or `None`, and the next start worth a look.

        A node's room over a window is its least room in it. Until the last segment that has the
        least room is over, that node gains nothing; and until one node gains, nothing fits.
        """
        ranks, threads, memory, gpus, exclusive, most_nodes, full = shape
        finish = start + duration
        whole_cores, whole_memory = self.partition.cores, self.partition.memory
        first_fit = most_nodes is None and not all_nodes
        found = 0
        rooms: Rooms = []
        never = math.inf
        later = never
        for position, times in enumerate(self._times):
            last = len(times) - 1
            room = full
            if times[last] > start:
                all_cores = self._cores[position]
                all_memory = self._memory[position]
                over = never
                segment = bisect_right(times, start) - 1
                while segment < last and times[segment] < finish:
                    cores = all_cores[segment]
                    if exclusive:
                        idle = cores == whole_cores and all_memory[segment] == whole_memory
                        free = full if idle else 0
                    else:
                        free = cores // threads
                        if free and memory:
                            of_memory = all_memory[segment] * ranks // memory
                            if of_memory < free:
                                free = of_memory
                    if self._gpus and free and (gpus or exclusive):
                        have = self._gpus[position][segment]
                        if exclusive:
                            free = full if have == self.partition.gpus else 0
                        else:
                            free = min(free, have // gpus)
                    segment += 1
                    if free <= room and free < full:
                        room = free
                        over = times[segment]
                if over < later:
                    later = over
            if room > 0:  # windows that overlap may reserve more than there is
                rooms.append((self._nodes[position], room))
                found += room
                if found >= ranks and first_fit:
                    self.visits += position + 1
                    return rooms, start
        self.visits += len(self._times)
        if most_nodes is not None:
            rooms.sort(key=lambda x: -x[1])
            del rooms[most_nodes:]
            found = sum(room for _, room in rooms)
        if found >= ranks:
            return rooms, start
        return None, int(later)

    def take(
        self, node: int, cores: int, memory: int, gpus: int, start: int, finish: int, jobs: int = 1
    ) -> None:
        """Take cores, MB and GPUs of a node away for a while; `jobs` is 0 for a reservation."""
        position = self._position.get(node)
        if position is None:
            return  # a reservation of a node that is not used
        first, end = self._cut(position, start), self._cut(position, finish)
        column = self._cores[position]
        for segment in range(first, end):
            column[segment] -= cores
        if memory:
            column = self._memory[position]
            for segment in range(first, end):
                column[segment] -= memory
        if gpus and self._gpus:  # a window may reserve what there is not
            column = self._gpus[position]
            for segment in range(first, end):
                column[segment] -= gpus
        if jobs and self._jobs:
            column = self._jobs[position]
            for segment in range(first, end):
                column[segment] += jobs

    def take_of_all(self, cores: int, memory: int, start: int, finish: int) -> None:
        """Note what `take` took of all nodes together."""
        self._all_cores.take(cores, start, finish)
        self._all_memory.take(memory, start, finish)

    def idle(self, node: int, time: int) -> bool:
        """Whether no job is on a node at a time."""
        position = self._position[node]
        return not self._jobs[position][max(0, bisect_right(self._times[position], time) - 1)]

    def _idle_within(self, node: int, start: int, finish: int) -> bool:
        """Whether there is a time in a window at which no job is on a node."""
        return any(self.idle(node, time) for time in (start, *self.changes(node, start, finish)))

    def changes(self, node: int, start: int, finish: int) -> list[int]:
        """Times after `start` and before `finish` at which what is free on a node changes."""
        times = self._times[self._position[node]]
        return times[bisect_right(times, start) : bisect_left(times, finish)]

    def _cut(self, position: int, time: int) -> int:
        """Make a segment of a node begin at a time; return its index."""
        times = self._times[position]
        segment = bisect_left(times, time)
        if segment == len(times) or times[segment] != time:
            if segment == 0:  # before the plan begins: nobody will look
                return 0
            times.insert(segment, time)
            for columns in (self._cores, self._memory, self._gpus, self._jobs):
                if columns:
                    columns[position].insert(segment, columns[position][segment - 1])
        return segment


class Capacity:
    """What a cluster has left for a campaign, over time: nodes, QOS limits and budget.

    What is fixed or reserved is taken from the beginning.
    """

    def __init__(self, instance: Instance) -> None:
        cluster, budget, start = instance.cluster, instance.campaign.budget, instance.start
        several = len(cluster.partitions) > 1
        # On one partition the nodes that may be used are the budget; on several it is counted.
        self._busy = Limit(budget.nodes, start) if budget.nodes is not None and several else None
        self._timelines = [
            Timelines(
                partition,
                usable_nodes(partition, budget.nodes, instance.reservations, instance.fixed),
                start,
                counts_jobs=self._busy is not None,
            )
            for partition in cluster.partitions
        ]
        # Of each tier: what limits it, and whether that counts cores or jobs.
        of_budget = [(Limit(budget.cores, start), True)] if budget.cores is not None else []
        self._limits: list[list[tuple[Limit, bool]]] = [
            [
                *([(Limit(q.running_jobs, start), False)] if q.running_jobs is not None else []),
                *([(Limit(q.cores, start), True)] if q.cores is not None else []),
                *of_budget,
            ]
            for q in cluster.tiers
        ]
        by_name = {t.partition.name: t for t in self._timelines}
        for r in instance.reservations:
            timelines = by_name[r.partition]
            for node, (cores, memory, gpus) in r.loads(timelines.partition):
                timelines.take(node, cores, memory, gpus, r.start, r.finish, jobs=0)
        for place in instance.begun:
            self._take(*place)

    def earliest(self, way: Way, ready: int) -> tuple[int, int, Rooms]:
        """Find the first start of a way to run something.

        Returns
        -------
        start
            At `ready` or later.
        unlimited
            The start that nodes alone would allow.
        rooms
            Its ranks, node by node.
        """
        timelines = self._timelines[way.partition]
        start, rooms = timelines.earliest(way, ready)
        unlimited = start
        while True:
            allowed = self._allowed(way, start)
            if allowed == start:
                if self._busy is not None:
                    rooms = timelines.rooms(way, start)
                dealt = _deal(way.shape.ranks, rooms)
                allowed = self._nodes_allowed(timelines, dealt, start, way.duration)
                if allowed == start:
                    return start, unlimited, dealt
            start, rooms = timelines.earliest(way, allowed)

    @property
    def visits(self) -> int:
        """How many nodes were looked at."""
        return sum(timelines.visits for timelines in self._timelines)

    def _allowed(self, way: Way, ready: int) -> int:
        """Find the first start that every counted limit allows."""
        start, before, limits = ready, -1, self._limits[way.tier]
        while limits and start != before:
            before = start
            for limit, counts_cores in limits:
                amount = way.cores if counts_cores else 1
                start = limit.earliest(amount, way.duration, start)
        return start

    def _nodes_allowed(self, timelines: Timelines, rooms: Rooms, start: int, duration: int) -> int:
        """Return `start` if the budget of nodes allows it, else a later one to try."""
        if self._busy is None:
            return start
        finish = start + duration
        times = {start}
        for node, _ in rooms:
            times.update(timelines.changes(node, start, finish))
        change = self._busy.next_change(start)
        later = change
        while change is not None and change < finish:
            times.add(change)
            change = self._busy.next_change(change)
        for time in times:
            woken = sum(timelines.idle(node, time) for node, _ in rooms)
            if self._busy.exceeded(woken, time):
                assert later is not None  # once nothing runs any more, the budget allows all
                return later
        return start

    def take(self, way: Way, rooms: Rooms, start: int) -> None:
        """Let a way to run something have its place."""
        finish = start + way.duration
        self._take(way.partition, way.tier, way.cores, way.shape, rooms, start, finish)

    def _take(
        self,
        partition: int,
        tier: int,
        counted: int,
        shape: Shape,
        rooms: Rooms,
        start: int,
        finish: int,
    ) -> None:
        for limit, counts_cores in self._limits[tier]:
            limit.take(counted if counts_cores else 1, start, finish)
        timelines = self._timelines[partition]
        if self._busy is not None:
            for node, _ in rooms:
                bounds = [start, *timelines.changes(node, start, finish), finish]
                for begin, end in pairwise(bounds):
                    if timelines.idle(node, begin):
                        self._busy.take(1, begin, end)
        ranks, threads, memory, gpus, exclusive, _, _ = shape
        whole = timelines.partition
        all_cores = all_memory = 0
        for node, mine in rooms:
            if exclusive:
                load = (whole.cores, whole.memory, whole.gpus)
            else:
                load = (mine * threads, -(-mine * memory // ranks), mine * gpus)
            timelines.take(node, *load, start, finish)
            all_cores += load[0]
            all_memory += load[1]
        timelines.take_of_all(all_cores, all_memory, start, finish)


def usable_nodes(
    partition: Partition,
    most: int | None,
    reservations: Iterable[Reservation],
    fixed: Iterable[PlannedWorkflow],
) -> Sequence[int]:
    """Return the nodes of a partition to plan with under a budget of nodes.

    A campaign never holds more than n nodes at once exactly if its jobs can be laid on n nodes,
    so more need not be looked at; those that it has already are taken first, then those that are
    reserved least.
    """
    nodes = range(partition.nodes)
    if most is None or most >= partition.nodes:
        return nodes
    reserved = Counter[int]()
    for r in reservations:
        if r.partition == partition.name:
            for node, _ in r.loads(partition):
                reserved[node] += r.finish - r.start
    held = {p.node for w in fixed for p in w.placements if p.partition == partition.name}
    ranked = sorted(nodes, key=lambda node: (node not in held, reserved[node]))
    return ranked[: max(most, len(held))]


def _deal(ranks: int, rooms: Rooms) -> Rooms:
    """Fill the rooms in order until every rank has a place."""
    dealt = []
    for node, room in rooms:
        dealt.append((node, min(room, ranks)))
        ranks -= room
        if ranks <= 0:
            break
    return dealt
