"""Check that no node is used by more than fits on it.

What ranks need of a node is worked out here again: this module shares no code with
`socm.model.demand`, by which plans are made and carried out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from socm.model.partition import MOST_NODES
from socm.model.placement import PlannedWorkflow
from socm.model.plan import Plan

_Node = tuple[str, int]
"""Name of the partition, and index in it."""
_Change = tuple[int, int, int, int, int, int]
"""Time, 0 for an end and 1 for a start, and what it adds: workflows, cores, MB, GPUs."""
_STRIDE = 2 * MOST_NODES + 1
"""Larger than any number of a node in its set."""
_LARGE = 2**61
"""Sums stay below this, so that integers of 64 bits hold them."""


def overfull_nodes(plan: Plan, workflows: list[PlannedWorkflow]) -> Iterator[str]:
    """Sweep over each node's starts and ends, adding up what is in use.

    Parameters
    ----------
    workflows
        Those of the plan that are planned as the campaign and the cluster say.

    Yields
    ------
    str
        For each node that workflows help to overfill, what is first in use beyond its capacity.
    """
    crowded = _crowded(plan, workflows)
    if crowded is not None and not crowded:
        return
    changes: dict[_Node, list[_Change]] = defaultdict(list)
    for w in workflows:
        partition = plan.cluster.by_partition[w.partition]
        request = plan.campaign.workflows[w.name].request
        for p in w.placements:
            cores, memory, gpus = (
                (partition.cores, partition.memory, partition.gpus)
                if w.exclusive
                else (
                    p.ranks * w.threads,
                    -(-p.ranks * request.memory // request.ranks),
                    p.ranks * request.gpus,
                )
            )
            changes[p.partition, p.node] += [
                (w.start, 1, 1, cores, memory, gpus),
                (w.finish, 0, -1, -cores, -memory, -gpus),
            ]
    for r in plan.reservations:
        for node, (cores, memory, gpus) in r.loads(plan.cluster.by_partition[r.partition]):
            changes[plan.cluster.by_partition[r.partition].home, node] += [
                (r.start, 1, 0, cores, memory, gpus),
                (r.finish, 0, 0, -cores, -memory, -gpus),
            ]
    of_set = {p.home: p for p in plan.cluster.partitions}
    for name, node in sorted(changes if crowded is None else crowded):
        partition = of_set[name]
        have = (partition.cores, partition.memory, partition.gpus)
        if complaint := _first_overload(changes[name, node], have):
            yield f"{name} node {node}: {complaint}"


def _first_overload(events: list[_Change], have: tuple[int, int, int]) -> str | None:
    """Say what is first in use beyond the capacity of a node, if workflows use some of it.

    Reservations alone may exceed it: they may overlap. At one instant, ends come before starts.
    """
    used, by_workflows = [0, 0, 0], [0, 0, 0]
    for time, _, joins, *deltas in sorted(events):
        used = [u + d for u, d in zip(used, deltas, strict=True)]
        if joins:
            by_workflows = [u + d for u, d in zip(by_workflows, deltas, strict=True)]
        for what, u, mine, h in zip(("cores", "MB", "GPUs"), used, by_workflows, have, strict=True):
            if mine and u > h:
                return f"{u} {what} in use at {time} s, it has {h}"
    return None


def _crowded(plan: Plan, workflows: list[PlannedWorkflow]) -> set[_Node] | None:
    """Return the nodes that are overfull at any time; `None` if numbers are too large for NumPy.

    The sweep is made over all nodes at once: the changes are sorted by node and time and added up.
    Those of one node add up to 0 in the end, so the next node starts at 0.
    """
    import numpy as np  # a tenth of a second to import: not for `socm --help`

    partitions = plan.cluster.partitions
    sets = {p.home: k for k, p in enumerate(partitions)}
    number = {p.name: sets[p.home] for p in partitions}
    requests = [plan.campaign.workflows[w.name].request for w in workflows]
    rows = [
        (number[w.partition], w.start, w.finish, w.exclusive, w.threads, r.ranks, r.memory, r.gpus)
        for w, r in zip(workflows, requests, strict=True)
    ]
    windows = [
        (number[r.partition], node, r.start, r.finish, *load)
        for r in plan.reservations
        for node, load in r.loads(plan.cluster.by_partition[r.partition])
    ]
    amounts = sum(ranks * (threads + memory + gpus) for *_, threads, ranks, memory, gpus in rows)
    times = [2 * time for _, start, finish, *_ in rows for time in (start, finish)]
    reserved = [sum(window[2:]) for window in windows]
    if max(amounts + sum(reserved), *times, 0) >= _LARGE or min(times, default=0) <= -_LARGE:
        return None

    table = np.array(rows, dtype=np.int64).reshape(-1, 8)
    partition, begin, end, exclusive, threads, ranks, memory, gpus = table.T
    of = np.repeat(np.arange(len(rows)), [len(w.placements) for w in workflows])
    places = [p for w in workflows for p in w.placements]
    here = np.array([p.ranks for p in places], dtype=np.int64)
    whole = np.array([(p.cores, p.memory, p.gpus) for p in partitions], dtype=np.int64)
    shared = (here * threads[of], -(-here * memory[of] // ranks[of]), here * gpus[of])
    load = np.where(exclusive[of, None] > 0, whole[partition[of]], np.stack(shared, axis=1))
    of_window = np.array(windows, dtype=np.int64).reshape(-1, 7)

    where = np.concatenate([partition[of], of_window[:, 0]])
    node = np.concatenate([np.array([p.node for p in places], dtype=np.int64), of_window[:, 1]])
    joins = np.arange(len(node)) < len(places)
    change = np.column_stack([joins, np.concatenate([load, of_window[:, 4:]])])
    # At one instant, ends come before starts.
    starts = 2 * np.concatenate([begin[of], of_window[:, 2]]) + 1
    ends = 2 * np.concatenate([end[of], of_window[:, 3]])
    key = np.tile(where * _STRIDE + node, 2)
    order = np.lexsort((np.concatenate([starts, ends]), key))
    used = np.concatenate([change, -change])[order].cumsum(axis=0)
    key = key[order]
    over = (used[:, 0] > 0) & (used[:, 1:] > whole[key // _STRIDE]).any(axis=1)
    return {(partitions[k // _STRIDE].home, k % _STRIDE) for k in key[over].tolist()}
