"""The serial scheme on arrays, compiled by Numba.

Most functions correspond to one of `socm.planner.capacity`. Everything that is compiled is in this
module, because Numba compiles again only when the module of the function that it keeps has changed.
Importing it needs Numba.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

import numpy as np

from socm.planner.compiled import entry, part
from socm.planner.compiled.arrays import (
    BEGUN,
    COUNT,
    MODE,
    NODE_RANKS,
    NONE,
    PARTITION,
    RESERVED,
    WORKFLOW,
    Ints,
    Record,
    Records,
    record,
)

NEVER = 2**62

ROW = record("time", "cores", "memory", "gpus")
"""From a time on, what is free on a node; or how much counts against a limit, in `cores`."""
LINE = record("begin", "length", "space")
"""A step function: its first row, number of rows, and space. First come the nodes, then cores and
memory of all nodes of each partition, then the limits. The last line is where free rows begin."""
FAMILY = record("low", "high", "known")
"""An interval of starts that are known not to fit a family of modes."""
ROWS = 4
"""Space of a step function at first. A full one moves to the end and gets twice the space."""


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
    """Let a row begin at a time; return it."""
    row = _row_at(rows, line, time)
    if rows[row].time >= time:  # later: before the plan begins, which is never asked for
        return row
    for k in range(line.begin + line.length, row, -1):
        rows[k] = rows[k - 1]
    rows[row + 1].time = time
    line.length += 1
    return row + 1


@part
def _with_space(rows: Records, lines: Records, space: int) -> Records:
    """Return the rows with at least twice `space` of them free."""
    least = lines[-1].begin + 2 * space
    if least <= len(rows):
        return rows
    more = np.empty(2 * least, dtype=ROW)
    more[: len(rows)] = rows
    return more


@part
def _allocate(
    rows: Records, lines: Records, number: int, cores: int, memory: int, gpus: int, start: int,
    finish: int,
) -> None:  # fmt: skip
    """Allocate an amount of a line; there must be twice as many free rows as it has."""
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
    """Return the first start that leaves room for an amount under a limit."""
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
    rows: Records, lines: Records, partition: Record, mode: Record, duration: int, start: int,
    found: Records, visits: Ints,
) -> tuple[int, int]:  # fmt: skip
    """Note on how many nodes how many ranks fit; or return 0 and the next start to probe."""
    ranks, threads, memory, gpus = mode.ranks, mode.threads, mode.memory, mode.gpus
    full = mode.ranks_per_node
    first, last = partition.first_node, partition.last_node
    finish = start + duration
    enough = count = 0
    later = NEVER
    for node in range(first, last):
        line = lines[node]
        least = full
        end = line.begin + line.length - 1
        if rows[end].time > start:
            over = NEVER
            k = _row_at(rows, line, start)
            while k < end and rows[k].time < finish:
                row = rows[k]
                k += 1
                if mode.exclusive:
                    idle = row.cores == partition.cores and row.memory == partition.memory
                    fit = full if idle and row.gpus == partition.gpus else 0
                else:
                    # Without a division where more ranks fit than matter.
                    want = min(least + 1, full)
                    if (
                        row.cores >= want * threads
                        and row.memory * ranks >= want * memory
                        and row.gpus >= want * gpus
                    ):
                        continue
                    fit = row.cores // threads
                    if fit and memory:
                        fit = min(fit, row.memory * ranks // memory)
                    if fit and gpus:
                        fit = min(fit, row.gpus // gpus)
                if fit <= least and fit < full:
                    least = fit
                    over = rows[k].time
            later = min(later, over)
        if least > 0:
            found[count].node = node
            found[count].ranks = least
            count += 1
            enough += least
            if enough >= ranks and mode.most_nodes == NONE:
                visits[0] += node - first + 1
                return count, start
    visits[0] += last - first
    if mode.most_nodes != NONE:
        largest = np.argsort(-found["ranks"][:count], kind="mergesort")[: mode.most_nodes]
        count = len(largest)
        found[:count] = found[largest]
        enough = found["ranks"][:count].sum()
    if enough >= ranks:
        return count, start
    return 0, later


@part
def _with_enough_in_all(
    rows: Records, lines: Records, partitions: Records, mode: Record, duration: int, ready: int
) -> int:
    """Return the first start at which all nodes together have enough cores and memory."""
    partition = partitions[mode.partition]
    nodes = partition.last_node - partition.first_node
    all_cores = partitions[-1].last_node + 2 * mode.partition
    start, before = ready, NONE
    while start != before:
        before = start
        start = _within(
            rows, lines[all_cores], nodes * partition.cores, mode.ranks * mode.threads, duration,
            start,
        )  # fmt: skip
        start = _within(
            rows, lines[all_cores + 1], nodes * partition.memory, mode.memory, duration, start
        )
    return start


@part
def _on_nodes(
    rows: Records, lines: Records, partitions: Records, mode: Record, ready: int, family: Record,
    found: Records, visits: Ints,
) -> tuple[int, int]:  # fmt: skip
    """Return the first start that nodes allow, and how many nodes were noted."""
    partition, duration, shortest = partitions[mode.partition], mode.duration, mode.shortest
    low, high = (family.low, family.high) if family.known else (ready, ready)
    start = later = ready
    count = 0
    while not count:
        start = high if low <= later < high else later
        start = _with_enough_in_all(rows, lines, partitions, mode, shortest, start)
        count, later = _probe(rows, lines, partition, mode, shortest, start, found, visits)
        assert later < NEVER
    if start > ready:
        if not family.known or (ready <= high and start >= low):
            family.low, family.high = min(low, ready), max(high, start)
        elif start - ready >= high - low:
            family.low, family.high = ready, start
        family.known = 1
    if duration > shortest:
        count, later = _probe(rows, lines, partition, mode, duration, start, found, visits)
        while not count:
            start = _with_enough_in_all(rows, lines, partitions, mode, duration, later)
            count, later = _probe(rows, lines, partition, mode, duration, start, found, visits)
            assert later < NEVER
    return start, count


@part
def _allowed(
    rows: Records, lines: Records, limits: Ints, counts: Records, mode: Record, ready: int
) -> int:
    """Return the first start that all limits allow."""
    first = len(lines) - 1 - len(limits)
    start, before = ready, NONE
    while start != before:
        before = start
        for k in range(mode.first_count, mode.last_count):
            limit, amount = counts[k].limit, counts[k].amount
            start = _within(rows, lines[first + limit], limits[limit], amount, mode.duration, start)
    return start


@part
def _filled(found: Records, count: int, ranks: int) -> int:
    """Fill nodes in order until every rank has a place; return how many nodes are used."""
    for k in range(count):
        found[k].ranks = min(found[k].ranks, ranks)
        ranks -= found[k].ranks
        if not ranks:
            return k + 1
    return count


@part
def _earliest_finish(
    rows: Records, lines: Records, partitions: Records, limits: Ints, counts: Records,
    modes: Records, ready: int, families: Records, unlimited: Ints, found: Records,
    placements: Records, visits: Ints,
) -> tuple[int, int, int]:  # fmt: skip
    """Choose the mode that ends first; return it, its start, and how many nodes it uses."""
    unlimited[:] = ready
    best_finish, best_qos, best_count = NEVER, 0, 0
    best_mode = best_start = 0
    for k in range(len(modes)):
        mode = modes[k]
        family = families[mode.family]
        soonest = unlimited[mode.same_nodes] + mode.duration
        if (soonest, mode.qos) > (best_finish, best_qos):
            continue
        start, count = _on_nodes(rows, lines, partitions, mode, ready, family, found, visits)
        unlimited[mode.same_nodes] = start
        allowed = _allowed(rows, lines, limits, counts, mode, start)
        while allowed > start:
            start, count = _on_nodes(rows, lines, partitions, mode, allowed, family, found, visits)
            allowed = _allowed(rows, lines, limits, counts, mode, start)
        count = _filled(found, count, mode.ranks)
        if (start + mode.duration, mode.qos, count) < (best_finish, best_qos, best_count):
            best_finish, best_qos, best_count = start + mode.duration, mode.qos, count
            best_mode, best_start = k, start
            placements[:count] = found[:count]
    return best_mode, best_start, best_count


@part
def _place(
    rows: Records, lines: Records, partitions: Records, limits: Ints, counts: Records, mode: Record,
    placements: Records, start: int, finish: int,
) -> Records:  # fmt: skip
    """Allocate nodes and limits to a mode; return the rows, copied if there was no space left."""
    partition = partitions[mode.partition]
    first = len(lines) - 1 - len(limits)
    all_cores = partitions[-1].last_node + 2 * mode.partition
    space = lines[all_cores].space + lines[all_cores + 1].space
    for k in range(len(placements)):
        space += lines[placements[k].node].space
    for k in range(mode.first_count, mode.last_count):
        space += lines[first + counts[k].limit].space
    rows = _with_space(rows, lines, space)
    for k in range(mode.first_count, mode.last_count):
        _allocate(rows, lines, first + counts[k].limit, -counts[k].amount, 0, 0, start, finish)
    cores, memory, gpus = partition.cores, partition.memory, partition.gpus
    sum_cores = sum_memory = 0
    for k in range(len(placements)):
        if not mode.exclusive:
            ranks = placements[k].ranks
            cores, gpus = ranks * mode.threads, ranks * mode.gpus
            memory = -(-ranks * mode.memory // mode.ranks)
        _allocate(rows, lines, placements[k].node, cores, memory, gpus, start, finish)
        sum_cores += cores
        sum_memory += memory
    _allocate(rows, lines, all_cores, -sum_cores, 0, 0, start, finish)
    _allocate(rows, lines, all_cores + 1, -sum_memory, 0, 0, start, finish)
    return rows


@part
def _empty(partitions: Records, limits: Ints, start: int) -> tuple[Records, Records]:
    """Return rows and lines of idle nodes and unused limits."""
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


@entry(WORKFLOW, Ints, MODE, COUNT, PARTITION, Ints, RESERVED, BEGUN, NODE_RANKS, int, Ints, Ints)
def kernel(
    workflows: Records, children: Ints, modes: Records, counts: Records, partitions: Records,
    limits: Ints, reserved: Records, begun: Records, placements_of_begun: Records,
    begin: int, order: Ints, position: Ints,
) -> tuple[Ints, Ints, Ints, Ints, Records, int]:  # fmt: skip
    """Run the scheme; return starts, modes, placements, and how many nodes were looked at."""
    n, nodes = len(order), partitions[-1].last_node
    rows, lines = _empty(partitions, limits, begin)
    for k in range(len(reserved)):
        r = reserved[k]
        rows = _with_space(rows, lines, lines[r.node].space)
        _allocate(rows, lines, r.node, r.cores, r.memory, r.gpus, r.start, r.finish)
    for k in range(len(begun)):
        b, mode = begun[k], modes[len(modes) - len(begun) + k]
        placements = placements_of_begun[b.first_placement : b.last_placement]
        rows = _place(rows, lines, partitions, limits, counts, mode, placements, b.start, b.finish)
    families = np.zeros(modes["family"].max() + 1, dtype=FAMILY)
    unlimited = np.empty(modes["same_nodes"].max() + 1, np.int64)
    visits = np.zeros(1, np.int64)
    found, placements = np.empty(nodes, dtype=NODE_RANKS), np.empty(nodes, dtype=NODE_RANKS)
    start, chosen = np.empty(n, np.int64), np.empty(n, np.int64)
    first, last = np.empty(n, np.int64), np.empty(n, np.int64)
    all_placements = np.empty(2 * n, dtype=NODE_RANKS)
    used = 0
    waits, ready = workflows["waits"].copy(), workflows["release"].copy()
    eligible = [position[k] for k in range(n) if not waits[k]]
    heapify(eligible)
    while eligible:
        k = order[heappop(eligible)]
        w = workflows[k]
        mode, start[k], count = _earliest_finish(
            rows, lines, partitions, limits, counts, modes[w.first_mode : w.last_mode], ready[k],
            families, unlimited, found, placements, visits,
        )  # fmt: skip
        chosen[k] = w.first_mode + mode
        finish = start[k] + modes[chosen[k]].duration
        rows = _place(
            rows, lines, partitions, limits, counts, modes[chosen[k]], placements[:count],
            start[k], finish,
        )  # fmt: skip
        if used + count > len(all_placements):
            more = np.empty(2 * (used + count), dtype=NODE_RANKS)
            more[:used] = all_placements[:used]
            all_placements = more
        first[k], last[k] = used, used + count
        all_placements[used : used + count] = placements[:count]
        used += count
        for child in children[w.first_child : w.last_child]:
            ready[child] = max(ready[child], finish)
            waits[child] -= 1
            if not waits[child]:
                heappush(eligible, position[child])
    return start, chosen, first, last, all_placements[:used], visits[0]
