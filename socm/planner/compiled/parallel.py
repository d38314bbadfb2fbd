"""The parallel scheme, compiled: what `socm.planner.parallel` does, on arrays.

It gives the same schedules, which is tested, and comes to them by shorter ways: nodes are looked
at one by one, until there are enough. Needs Numba, so this module is imported where it is used.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

import numpy as np

from socm.planner.compiled import entry, part
from socm.planner.compiled.arrays import (
    BEGUN,
    NONE,
    PARTITION,
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
from socm.planner.parallel import WORK_OF_PLACING, depth
from socm.planner.ranking import Priority
from socm.planner.schedule import Schedule

NEVER = UNLIMITED = 2**62

FREE = record("cores", "memory", "gpus")
"""What is free, on a node or on all of a partition."""
HELD = record("way", "first_room", "last_room")
"""What a workflow, or something that is fixed, has until it ends."""
QUEUE = record("begin", "length")
"""A heap of the places in the order of priority: where it begins, and how many it has."""
MISFIT = record("partition", "shadowed", "ranks", "threads", "memory_order", "gpus")
SHADOW = record("workflow", "partition", "time")
"""The only one there is at a time; a workflow of `NONE` is no shadow."""


def schedule(arrays: Arrays, priority: Priority) -> Schedule:
    """Schedule an instance; see `socm.planner.parallel.parallel`."""
    order, rank = order_and_rank(priority)
    start, held, rooms = kernel(
        arrays.workflows, arrays.children, arrays.ways, arrays.partitions, arrays.limits,
        arrays.begun, arrays.rooms, arrays.start, depth(len(order)), order, rank,
    )  # fmt: skip
    rooms["node"] = arrays.names[rooms["node"]]
    of_way = arrays.of_way
    return Schedule(
        start=start.tolist(),
        ways=[of_way[way] for way in held["way"].tolist()],
        rooms=FlatRooms(first=held["first_room"], last=held["last_room"], rooms=rooms),
        work=WORK_OF_PLACING * len(order),
    )


@part
def _push(queue: Record, heap: Ints, place: int) -> None:
    """Put into a heap."""
    begin, k = queue.begin, queue.length
    queue.length += 1
    while k and heap[begin + (k - 1) // 2] > place:
        heap[begin + k] = heap[begin + (k - 1) // 2]
        k = (k - 1) // 2
    heap[begin + k] = place


@part
def _pop(queue: Record, heap: Ints) -> None:
    """Take the least out of a heap."""
    queue.length -= 1
    begin, length = queue.begin, queue.length
    last = heap[begin + length]
    k, child = 0, 1
    while child < length:
        if child + 1 < length and heap[begin + child + 1] < heap[begin + child]:
            child += 1
        if heap[begin + child] >= last:
            break
        heap[begin + k] = heap[begin + child]
        k, child = child, 2 * child + 1
    heap[begin + k] = last


@part
def _room(free: Record, partition: Record, way: Record) -> int:
    """How many ranks of a way a node takes."""
    if way.exclusive:
        idle = free.cores == partition.cores and free.memory == partition.memory
        return int(way.full) if idle and free.gpus == partition.gpus else 0
    if free.cores < way.threads:
        return 0
    room: int = free.cores // way.threads
    if way.memory:
        room = min(room, free.memory * way.ranks // way.memory)
    if way.gpus:
        room = min(room, free.gpus // way.gpus)
    return room


@part
def _dealt(free: Records, partition: Record, way: Record, found: Records) -> int:
    """Find room for all ranks on the first nodes that have some, or on the emptiest if few may.

    Return on how many nodes; 0 if there is too little.
    """
    left, count = way.ranks, 0
    for node in range(partition.first_node, partition.last_node):
        room = _room(free[node], partition, way)
        if room:
            found[count].node = node
            found[count].ranks = room if way.most_nodes != NONE else min(room, left)
            left -= found[count].ranks
            count += 1
            if not left and way.most_nodes == NONE:
                return count
    if way.most_nodes == NONE:
        return 0
    emptiest = np.argsort(-found["ranks"][:count], kind="mergesort")[: way.most_nodes]
    found[: len(emptiest)] = found[emptiest]
    left = way.ranks
    for k in range(len(emptiest)):
        found[k].ranks = min(found[k].ranks, left)
        left -= found[k].ranks
        if not left:
            return k + 1
    return 0


@part
def _add(free: Record, partition: Record, way: Record, ranks: int, sign: int) -> None:
    """Give back what so many ranks have of a node, or take it with a sign of -1."""
    if way.exclusive:
        free.cores += sign * partition.cores
        free.memory += sign * partition.memory
        free.gpus += sign * partition.gpus
    else:
        free.cores += sign * ranks * way.threads
        free.memory += sign * -(-ranks * way.memory // way.ranks)
        free.gpus += sign * ranks * way.gpus


@part
def _least(to: Record, one: Record, other: Record) -> None:
    """Let what is free in both be what is free."""
    to.cores = min(one.cores, other.cores)
    to.memory = min(one.memory, other.memory)
    to.gpus = min(one.gpus, other.gpus)


@part
def _change(
    free: Records, whole: Records, left: Ints, shadow: Record, spare: Records, least: Records,
    partition: Record, way: Record, rooms: Records, sign: int,
) -> None:  # fmt: skip
    """Let something have its nodes with a sign of -1, or take back what it had."""
    for k in range(len(rooms)):
        node, ranks = rooms[k].node, rooms[k].ranks
        _add(free[node], partition, way, ranks, sign)
        _add(whole[way.partition], partition, way, ranks, sign)
        if shadow.workflow != NONE and shadow.partition == way.partition:
            _least(least[node], free[node], spare[node])
    left[2 * way.tier] += sign
    left[2 * way.tier + 1] += sign * way.counted
    left[-1] += sign * way.counted


@part
def _hopeless(misfits: Records, way: Record, shadowed: bool) -> bool:
    """Whether there is no room for something that asks for no more."""
    for k in range(len(misfits)):
        m = misfits[k]
        if (
            m.threads <= way.threads
            and m.ranks <= way.ranks
            and m.memory_order <= way.memory_order
            and m.gpus <= way.gpus
            and m.partition == way.partition
            and m.shadowed <= shadowed
        ):
            return True
    return False


@part
def _fit(
    free: Records, whole: Records, left: Ints, shadow: Record, least: Records, misfits: Records,
    known: int, partitions: Records, ways: Records, bounds: tuple[int, int], k: int, now: int,
    found: Records, rooms: Records,
) -> tuple[int, int, int, int]:  # fmt: skip
    """Find the way with room now that ends first; of equals the smallest tier.

    Return which, on how many nodes, the first for which there is too little room on the nodes
    (`NONE` where there is none), and how many misfits are known.
    """
    best = crowded = NONE
    nodes = 0
    for number in range(*bounds):
        way, partition = ways[number], partitions[ways[number].partition]
        if best != NONE and way.duration >= ways[best].duration:
            continue
        within = way.counted <= min(left[-1], left[2 * way.tier + 1])
        if not within or not left[2 * way.tier]:
            continue
        total = whole[way.partition]
        count = 0
        if way.ranks * way.threads <= total.cores and way.memory <= total.memory:
            shadowed = (
                shadow.workflow != NONE
                and shadow.workflow != k
                and shadow.partition == way.partition
                and now + way.duration > shadow.time
            )
            if not _hopeless(misfits[:known], way, shadowed):
                count = _dealt(least if shadowed else free, partition, way, found)
                if not count and way.most_nodes == NONE and not way.exclusive:
                    m = misfits[known]
                    m.partition, m.shadowed, m.ranks = way.partition, shadowed, way.ranks
                    m.threads, m.memory_order, m.gpus = way.threads, way.memory_order, way.gpus
                    known += 1
        if count:
            best, nodes = number, count
            rooms[:count] = found[:count]
        elif crowded == NONE:
            crowded = number
    return best, nodes, crowded, known


@part
def _insert(running: Ints, ends: Ints, first: int, last: int, k: int, finish: int) -> int:
    """Put what begins among what runs, after what ends no later; return the new last."""
    low, high = first, last
    while low < high:
        middle = (low + high) >> 1
        if finish < ends[middle]:
            high = middle
        else:
            low = middle + 1
    for place in range(last, low, -1):
        running[place], ends[place] = running[place - 1], ends[place - 1]
    running[low], ends[low] = k, finish
    return last + 1


@part
def _foresee(
    free: Records, shadow: Record, spare: Records, least: Records, partitions: Records,
    ways: Records, held: Records, rooms: Records, running: Ints, ends: Ints, way: Record, k: int,
    found: Records,
) -> None:  # fmt: skip
    """Find when nodes will have room for a way, and what they then have left for others."""
    partition = partitions[way.partition]
    nodes = range(partition.first_node, partition.last_node)
    enough = 0
    for node in nodes:
        spare[node] = free[node]
        enough += _room(spare[node], partition, way)
    for number in range(len(running)):
        has = held[running[number]]
        ending = ways[has.way]
        if ending.partition != way.partition:
            continue
        for room in range(has.first_room, has.last_room):
            there = spare[rooms[room].node]
            enough -= _room(there, partition, way)
            _add(there, partition, ending, rooms[room].ranks, 1)
            enough += _room(there, partition, way)
        count = _dealt(spare, partition, way, found) if enough >= way.ranks else 0
        if count:
            for room in range(count):
                _add(spare[found[room].node], partition, way, found[room].ranks, -1)
            for node in nodes:
                _least(least[node], free[node], spare[node])
            shadow.workflow, shadow.partition, shadow.time = k, way.partition, ends[number]
            return


@entry(WORKFLOW, Ints, WAY, PARTITION, Ints, BEGUN, ROOM, int, int, Ints, Ints)
def kernel(
    workflows: Records, children: Ints, ways: Records, partitions: Records, limits: Ints,
    begun: Records, rooms_of_begun: Records, begin: int, depth: int, order: Ints, rank: Ints,
) -> tuple[Ints, Records, Records]:  # fmt: skip
    """Go forward in time; return starts, and what each has of the rooms."""
    n, nodes, most = len(order), partitions[-1].last_node, len(order) + len(begun)
    free, spare = np.empty(nodes, dtype=FREE), np.empty(nodes, dtype=FREE)
    least, whole = np.empty(nodes, dtype=FREE), np.zeros(len(partitions), dtype=FREE)
    for p in range(len(partitions)):
        for node in range(partitions[p].first_node, partitions[p].last_node):
            free[node].cores, free[node].memory = partitions[p].cores, partitions[p].memory
            free[node].gpus = partitions[p].gpus
            whole[p].cores += partitions[p].cores
            whole[p].memory += partitions[p].memory
    left = limits.copy()
    left[limits == NONE] = UNLIMITED
    shadows = np.zeros(1, dtype=SHADOW)
    shadows[0].workflow = NONE
    misfits = np.empty(depth + len(ways), dtype=MISFIT)
    found, mine = np.empty(nodes, dtype=ROOM), np.empty(nodes, dtype=ROOM)

    # What runs, sorted by its end; what is fixed has numbers from n on.
    held = np.empty(most, dtype=HELD)
    running, ends = np.empty(most, np.int64), np.empty(most, np.int64)
    first = last = 0
    rooms = np.empty(len(rooms_of_begun) + 2 * n, dtype=ROOM)
    rooms[: len(rooms_of_begun)] = rooms_of_begun
    used = len(rooms_of_begun)
    for k in range(len(begun)):
        has = held[n + k]
        has.way = len(ways) - len(begun) + k
        has.first_room, has.last_room = begun[k].first_room, begun[k].last_room
        if begun[k].finish > begin:
            way = ways[has.way]
            _change(
                free, whole, left, shadows[0], spare, least, partitions[way.partition], way,
                rooms[has.first_room : has.last_room], -1,
            )  # fmt: skip
            last = _insert(running, ends, first, last, n + k, begun[k].finish)

    # What waits for room: a heap for each group; and, last, one of the heads of these.
    groups = workflows["group"].max() + 1
    queues, heap = np.zeros(groups + 1, dtype=QUEUE), np.empty(n + groups, np.int64)
    for k in range(n):
        queues[workflows[k].group + 1].begin += 1
    for group in range(groups):
        queues[group + 1].begin += queues[group].begin
    heads = queues[groups]

    start = np.empty(n, np.int64)
    waits = workflows["waits"].copy()
    coming = [(workflows[k].release, k) for k in range(n) if not waits[k]]
    heapify(coming)
    while coming or first < last:
        now = NEVER
        if coming:
            now = coming[0][0]
        if first < last:
            now = min(now, ends[first])
        known = 0
        if shadows[0].time <= now:
            shadows[0].workflow = NONE
        while first < last and ends[first] == now:
            k = running[first]
            first += 1
            has, way = held[k], ways[held[k].way]
            _change(
                free, whole, left, shadows[0], spare, least, partitions[way.partition], way,
                rooms[has.first_room : has.last_room], 1,
            )  # fmt: skip
            if k < n:
                for child in children[workflows[k].first_child : workflows[k].last_child]:
                    waits[child] -= 1
                    if not waits[child]:
                        heappush(coming, (max(workflows[child].release, now), child))
        while coming and coming[0][0] == now:
            _, k = heappop(coming)
            _push(queues[workflows[k].group], heap, rank[k])
        heads.length = 0
        for group in range(groups):
            if queues[group].length:
                _push(heads, heap, heap[queues[group].begin])
        while heads.length and known < depth:
            k = order[heap[n]]
            _pop(heads, heap)
            w, queue = workflows[k], queues[workflows[k].group]
            number, count, crowded, known = _fit(
                free, whole, left, shadows[0], least, misfits, known, partitions, ways,
                (w.first_way, w.last_way), k, now, found, mine,
            )  # fmt: skip
            if number == NONE:
                if crowded != NONE and shadows[0].workflow == NONE:
                    _foresee(
                        free, shadows[0], spare, least, partitions, ways, held, rooms,
                        running[first:last], ends[first:last], ways[crowded], k, found,
                    )  # fmt: skip
                continue
            if used + count > len(rooms):
                more = np.empty(2 * (used + count), dtype=ROOM)
                more[:used] = rooms[:used]
                rooms = more
            rooms[used : used + count] = mine[:count]
            has, way = held[k], ways[number]
            has.way, has.first_room, has.last_room = number, used, used + count
            used += count
            start[k] = now
            finish = now + way.duration
            partition = partitions[way.partition]
            if shadows[0].workflow == k:
                shadows[0].workflow = NONE
            elif shadows[0].partition == way.partition and finish > shadows[0].time:
                for room in range(count):
                    _add(spare[mine[room].node], partition, way, mine[room].ranks, -1)
            _change(free, whole, left, shadows[0], spare, least, partition, way, mine[:count], -1)
            last = _insert(running, ends, first, last, k, finish)
            _pop(queue, heap)
            if queue.length:
                _push(heads, heap, heap[queue.begin])
    return start, held[:n], rooms[:used]
