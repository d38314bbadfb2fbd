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
from typing import NamedTuple

from socm.model.campaign import Budget, ResourceRequest
from socm.model.cluster import Cluster, Option, Partition
from socm.model.plan import Placement, PlannedWorkflow, Reservation

Rooms = list[tuple[int, int]]
"""Pairs of a node and how many ranks it takes."""

Load = tuple[int, int, int]
"""Cores, MB and GPUs."""


class Shape(NamedTuple):
    """What makes two requests ask the same of a node, whatever their duration."""

    ranks: int
    threads: int
    memory: int
    gpus: int
    exclusive: bool
    most_nodes: int | None
    full: int  # ranks that an empty node holds


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
    """

    def __init__(self, partition: Partition, nodes: Sequence[int], start: int) -> None:
        self.partition = partition
        self._nodes = nodes
        self._times = {node: [start] for node in nodes}
        self._cores = {node: [partition.cores] for node in nodes}
        self._memory = {node: [partition.memory] for node in nodes}
        self._gpus = {node: [partition.gpus] for node in nodes}
        self._jobs = {node: [0] for node in nodes}
        # All nodes together: where these are full, no node need be asked.
        self._all_cores = Limit(len(nodes) * partition.cores, start)
        self._all_memory = Limit(len(nodes) * partition.memory, start)
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
            start = self._with_enough_in_all(shape, shortest, start)
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
                start = self._with_enough_in_all(shape, duration, later)
                rooms, later = self._probe(shape, duration, start)
        return start, rooms

    def rooms(self, shape: Shape, duration: int, start: int) -> Rooms:
        """List what every node has for the shape, those first that have jobs all the time."""
        rooms, _ = self._probe(shape, duration, start, all_nodes=True)
        idle = {node: self._idle_within(node, start, start + duration) for node, _ in rooms or ()}
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
        whole = (self.partition.cores, self.partition.memory, self.partition.gpus)
        first_fit = most_nodes is None and not all_nodes
        found = 0
        rooms: Rooms = []
        later = math.inf
        for node in self._nodes:
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
                        have = (cores, all_memory[segment], self._gpus[node][segment])
                        free = full if have == whole else 0
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
            if room > 0:  # windows that overlap may reserve more than there is
                rooms.append((node, room))
                found += room
                if found >= ranks and first_fit:
                    return rooms, start
        if most_nodes is not None:
            rooms.sort(key=lambda x: -x[1])
            del rooms[most_nodes:]
            found = sum(room for _, room in rooms)
        if found >= ranks:
            return rooms, start
        return None, int(later)

    def take(self, loads: Iterable[tuple[int, Load]], start: int, finish: int, jobs: int) -> None:
        """Take cores, MB and GPUs away from nodes for a while; `jobs` is 0 for a reservation."""
        total = Counter[str]()
        for node, (cores, memory, gpus) in loads:
            if node not in self._times:
                continue  # a reservation of a node that is not used
            first, end = self._cut(node, start), self._cut(node, finish)
            for column, amount in (
                (self._cores[node], cores),
                (self._memory[node], memory),
                (self._gpus[node], gpus),
                (self._jobs[node], -jobs),
            ):
                if amount:
                    for segment in range(first, end):
                        column[segment] -= amount
            total["cores"] += cores
            total["memory"] += memory
        self._all_cores.take(total["cores"], start, finish)
        self._all_memory.take(total["memory"], start, finish)

    def idle(self, node: int, time: int) -> bool:
        """Whether no job is on a node at a time."""
        return not self._jobs[node][max(0, bisect_right(self._times[node], time) - 1)]

    def _idle_within(self, node: int, start: int, finish: int) -> bool:
        """Whether there is a time in a window at which no job is on a node."""
        return any(self.idle(node, time) for time in (start, *self.changes(node, start, finish)))

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
            for column in (
                self._cores[node], self._memory[node], self._gpus[node], self._jobs[node],
            ):  # fmt: skip
                column.insert(segment, column[segment - 1])
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
    fixed
        What has its place already; `take` puts it there.
    """

    def __init__(
        self,
        cluster: Cluster,
        budget: Budget,
        start: int = 0,
        reservations: Sequence[Reservation] = (),
        fixed: Sequence[PlannedWorkflow] = (),
    ) -> None:
        self._timelines = {
            p.name: Timelines(p, _usable(p, budget.nodes, reservations, fixed), start)
            for p in cluster.partitions
        }
        # On one partition the nodes that may be used are the budget; on several it is counted.
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
            loads = reservation.loads(timelines.partition)
            timelines.take(loads, reservation.start, reservation.finish, jobs=0)

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
                if self._busy is not None:
                    rooms = timelines.rooms(shape, option.duration, start)
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
        if self._busy is not None:
            for p in planned.placements:
                bounds = [start, *timelines.changes(p.node, start, finish), finish]
                for begin, end in pairwise(bounds):
                    if timelines.idle(p.node, begin):
                        self._busy.take(1, begin, end)
        whole = (partition.cores, partition.memory, partition.gpus)
        loads = [
            (
                p.node,
                whole
                if planned.exclusive
                else (
                    p.ranks * planned.threads,
                    request.memory_of(p.ranks),
                    p.ranks * request.gpus,
                ),
            )
            for p in planned.placements
        ]
        timelines.take(loads, start, finish, jobs=1)


def _usable(
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


def _deal(partition: str, ranks: int, rooms: Rooms) -> tuple[Placement, ...]:
    """Fill the rooms in order until every rank has a place."""
    placements = []
    for node, room in rooms:
        placements.append(Placement(partition, node, min(room, ranks)))
        ranks -= room
        if ranks <= 0:
            break
    return tuple(placements)
