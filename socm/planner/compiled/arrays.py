"""An instance in arrays of integers, for compiled code; made once for each instance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from socm.planner.instance import Counts, IndexedMode, Instance, usable_nodes

Ints = NDArray[np.int64]
Record = Any
"""A record: its fields are integers, and their names those of its type below."""
Records = NDArray[Any]
"""An array of records of one type."""

NONE = -1
"""No limit."""
LARGEST = 2**62
"""Bound on all numbers: in compiled code a larger one could overflow without an error."""


def record(*names: str) -> np.dtype[np.void]:
    """Return a type of records with these fields."""
    return np.dtype([(name, np.int64) for name in names])


WORKFLOW = record("waits", "release", "first_child", "last_child", "first_mode", "last_mode")
"""Number of parents, and where the children and the modes begin and end in their arrays."""
MODE = record(
    "partition", "qos", "duration", "shortest", "first_count", "last_count", "ranks", "threads",
    "memory", "gpus", "exclusive", "most_nodes", "ranks_per_node", "family", "same_nodes",
)  # fmt: skip
"""An `IndexedMode`. Modes with equal `same_nodes` may use the same nodes."""
COUNT = record("limit", "amount")
"""The number of a limit, and how much a mode counts against it."""
PARTITION = record("first_node", "last_node", "cores", "memory", "gpus")
"""Its nodes, which are numbered through all partitions, and what each of them has."""
RESERVED = record("node", "cores", "memory", "gpus", "start", "finish")
BEGUN = record("start", "finish", "first_placement", "last_placement")
NODE_RANKS = record("node", "ranks")


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """An instance in arrays.

    Parameters
    ----------
    workflows, children, modes, partitions
        Records of the types above. The modes end with one for each of `begun`.
    counts
        What the modes count against limits.
    limits
        The most of whatever is limited.
    reserved, begun, placements
        What is allocated from the beginning.
    start
        When the plan begins, in seconds.
    all_modes, names
        The modes as objects, and the nodes' indices within their partitions.
    """

    workflows: Records
    children: Ints
    modes: Records
    counts: Records
    partitions: Records
    limits: Ints
    reserved: Records
    begun: Records
    placements: Records
    start: int
    all_modes: list[IndexedMode]
    names: Ints


def arrays_of(instance: Instance) -> Arrays | None:
    """Return an instance in arrays; `None` if compiled code cannot schedule it.

    It cannot where a budget of nodes spans several partitions, where partitions share nodes, where
    there is maintenance, or where numbers are too large.
    """
    if "arrays" not in instance.cache:
        instance.cache["arrays"] = _arrays(instance)
    arrays: Arrays | None = instance.cache["arrays"]
    return arrays


def _arrays(instance: Instance) -> Arrays | None:
    cluster, most = instance.cluster, instance.node_budget
    several = len(cluster.partitions) > 1
    closed = any(r.maintenance for r in instance.reservations) or cluster.overlapping
    if not len(instance) or (most is not None and several) or closed or _too_large(instance):
        return None
    nodes = [
        usable_nodes(p, most, instance.reservations, instance.fixed) for p in cluster.partitions
    ]
    bounds = [*pairwise(accumulate(map(len, nodes), initial=0))]
    number = [
        dict(zip(names, range(*bound), strict=True))
        for names, bound in zip(nodes, bounds, strict=True)
    ]
    of_partition = {p.name: numbers for p, numbers in zip(cluster.partitions, number, strict=True)}
    all_modes = [*chain.from_iterable({id(modes): modes for modes in instance.modes}.values())]
    counts = [count for counts in _counts(instance, all_modes) for count in counts]
    ends = [*accumulate((len(b.placements) for b in instance.begun), initial=0)]
    return Arrays(
        workflows=_workflows(instance),
        children=_ints(chain.from_iterable(instance.children)),
        modes=_modes(instance, all_modes),
        partitions=np.array(
            [
                (*bound, p.cores, p.memory, p.gpus)
                for bound, p in zip(bounds, cluster.partitions, strict=True)
            ],
            dtype=PARTITION,
        ),
        counts=np.array(counts, dtype=COUNT),
        limits=_ints(instance.limits),
        reserved=np.array(
            [
                (of_partition[r.partition][node], *load, r.start, r.finish)
                for r in instance.reservations
                for node, load in r.loads(cluster.by_partition[r.partition])
                if node in of_partition[r.partition]
            ],
            dtype=RESERVED,
        ),
        begun=np.array(
            [
                (b.start, b.finish, first, last)
                for b, (first, last) in zip(instance.begun, pairwise(ends), strict=True)
            ],
            dtype=BEGUN,
        ),
        placements=np.array(
            [(number[b.partition][n], ranks) for b in instance.begun for n, ranks in b.placements],
            dtype=NODE_RANKS,
        ),
        start=instance.start,
        all_modes=all_modes,
        names=_ints(chain.from_iterable(nodes)),
    )


def _workflows(instance: Instance) -> Records:
    first_mode: dict[int, int] = {}
    modes = 0
    for mine in instance.modes:
        if id(mine) not in first_mode:
            first_mode[id(mine)] = modes
            modes += len(mine)
    workflows = np.empty(len(instance), dtype=WORKFLOW)
    ends = _ints(accumulate(map(len, instance.children), initial=0))
    workflows["waits"] = [*map(len, instance.parents)]
    workflows["release"] = instance.release
    workflows["first_child"], workflows["last_child"] = ends[:-1], ends[1:]
    workflows["first_mode"] = [first_mode[id(mine)] for mine in instance.modes]
    workflows["last_mode"] = workflows["first_mode"] + _ints(map(len, instance.modes))
    return workflows


def _modes(instance: Instance, modes: Sequence[IndexedMode]) -> Records:
    nodes: dict[tuple[int, bool, int | None], int] = {}
    same_nodes = [
        nodes.setdefault((m.partition, m.demand.exclusive, m.most_nodes), len(nodes)) for m in modes
    ]
    counts = pairwise(accumulate(map(len, _counts(instance, modes)), initial=0))
    rows = [
        (
            m.partition, m.qos, m.duration, m.shortest, *next(counts), *m.demand,
            NONE if m.most_nodes is None else m.most_nodes, m.ranks_per_node, m.family,
            same,
        )
        for m, same in zip(modes, same_nodes, strict=True)
    ]  # fmt: skip
    rows += [
        (b.partition, b.qos, b.finish - b.start, 0, *next(counts), *b.demand, NONE, 0, 0, 0)
        for b in instance.begun
    ]
    return np.array(rows, dtype=MODE)


def _counts(instance: Instance, modes: Sequence[IndexedMode]) -> list[Counts]:
    return [*(m.counts for m in modes), *(b.counts for b in instance.begun)]


def _too_large(instance: Instance) -> bool:
    """Whether a time, an amount, or memory times ranks might not fit into 64 bits."""
    partitions, begun = instance.cluster.by_partition, instance.begun
    times = [instance.start, *instance.release]
    times += [r.finish for r in instance.reservations] + [b.finish for b in begun]
    latest = max(times) + sum(max(mode.duration for mode in modes) for modes in instance.modes)
    amounts = sum(p.nodes * (p.cores + p.memory + p.gpus) for p in partitions.values())
    amounts += sum(
        sum(load) for r in instance.reservations for _, load in r.loads(partitions[r.partition])
    )
    amounts += sum(
        b.cores + b.demand.memory + ranks * max(b.demand.threads, b.demand.gpus)
        for b in begun
        for _, ranks in b.placements
    )
    amounts += sum(amount for b in begun for _, amount in b.counts)
    most_ranks = max(mode.demand.ranks for modes in instance.modes for mode in modes)
    most_ranks = max(most_ranks, *(b.demand.ranks for b in begun), 1)
    return max(latest, amounts * most_ranks) >= LARGEST


def _ints(numbers: Iterable[int]) -> Ints:
    return np.array([*numbers], dtype=np.int64)
