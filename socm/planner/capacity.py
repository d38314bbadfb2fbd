"""What is free over time: on each node, and under each limit.

Each node has a step function of free cores, memory and GPUs, so that a plan over months costs
no more than one over minutes. A plan only ever takes capacity away; what was found not to fit
stays so, and is not looked at again.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from socm.model.campaign import Budget, ResourceRequest
from socm.model.cluster import Cluster, Option, Partition
from socm.model.plan import Placement, PlannedWorkflow, Reservation

Rooms = list[tuple[int, int]]
"""Pairs of a node and how many ranks it takes."""


class Shape(NamedTuple):
    """What makes two requests ask the same of a node, whatever their duration."""

    ranks: int
    threads: int
    memory: int
    gpus: int
    exclusive: bool
    most_nodes: int | None
    full: int  # ranks that an empty node holds


class Timelines:
    """Free cores, memory and GPUs of each node of one partition, from now to the end of time."""

    def __init__(self, partition: Partition, nodes: int, start: int) -> None:
        self.partition = partition
        self.nodes = nodes
        self._times = [[start] for _ in range(nodes)]
        self._cores = [[partition.cores] for _ in range(nodes)]
        self._memory = [[partition.memory] for _ in range(nodes)]
        self._gpus = [[partition.gpus] for _ in range(nodes)]
        # Per shape and class of duration: an interval of starts known not to fit.
        self._hopeless: dict[tuple[Shape, int], tuple[float, float]] = {}

    def earliest(self, shape: Shape, duration: int, ready: int) -> tuple[int, Rooms]:
        """Find the first start, at `ready` or later, at which the shape fits for so long.

        Durations are sorted into classes a quarter of an octave wide. Starts that do not even
        fit the shortest of a class fit none of it, ever: so each class walks them once.
        """
        octave = int(math.log2(duration) * 4)
        shortest = min(duration, max(1, math.floor(2 ** (octave / 4))))
        low, high = self._hopeless.get((shape, octave), (math.inf, -math.inf))
        start, rooms, later = ready, None, ready
        while rooms is None:
            start = int(high) if low <= later < high else later
            rooms, later = self._probe(shape, shortest, start)
        if start > ready:
            if ready <= high and start >= low:
                low, high = min(low, ready), max(high, start)
            elif start - ready >= high - low:
                low, high = ready, start
            self._hopeless[shape, octave] = (low, high)
        if duration > shortest:
            rooms, later = self._probe(shape, duration, start)
            while rooms is None:
                start = later
                rooms, later = self._probe(shape, duration, start)
        return start, rooms

    def _probe(self, shape: Shape, duration: int, start: int) -> tuple[Rooms | None, int]:
        """Return the rooms at this start; or `None`, and the next start worth a look.

        A node's room over a window is its least room in it. Until the last segment that has the
        least room is over, that node gains nothing; and until one node gains, nothing fits.
        """
        ranks, threads, memory, gpus, exclusive, most_nodes, full = shape
        finish = start + duration
        whole = self.partition.cores
        whole_memory = self.partition.memory
        found = 0
        rooms: Rooms = []
        later = math.inf
        for node in range(self.nodes):
            times = self._times[node]
            last = len(times) - 1
            room = full
            if times[last] > start:
                all_cores = self._cores[node]
                all_memory = self._memory[node]
                over = math.inf
                segment = bisect_right(times, start) - 1
                while segment < last and times[segment] < finish:
                    cores = all_cores[segment]
                    if exclusive:
                        empty = cores == whole and all_memory[segment] == whole_memory
                        free = full if empty else 0
                    else:
                        free = cores // threads
                        if free and memory:
                            free = min(free, all_memory[segment] * ranks // memory)
                    if free and gpus:
                        free = min(free, self._gpus[node][segment] // gpus)
                    segment += 1
                    if free <= room and free < full:
                        room = free
                        over = times[segment]
                if over < later:
                    later = over
            if room:
                rooms.append((node, room))
                found += room
                if found >= ranks and most_nodes is None:
                    return rooms, start
        if most_nodes is not None:
            rooms.sort(key=lambda x: -x[1])
            del rooms[most_nodes:]
            if sum(room for _, room in rooms) >= ranks:
                return rooms, start
        return None, int(later)

    def take(self, node: int, start: int, finish: int, load: tuple[int, int, int]) -> None:
        """Take cores, MB and GPUs away from a node for a while."""
        cores, memory, gpus = load
        first, end = self._cut(node, start), self._cut(node, finish)
        for column, amount in (
            (self._cores[node], cores),
            (self._memory[node], memory),
            (self._gpus[node], gpus),
        ):
            if amount:
                for segment in range(first, end):
                    column[segment] -= amount

    def idle(self, node: int, time: int) -> bool:
        """Whether nothing runs on a node at a time."""
        segment = max(0, bisect_right(self._times[node], time) - 1)
        return self._cores[node][segment] == self.partition.cores

    def changes(self, node: int, start: int, finish: int) -> list[int]:
        """Times after `start` and before `finish` at which what is free on a node changes."""
        times = self._times[node]
        return times[bisect_right(times, start) : bisect_left(times, finish)]

    def _cut(self, node: int, time: int) -> int:
        """Make a segment of a node begin at a time; return its index."""
        times = self._times[node]
        segment = bisect_left(times, time)
        if segment == len(times) or times[segment] != time:
            if segment == 0:  # before the plan begins: nobody will look
                return 0
            times.insert(segment, time)
            for column in (self._cores[node], self._memory[node], self._gpus[node]):
                column.insert(segment, column[segment - 1])
        return segment


class Limit:
    """A count that may not exceed a limit at any time: running jobs, cores in use, busy nodes."""

    def __init__(self, limit: int, start: int) -> None:
        self._limit = limit
        self._times = [start]
        self._used = [0]

    def earliest(self, amount: int, duration: int, ready: int) -> int:
        """Find the first start, at `ready` or later, with room for `amount` for so long."""
        times, used = self._times, self._used
        start = ready
        segment = max(0, bisect_right(times, start) - 1)
        while segment < len(times) and times[segment] < start + duration:
            if used[segment] + amount > self._limit:
                start = times[segment + 1]  # the last segment is empty, so there is a next
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


class Capacity:
    """What a cluster has left for a campaign, over time: nodes, QOS limits and budget.

    Parameters
    ----------
    cluster, budget
        What there is.
    start
        Nothing is placed before.
    reservations
        What is not the campaign's.
    """

    def __init__(
        self,
        cluster: Cluster,
        budget: Budget,
        start: int = 0,
        reservations: Iterable[Reservation] = (),
    ) -> None:
        self._timelines = {
            # A campaign of one partition never holds more than n nodes at once exactly if
            # its jobs can be laid on n nodes: so more of them need not be looked at.
            p.name: Timelines(p, min(p.nodes, budget.nodes or p.nodes), start)
            for p in cluster.partitions
        }
        self._busy = (
            Limit(budget.nodes, start)
            if budget.nodes is not None and len(cluster.partitions) > 1
            else None
        )
        self._cores = Limit(budget.cores, start) if budget.cores is not None else None
        self._limits: dict[str, list[tuple[Limit, bool]]] = {}
        for qos in cluster.tiers:
            limits = self._limits[qos.name] = []
            if qos.running_jobs is not None:
                limits.append((Limit(qos.running_jobs, start), False))
            if qos.cores is not None:
                limits.append((Limit(qos.cores, start), True))
            if self._cores is not None:
                limits.append((self._cores, True))
        for reservation in reservations:
            timelines = self._timelines[reservation.partition]
            partition = cluster.by_partition[reservation.partition]
            for node, load in reservation.loads(partition):
                if node < timelines.nodes:
                    timelines.take(node, reservation.start, reservation.finish, load)

    def earliest(
        self, option: Option, request: ResourceRequest, ready: int
    ) -> tuple[int, int, tuple[Placement, ...]]:
        """Find the first start of a request under an option.

        Returns
        -------
        start
            At `ready` or later.
        unlimited
            The start that nodes alone would allow.
        placements
            Its ranks, node by node.
        """
        timelines = self._timelines[option.partition.name]
        shape = Shape(
            request.ranks,
            option.threads,
            request.memory,
            request.gpus,
            option.exclusive,
            option.qos.nodes_per_job,
            option.ranks_per_node,
        )
        start, rooms = timelines.earliest(shape, option.duration, ready)
        unlimited = start
        while True:
            allowed = self._allowed(option, start)
            if allowed == start:
                placements = _deal(option.partition.name, request.ranks, rooms)
                allowed = self._nodes_allowed(placements, start, option.duration)
                if allowed == start:
                    return start, unlimited, placements
            start, rooms = timelines.earliest(shape, option.duration, allowed)

    def _allowed(self, option: Option, ready: int) -> int:
        """Find the first start that every counted limit allows."""
        start, before = ready, -1
        while start != before:
            before = start
            for limit, counts_cores in self._limits[option.qos.name]:
                amount = option.cores if counts_cores else 1
                start = limit.earliest(amount, option.duration, start)
        return start

    def _nodes_allowed(self, placements: Iterable[Placement], start: int, duration: int) -> int:
        """Return `start` if the budget of nodes allows it, else a later one to try."""
        if self._busy is None:
            return start
        finish = start + duration
        times = {start}
        for p in placements:
            times.update(self._timelines[p.partition].changes(p.node, start, finish))
        change = self._busy.next_change(start)
        later = change
        while change is not None and change < finish:
            times.add(change)
            change = self._busy.next_change(change)
        for time in times:
            woken = sum(self._timelines[p.partition].idle(p.node, time) for p in placements)
            if self._busy.exceeded(woken, time):
                assert later is not None  # once nothing runs any more, the budget allows all
                return later
        return start

    def take(self, request: ResourceRequest, planned: PlannedWorkflow) -> None:
        """Let a planned workflow have its place."""
        start, finish = planned.start, planned.finish
        for limit, counts_cores in self._limits[planned.qos or ""]:
            limit.take(planned.cores if counts_cores else 1, start, finish)
        timelines = self._timelines[planned.partition]
        partition = timelines.partition
        for p in planned.placements:
            if self._busy is not None:
                bounds = [start, *timelines.changes(p.node, start, finish), finish]
                for begin, end in pairwise(bounds):
                    if timelines.idle(p.node, begin):
                        self._busy.take(1, begin, end)
            load = (
                (partition.cores, partition.memory, partition.gpus)
                if planned.exclusive
                else (
                    p.ranks * planned.threads,
                    request.memory_of(p.ranks),
                    p.ranks * request.gpus,
                )
            )
            timelines.take(p.node, start, finish, load)


def _deal(partition: str, ranks: int, rooms: Rooms) -> tuple[Placement, ...]:
    """Fill the rooms in order until every rank has a place."""
    placements = []
    for node, room in rooms:
        placements.append(Placement(partition, node, min(room, ranks)))
        ranks -= room
        if ranks <= 0:
            break
    return tuple(placements)
