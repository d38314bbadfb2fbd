"""The parallel scheme, compiled: what `socm.planner.plain.parallel` does, on arrays.

It gives the same schedules, which is tested, and comes to them by shorter modes: nodes are looked
at one by one, until there are enough. Needs Numba, so this module is imported where it is used.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

import numpy as np

from socm.planner.compiled import entry, part
from socm.planner.compiled.arrays import (
    BEGUN,
    MODE,
    NODE_RANKS,
    NONE,
    PARTITION,
    WORKFLOW,
    Arrays,
    FlatPlacements,
    Ints,
    Record,
    Records,
    order_and_position,
    record,
)
from socm.planner.effort import WORK_OF_STARTING
from socm.planner.instance import depth
from socm.planner.ranking import Priority
from socm.planner.schedule import Schedule

NEVER = UNLIMITED = 2**62

FREE = record("cores", "memory", "gpus")
"""What is free, on a node or on all of a partition."""
HELD = record("mode", "first_placement", "last_placement")
"""What a workflow, or something that is fixed, has until it ends."""
QUEUE = record("begin", "length")
"""A heap of the places in the order of priority: where it begins, and how many it has."""
MISFIT = record("partition", "shadowed", "ranks", "threads", "memory_order", "gpus")
SHADOW = record("workflow", "partition", "time")
"""The only one there is at a time; a workflow of `NONE` is no shadow."""


def schedule(arrays: Arrays, priority: Priority) -> Schedule:
    """Schedule an instance; see `socm.planner.schemes.parallel`."""
    order, position = order_and_position(priority)
    start, held, placements = kernel(
        arrays.workflows, arrays.children, arrays.modes, arrays.partitions, arrays.limits,
        arrays.begun, arrays.placements, arrays.start, depth(len(order)), order, position,
    )  # fmt: skip
    placements["node"] = arrays.names[placements["node"]]
    all_modes = arrays.all_modes
    return Schedule(
        start=start.tolist(),
        modes=[all_modes[mode] for mode in held["mode"].tolist()],
        placements=FlatPlacements(
            first=held["first_placement"], last=held["last_placement"], flat=placements
        ),
        work=WORK_OF_STARTING * len(order),
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
def _room(free: Record, partition: Record, mode: Record) -> int:
    """How many ranks of a mode a node takes."""
    if mode.exclusive:
        idle = free.cores == partition.cores and free.memory == partition.memory
        return int(mode.ranks_per_node) if idle and free.gpus == partition.gpus else 0
    if free.cores < mode.threads:
        return 0
    room: int = free.cores // mode.threads
    if mode.memory:
        room = min(room, free.memory * mode.ranks // mode.memory)
    if mode.gpus:
        room = min(room, free.gpus // mode.gpus)
    return room


@part
def _filled(free: Records, partition: Record, mode: Record, found: Records) -> int:
    """Find room for all ranks on the first nodes that have some, or on the emptiest if few may.

    Return on how many nodes; 0 if there is too little.
    """
    left, count = mode.ranks, 0
    for node in range(partition.first_node, partition.last_node):
        room = _room(free[node], partition, mode)
        if room:
            found[count].node = node
            found[count].ranks = room if mode.most_nodes != NONE else min(room, left)
            left -= found[count].ranks
            count += 1
            if not left and mode.most_nodes == NONE:
                return count
    if mode.most_nodes == NONE:
        return 0
    emptiest = np.argsort(-found["ranks"][:count], kind="mergesort")[: mode.most_nodes]
    found[: len(emptiest)] = found[emptiest]
    left = mode.ranks
    for k in range(len(emptiest)):
        found[k].ranks = min(found[k].ranks, left)
        left -= found[k].ranks
        if not left:
            return k + 1
    return 0


@part
def _add(free: Record, partition: Record, mode: Record, ranks: int, sign: int) -> None:
    """Give back what so many ranks have of a node, or take it with a sign of -1."""
    if mode.exclusive:
        free.cores += sign * partition.cores
        free.memory += sign * partition.memory
        free.gpus += sign * partition.gpus
    else:
        free.cores += sign * ranks * mode.threads
        free.memory += sign * -(-ranks * mode.memory // mode.ranks)
        free.gpus += sign * ranks * mode.gpus


@part
def _least(to: Record, one: Record, other: Record) -> None:
    """Let what is free in both be what is free."""
    to.cores = min(one.cores, other.cores)
    to.memory = min(one.memory, other.memory)
    to.gpus = min(one.gpus, other.gpus)


@part
def _change(
    free: Records, whole: Records, left: Ints, shadow: Record, spare: Records, least: Records,
    partition: Record, mode: Record, placements: Records, sign: int,
) -> None:  # fmt: skip
    """Let something have its nodes with a sign of -1, or take back what it had."""
    for k in range(len(placements)):
        node, ranks = placements[k].node, placements[k].ranks
        _add(free[node], partition, mode, ranks, sign)
        _add(whole[mode.partition], partition, mode, ranks, sign)
        if shadow.workflow != NONE and shadow.partition == mode.partition:
            _least(least[node], free[node], spare[node])
    left[2 * mode.qos] += sign
    left[2 * mode.qos + 1] += sign * mode.counted
    left[-1] += sign * mode.counted


@part
def _hopeless(misfits: Records, mode: Record, shadowed: bool) -> bool:
    """Whether there is no room for something that asks for no more."""
    for k in range(len(misfits)):
        m = misfits[k]
        if (
            m.threads <= mode.threads
            and m.ranks <= mode.ranks
            and m.memory_order <= mode.memory_order
            and m.gpus <= mode.gpus
            and m.partition == mode.partition
            and m.shadowed <= shadowed
        ):
            return True
    return False


@part
def _fit(
    free: Records, whole: Records, left: Ints, shadow: Record, least: Records, misfits: Records,
    known: int, partitions: Records, modes: Records, bounds: tuple[int, int], k: int, now: int,
    found: Records, placements: Records,
) -> tuple[int, int, int, int]:  # fmt: skip
    """Find the mode with room now that ends first; of equals the smallest qos.

    Return which, on how many nodes, the first for which there is too little room on the nodes
    (`NONE` where there is none), and how many misfits are known.
    """
    best = crowded = NONE
    nodes = 0
    for number in range(*bounds):
        mode, partition = modes[number], partitions[modes[number].partition]
        if best != NONE and mode.duration >= modes[best].duration:
            continue
        within = mode.counted <= min(left[-1], left[2 * mode.qos + 1])
        if not within or not left[2 * mode.qos]:
            continue
        total = whole[mode.partition]
        count = 0
        if mode.ranks * mode.threads <= total.cores and mode.memory <= total.memory:
            shadowed = (
                shadow.workflow != NONE
                and shadow.workflow != k
                and shadow.partition == mode.partition
                and now + mode.duration > shadow.time
            )
            if not _hopeless(misfits[:known], mode, shadowed):
                count = _filled(least if shadowed else free, partition, mode, found)
                if not count and mode.most_nodes == NONE and not mode.exclusive:
                    m = misfits[known]
                    m.partition, m.shadowed, m.ranks = mode.partition, shadowed, mode.ranks
                    m.threads, m.memory_order, m.gpus = mode.threads, mode.memory_order, mode.gpus
                    known += 1
        if count:
            best, nodes = number, count
            placements[:count] = found[:count]
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
    modes: Records, held: Records, placements: Records, running: Ints, ends: Ints, mode: Record,
    k: int, found: Records,
) -> None:  # fmt: skip
    """Find when nodes will have room for a mode, and what they then have left for others."""
    partition = partitions[mode.partition]
    nodes = range(partition.first_node, partition.last_node)
    enough = 0
    for node in nodes:
        spare[node] = free[node]
        enough += _room(spare[node], partition, mode)
    for number in range(len(running)):
        has = held[running[number]]
        ending = modes[has.mode]
        if ending.partition != mode.partition:
            continue
        for room in range(has.first_placement, has.last_placement):
            there = spare[placements[room].node]
            enough -= _room(there, partition, mode)
            _add(there, partition, ending, placements[room].ranks, 1)
            enough += _room(there, partition, mode)
        count = _filled(spare, partition, mode, found) if enough >= mode.ranks else 0
        if count:
            for room in range(count):
                _add(spare[found[room].node], partition, mode, found[room].ranks, -1)
            for node in nodes:
                _least(least[node], free[node], spare[node])
            shadow.workflow, shadow.partition, shadow.time = k, mode.partition, ends[number]
            return


@entry(WORKFLOW, Ints, MODE, PARTITION, Ints, BEGUN, NODE_RANKS, int, int, Ints, Ints)
def kernel(
    workflows: Records, children: Ints, modes: Records, partitions: Records, limits: Ints,
    begun: Records, placements_of_begun: Records, begin: int, depth: int, order: Ints,
    position: Ints,
) -> tuple[Ints, Records, Records]:  # fmt: skip
    """Go forward in time; return starts, and what each has of the placements."""
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
    misfits = np.empty(depth + len(modes), dtype=MISFIT)
    found, mine = np.empty(nodes, dtype=NODE_RANKS), np.empty(nodes, dtype=NODE_RANKS)

    # What runs, sorted by its end; what is fixed has numbers from n on.
    held = np.empty(most, dtype=HELD)
    running, ends = np.empty(most, np.int64), np.empty(most, np.int64)
    first = last = 0
    placements = np.empty(len(placements_of_begun) + 2 * n, dtype=NODE_RANKS)
    placements[: len(placements_of_begun)] = placements_of_begun
    used = len(placements_of_begun)
    for k in range(len(begun)):
        has = held[n + k]
        has.mode = len(modes) - len(begun) + k
        has.first_placement, has.last_placement = begun[k].first_placement, begun[k].last_placement
        if begun[k].finish > begin:
            mode = modes[has.mode]
            _change(
                free, whole, left, shadows[0], spare, least, partitions[mode.partition], mode,
                placements[has.first_placement : has.last_placement], -1,
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
            has, mode = held[k], modes[held[k].mode]
            _change(
                free, whole, left, shadows[0], spare, least, partitions[mode.partition], mode,
                placements[has.first_placement : has.last_placement], 1,
            )  # fmt: skip
            if k < n:
                for child in children[workflows[k].first_child : workflows[k].last_child]:
                    waits[child] -= 1
                    if not waits[child]:
                        heappush(coming, (max(workflows[child].release, now), child))
        while coming and coming[0][0] == now:
            _, k = heappop(coming)
            _push(queues[workflows[k].group], heap, position[k])
        heads.length = 0
        for group in range(groups):
            if queues[group].length:
                _push(heads, heap, heap[queues[group].begin])
        while heads.length and known < depth:
            k = order[heap[n]]
            _pop(heads, heap)
            w, queue = workflows[k], queues[workflows[k].group]
            number, count, crowded, known = _fit(
                free, whole, left, shadows[0], least, misfits, known, partitions, modes,
                (w.first_mode, w.last_mode), k, now, found, mine,
            )  # fmt: skip
            if number == NONE:
                if crowded != NONE and shadows[0].workflow == NONE:
                    _foresee(
                        free, shadows[0], spare, least, partitions, modes, held, placements,
                        running[first:last], ends[first:last], modes[crowded], k, found,
                    )  # fmt: skip
                continue
            if used + count > len(placements):
                more = np.empty(2 * (used + count), dtype=NODE_RANKS)
                more[:used] = placements[:used]
                placements = more
            placements[used : used + count] = mine[:count]
            has, mode = held[k], modes[number]
            has.mode, has.first_placement, has.last_placement = number, used, used + count
            used += count
            start[k] = now
            finish = now + mode.duration
            partition = partitions[mode.partition]
            if shadows[0].workflow == k:
                shadows[0].workflow = NONE
            elif shadows[0].partition == mode.partition and finish > shadows[0].time:
                for room in range(count):
                    _add(spare[mine[room].node], partition, mode, mine[room].ranks, -1)
            _change(free, whole, left, shadows[0], spare, least, partition, mode, mine[:count], -1)
            last = _insert(running, ends, first, last, k, finish)
            _pop(queue, heap)
            if queue.length:
                _push(heads, heap, heap[queue.begin])
    return start, held[:n], placements[:used]
