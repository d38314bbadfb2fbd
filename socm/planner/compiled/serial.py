"""The serial scheme, compiled: what `socm.planner.serial` and its capacity do, on arrays.

Every function here follows one there, step by step; that both give the same schedules, and look
at as many nodes, is tested. Needs Numba, so this module is imported where it is used.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

import numpy as np

from socm.planner.compiled import entry, part
from socm.planner.compiled.arrays import (
    BEGUN,
    NONE,
    PARTITION,
    RESERVED,
    ROOM,
    WAY,
    WORKFLOW,
    Arrays,
    FlatRooms,
    Ints,
    Record,
    Records,
    order_and_rank,
    record,
)
from socm.planner.ranking import Priority
from socm.planner.schedule import Schedule
from socm.planner.serial import WORK_OF_PLACING

NEVER = 2**62

ROW = record("time", "cores", "memory", "gpus")
"""From a time on: what is free on a node; or how much counts against a limit, in `cores`."""
LINE = record("begin", "length", "space")
"""A step function: its first row, how many it has, and space for how many. The nodes come first;
then cores and memory of all nodes of each partition; then the limits. The last is no function: it
begins where rows are free."""
KIND = record("low", "high", "known")
"""The starts that are known not to fit a kind of way, if any are."""
ROWS = 4
"""Space of a step function at first. When it is full it moves to the end, and gets twice as much.
"""


def schedule(arrays: Arrays, priority: Priority) -> Schedule:
    """Schedule an instance; see `socm.planner.serial.serial`."""
    order, rank = order_and_rank(priority)
    start, way, first, last, rooms, visits = kernel(
        arrays.workflows, arrays.children, arrays.ways, arrays.partitions, arrays.limits,
        arrays.reserved, arrays.begun, arrays.rooms, arrays.start, order, rank,
    )  # fmt: skip
    rooms["node"] = arrays.names[rooms["node"]]
    of_way = arrays.of_way
    return Schedule(
        start=start.tolist(),
        ways=[of_way[w] for w in way.tolist()],
        rooms=FlatRooms(first=first, last=last, rooms=rooms),
        work=visits + WORK_OF_PLACING * len(order),
    )


@part
def _row_at(rows: Records, line: Record, time: int) -> int:
    """Return the row that holds at a time."""
    begin: int = line.begin
    low, high = begin, begin + line.length
    while low < high:
        middle = (low + high) >> 1
        if time < rows[middle].time:
            high = middle
        else:
            low = middle + 1
    return max(low - 1, begin)


@part
def _cut(rows: Records, line: Record, time: int) -> int:
    """Make a row begin at a time; return it."""
    row = _row_at(rows, line, time)
    if rows[row].time >= time:  # later: before the plan begins, nobody will look
        return row
    for k in range(line.begin + line.length, row, -1):
        rows[k] = rows[k - 1]
    rows[row + 1].time = time
    line.length += 1
    return row + 1


@part
def _with_space(rows: Records, lines: Records, space: int) -> Records:
    """Return the rows, of which at least twice so many are free."""
    least = lines[-1].begin + 2 * space
    if least <= len(rows):
        return rows
    more = np.empty(2 * least, dtype=ROW)
    more[: len(rows)] = rows
    return more


@part
def _take(
    rows: Records, lines: Records, number: int, cores: int, memory: int, gpus: int, start: int,
    finish: int,
) -> None:  # fmt: skip
    """Take so much away for a while; there must be free rows, twice as many as it has."""
    line, free = lines[number], lines[-1]
    if line.length + 2 > line.space:
        for k in range(line.length):
            rows[free.begin + k] = rows[line.begin + k]
        line.begin = free.begin
        line.space *= 2
        free.begin += line.space
    first = _cut(rows, line, start)
    for k in range(first, _cut(rows, line, finish)):
        rows[k].cores -= cores
        rows[k].memory -= memory
        rows[k].gpus -= gpus


@part
def _within(rows: Records, line: Record, limit: int, amount: int, duration: int, ready: int) -> int:
    """Find the first start with room under a limit."""
    most = limit - amount
    start = ready
    end = line.begin + line.length
    row = _row_at(rows, line, start)
    while row < end and rows[row].time < start + duration:
        if rows[row].cores > most:
            if row + 1 == end:
                return start
            start = rows[row + 1].time
        row += 1
    return start


@part
def _probe(
    rows: Records, lines: Records, partition: Record, way: Record, duration: int, start: int,
    found: Records, visits: Ints,
) -> tuple[int, int]:  # fmt: skip
    """Note the rooms at this start; return how many, or none and the next start worth a look."""
    ranks, threads, memory, gpus, full = way.ranks, way.threads, way.memory, way.gpus, way.full
    first, last = partition.first_node, partition.last_node
    finish = start + duration
    enough = count = 0
    later = NEVER
    for node in range(first, last):
        line = lines[node]
        room = full
        end = line.begin + line.length - 1
        if rows[end].time > start:
            over = NEVER
            k = _row_at(rows, line, start)
            while k < end and rows[k].time < finish:
                row = rows[k]
                k += 1
                if way.exclusive:
                    idle = row.cores == partition.cores and row.memory == partition.memory
                    free = full if idle and row.gpus == partition.gpus else 0
                else:
                    # Without a division where there is more room than matters.
                    want = min(room + 1, full)
                    if (
                        row.cores >= want * threads
                        and row.memory * ranks >= want * memory
                        and row.gpus >= want * gpus
                    ):
                        continue
                    free = row.cores // threads
                    if free and memory:
                        free = min(free, row.memory * ranks // memory)
                    if free and gpus:
                        free = min(free, row.gpus // gpus)
                if free <= room and free < full:
                    room = free
                    over = rows[k].time
            later = min(later, over)
        if room > 0:
            found[count].node = node
            found[count].ranks = room
            count += 1
            enough += room
            if enough >= ranks and way.most_nodes == NONE:
                visits[0] += node - first + 1
                return count, start
    visits[0] += last - first
    if way.most_nodes != NONE:
        largest = np.argsort(-found["ranks"][:count], kind="mergesort")[: way.most_nodes]
        count = len(largest)
        found[:count] = found[largest]
        enough = found["ranks"][:count].sum()
    if enough >= ranks:
        return count, start
    return 0, later


@part
def _with_enough_in_all(
    rows: Records, lines: Records, partitions: Records, way: Record, duration: int, ready: int
) -> int:
    """Find the first start at which all nodes together have enough cores and memory."""
    partition = partitions[way.partition]
    nodes = partition.last_node - partition.first_node
    all_cores = partitions[-1].last_node + 2 * way.partition
    start, before = ready, NONE
    while start != before:
        before = start
        start = _within(
            rows, lines[all_cores], nodes * partition.cores, way.ranks * way.threads, duration,
            start,
        )  # fmt: skip
        start = _within(
            rows, lines[all_cores + 1], nodes * partition.memory, way.memory, duration, start
        )
    return start


@part
def _on_nodes(
    rows: Records, lines: Records, partitions: Records, way: Record, ready: int, kind: Record,
    found: Records, visits: Ints,
) -> tuple[int, int]:  # fmt: skip
    """Find the first start that nodes allow, and how many rooms were noted."""
    partition, duration, shortest = partitions[way.partition], way.duration, way.shortest
    low, high = (kind.low, kind.high) if kind.known else (ready, ready)
    start = later = ready
    count = 0
    while not count:
        start = high if low <= later < high else later
        start = _with_enough_in_all(rows, lines, partitions, way, shortest, start)
        count, later = _probe(rows, lines, partition, way, shortest, start, found, visits)
        assert later < NEVER
    if start > ready:
        if not kind.known or (ready <= high and start >= low):
            kind.low, kind.high = min(low, ready), max(high, start)
        elif start - ready >= high - low:
            kind.low, kind.high = ready, start
        kind.known = 1
    if duration > shortest:
        count, later = _probe(rows, lines, partition, way, duration, start, found, visits)
        while not count:
            start = _with_enough_in_all(rows, lines, partitions, way, duration, later)
            count, later = _probe(rows, lines, partition, way, duration, start, found, visits)
            assert later < NEVER
    return start, count


@part
def _limits(way: Record, limits: Ints) -> tuple[tuple[int, int], ...]:
    """Return the numbers of the limits that count a way, and how much it counts."""
    return (2 * way.tier, 1), (2 * way.tier + 1, way.counted), (len(limits) - 1, way.counted)


@part
def _allowed(rows: Records, lines: Records, limits: Ints, way: Record, ready: int) -> int:
    """Find the first start that every counted limit allows."""
    first = len(lines) - 1 - len(limits)
    start, before = ready, NONE
    while start != before:
        before = start
        for limit, amount in _limits(way, limits):
            if limits[limit] != NONE:
                start = _within(
                    rows, lines[first + limit], limits[limit], amount, way.duration, start
                )
    return start


@part
def _dealt(found: Records, count: int, ranks: int) -> int:
    """Fill the rooms in order until every rank has a place; return how many are used."""
    for k in range(count):
        found[k].ranks = min(found[k].ranks, ranks)
        ranks -= found[k].ranks
        if not ranks:
            return k + 1
    return count


@part
def _earliest_finish(
    rows: Records, lines: Records, partitions: Records, limits: Ints, ways: Records, ready: int,
    kinds: Records, unlimited: Ints, found: Records, rooms: Records, visits: Ints,
) -> tuple[int, int, int]:  # fmt: skip
    """Choose the way that finishes first; return which, its start, and how many rooms it has."""
    unlimited[:] = ready
    best_finish, best_tier, best_count = NEVER, 0, 0
    best_way = best_start = 0
    for k in range(len(ways)):
        way = ways[k]
        kind = kinds[way.kind]
        soonest = unlimited[way.same_nodes] + way.duration
        if (soonest, way.tier) > (best_finish, best_tier):
            continue
        start, count = _on_nodes(rows, lines, partitions, way, ready, kind, found, visits)
        unlimited[way.same_nodes] = start
        allowed = _allowed(rows, lines, limits, way, start)
        while allowed > start:
            start, count = _on_nodes(rows, lines, partitions, way, allowed, kind, found, visits)
            allowed = _allowed(rows, lines, limits, way, start)
        count = _dealt(found, count, way.ranks)
        if (start + way.duration, way.tier, count) < (best_finish, best_tier, best_count):
            best_finish, best_tier, best_count = start + way.duration, way.tier, count
            best_way, best_start = k, start
            rooms[:count] = found[:count]
    return best_way, best_start, best_count


@part
def _place(
    rows: Records, lines: Records, partitions: Records, limits: Ints, way: Record,
    rooms: Records, start: int, finish: int,
) -> Records:  # fmt: skip
    """Let a way have its place; return the rows, which are others if there was no space left."""
    partition = partitions[way.partition]
    first = len(lines) - 1 - len(limits)
    all_cores = partitions[-1].last_node + 2 * way.partition
    space = lines[all_cores].space + lines[all_cores + 1].space
    for k in range(len(rooms)):
        space += lines[rooms[k].node].space
    for limit, _ in _limits(way, limits):
        space += lines[first + limit].space
    rows = _with_space(rows, lines, space)
    for limit, amount in _limits(way, limits):
        if limits[limit] != NONE:
            _take(rows, lines, first + limit, -amount, 0, 0, start, finish)
    cores, memory, gpus = partition.cores, partition.memory, partition.gpus
    sum_cores = sum_memory = 0
    for k in range(len(rooms)):
        if not way.exclusive:
            ranks = rooms[k].ranks
            cores, gpus = ranks * way.threads, ranks * way.gpus
            memory = -(-ranks * way.memory // way.ranks)
        _take(rows, lines, rooms[k].node, cores, memory, gpus, start, finish)
        sum_cores += cores
        sum_memory += memory
    _take(rows, lines, all_cores, -sum_cores, 0, 0, start, finish)
    _take(rows, lines, all_cores + 1, -sum_memory, 0, 0, start, finish)
    return rows


@part
def _empty(partitions: Records, limits: Ints, start: int) -> tuple[Records, Records]:
    """Return what is free on empty nodes, from the start on and for ever."""
    nodes = partitions[-1].last_node
    count = nodes + 2 * len(partitions) + len(limits)
    rows, lines = np.zeros(2 * ROWS * count, dtype=ROW), np.empty(count + 1, dtype=LINE)
    for k in range(count + 1):
        lines[k].begin, lines[k].length, lines[k].space = ROWS * k, 1, ROWS
        rows[ROWS * k].time = start
    for p in range(len(partitions)):
        for node in range(partitions[p].first_node, partitions[p].last_node):
            row = rows[ROWS * node]
            row.cores, row.memory = partitions[p].cores, partitions[p].memory
            row.gpus = partitions[p].gpus
    return rows, lines


@entry(WORKFLOW, Ints, WAY, PARTITION, Ints, RESERVED, BEGUN, ROOM, int, Ints, Ints)
def kernel(
    workflows: Records, children: Ints, ways: Records, partitions: Records, limits: Ints,
    reserved: Records, begun: Records, rooms_of_begun: Records,
    begin: int, order: Ints, rank: Ints,
) -> tuple[Ints, Ints, Ints, Ints, Records, int]:  # fmt: skip
    """Place one workflow after the other; return starts, ways, rooms, and nodes looked at."""
    n, nodes = len(order), partitions[-1].last_node
    rows, lines = _empty(partitions, limits, begin)
    for k in range(len(reserved)):
        r = reserved[k]
        rows = _with_space(rows, lines, lines[r.node].space)
        _take(rows, lines, r.node, r.cores, r.memory, r.gpus, r.start, r.finish)
    for k in range(len(begun)):
        b, way = begun[k], ways[len(ways) - len(begun) + k]
        rooms = rooms_of_begun[b.first_room : b.last_room]
        rows = _place(rows, lines, partitions, limits, way, rooms, b.start, b.finish)
    kinds = np.zeros(ways["kind"].max() + 1, dtype=KIND)
    unlimited = np.empty(ways["same_nodes"].max() + 1, np.int64)
    visits = np.zeros(1, np.int64)
    found, rooms = np.empty(nodes, dtype=ROOM), np.empty(nodes, dtype=ROOM)
    start, chosen = np.empty(n, np.int64), np.empty(n, np.int64)
    first, last = np.empty(n, np.int64), np.empty(n, np.int64)
    all_rooms = np.empty(2 * n, dtype=ROOM)
    used = 0
    waits, ready = workflows["waits"].copy(), workflows["release"].copy()
    eligible = [rank[k] for k in range(n) if not waits[k]]
    heapify(eligible)
    while eligible:
        k = order[heappop(eligible)]
        w = workflows[k]
        way, start[k], count = _earliest_finish(
            rows, lines, partitions, limits, ways[w.first_way : w.last_way], ready[k], kinds,
            unlimited, found, rooms, visits,
        )  # fmt: skip
        chosen[k] = w.first_way + way
        finish = start[k] + ways[chosen[k]].duration
        rows = _place(
            rows, lines, partitions, limits, ways[chosen[k]], rooms[:count], start[k], finish
        )
        if used + count > len(all_rooms):
            more = np.empty(2 * (used + count), dtype=ROOM)
            more[:used] = all_rooms[:used]
            all_rooms = more
        first[k], last[k] = used, used + count
        all_rooms[used : used + count] = rooms[:count]
        used += count
        for child in children[w.first_child : w.last_child]:
            ready[child] = max(ready[child], finish)
            waits[child] -= 1
            if not waits[child]:
                heappush(eligible, rank[child])
    return start, chosen, first, last, all_rooms[:used], visits[0]
