"""An instance in arrays of integers, which is what compiled code works on.

All that does not depend on a priority is here, and made once for each instance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from socm.planner.capacity import usable_nodes
from socm.planner.instance import Instance, Rooms, Way
from socm.planner.parallel import groups
from socm.planner.ranking import Priority

Ints = NDArray[np.int64]
Record = Any
"""A record: its fields are integers, and their names those of its type below."""
Records = NDArray[Any]
"""An array of records of one type."""

NONE = -1
"""Where there is no limit."""
LARGEST = 2**62
"""What no number that comes up may reach: in compiled code it would overflow in silence."""


def record(*names: str) -> np.dtype[np.void]:
    """Return a type of records with these fields."""
    return np.dtype([(name, np.int64) for name in names])


WORKFLOW = record(
    "waits", "release", "first_child", "last_child", "first_way", "last_way", "group"
)  # fmt: skip
"""How many parents it has; and where its children and ways begin and end in their arrays.

Workflows of one group are in one queue of the parallel scheme.
"""
WAY = record(
    "partition", "tier", "duration", "shortest", "counted", "ranks", "threads", "memory", "gpus",
    "exclusive", "most_nodes", "full", "kind", "same_nodes", "memory_order",
)  # fmt: skip
"""A `Way`. Of a workflow those with equal `same_nodes` may have the same nodes; `memory_order`
sorts by the memory of a rank."""
PARTITION = record("first_node", "last_node", "cores", "memory", "gpus")
"""The numbers of its nodes, which are counted through all partitions, and what each has."""
RESERVED = record("node", "cores", "memory", "gpus", "start", "finish")
BEGUN = record("start", "finish", "first_room", "last_room")
ROOM = record("node", "ranks")


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """An instance in arrays.

    Parameters
    ----------
    workflows, children, ways, partitions
        Of the types above. The ways end with one for each of `begun`.
    limits
        Running jobs and cores of each tier in turn, then the budget of cores.
    reserved, begun, rooms
        What is taken from the beginning.
    start
        When the plan begins.
    of_way, names
        The ways as they are elsewhere, and the nodes' indices within their partitions.
    """

    workflows: Records
    children: Ints
    ways: Records
    partitions: Records
    limits: Ints
    reserved: Records
    begun: Records
    rooms: Records
    start: int
    of_way: list[Way]
    names: Ints


class FlatRooms(Sequence[Rooms]):
    """Rooms of every workflow, put together when they are asked for: a search asks for few.

    Examples
    --------
    >>> rooms = np.array([(4, 1), (5, 2), (6, 3)], dtype=ROOM)
    >>> [*FlatRooms(first=np.array([2, 0]), last=np.array([3, 2]), rooms=rooms)]
    [[(6, 3)], [(4, 1), (5, 2)]]
    """

    def __init__(self, *, first: Ints, last: Ints, rooms: Records) -> None:
        self._first, self._last, self._rooms = first, last, rooms

    def __len__(self) -> int:
        return len(self._first)

    @overload
    def __getitem__(self, index: int) -> Rooms: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Rooms]: ...
    def __getitem__(self, index: int | slice) -> Rooms | Sequence[Rooms]:
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        rooms: Rooms = self._rooms[self._first[index] : self._last[index]].tolist()
        return rooms


def arrays_of(instance: Instance) -> Arrays | None:
    """Return an instance in arrays; `None` if compiled code does not know all that it has.

    That is a budget of nodes over several partitions, and numbers that are too large.
    """
    if "arrays" not in instance.kept:
        instance.kept["arrays"] = _arrays(instance)
    kept: Arrays | None = instance.kept["arrays"]
    return kept


def _arrays(instance: Instance) -> Arrays | None:
    cluster, budget = instance.cluster, instance.campaign.budget
    several = len(cluster.partitions) > 1
    if not len(instance) or (budget.nodes is not None and several) or _too_large(instance):
        return None
    nodes = [
        usable_nodes(p, budget.nodes, instance.reservations, instance.fixed)
        for p in cluster.partitions
    ]
    bounds = [*pairwise(accumulate(map(len, nodes), initial=0))]
    number = [
        dict(zip(names, range(*bound), strict=True))
        for names, bound in zip(nodes, bounds, strict=True)
    ]
    of_partition = {p.name: numbers for p, numbers in zip(cluster.partitions, number, strict=True)}
    of_way = [*chain.from_iterable({id(ways): ways for ways in instance.ways}.values())]
    limits = [limit for q in cluster.tiers for limit in (q.running_jobs, q.cores)]
    ends = [*accumulate((len(b.rooms) for b in instance.begun), initial=0)]
    return Arrays(
        workflows=_workflows(instance),
        children=_ints(chain.from_iterable(instance.children)),
        ways=_ways(instance, of_way),
        partitions=np.array(
            [
                (*bound, p.cores, p.memory, p.gpus)
                for bound, p in zip(bounds, cluster.partitions, strict=True)
            ],
            dtype=PARTITION,
        ),
        limits=_ints(NONE if limit is None else limit for limit in (*limits, budget.cores)),
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
        rooms=np.array(
            [(number[b.partition][n], ranks) for b in instance.begun for n, ranks in b.rooms],
            dtype=ROOM,
        ),
        start=instance.start,
        of_way=of_way,
        names=_ints(chain.from_iterable(nodes)),
    )


def _workflows(instance: Instance) -> Records:
    first_way: dict[int, int] = {}
    ways = 0
    for mine in instance.ways:
        if id(mine) not in first_way:
            first_way[id(mine)] = ways
            ways += len(mine)
    queue: dict[object, int] = {}
    workflows = np.empty(len(instance), dtype=WORKFLOW)
    ends = _ints(accumulate(map(len, instance.children), initial=0))
    workflows["waits"] = [*map(len, instance.parents)]
    workflows["release"] = instance.release
    workflows["first_child"], workflows["last_child"] = ends[:-1], ends[1:]
    workflows["first_way"] = [first_way[id(mine)] for mine in instance.ways]
    workflows["last_way"] = workflows["first_way"] + _ints(map(len, instance.ways))
    workflows["group"] = [queue.setdefault(group, len(queue)) for group in groups(instance)]
    return workflows


def _ways(instance: Instance, ways: Sequence[Way]) -> Records:
    nodes: dict[tuple[int, bool, int | None], int] = {}
    same_nodes = [
        nodes.setdefault((w.partition, w.shape.exclusive, w.shape.most_nodes), len(nodes))
        for w in ways
    ]
    of_rank = np.unique([w.shape.memory / w.shape.ranks for w in ways], return_inverse=True)[1]
    rows = [
        (
            w.partition, w.tier, w.duration, w.shortest, w.cores, w.shape.ranks, w.shape.threads,
            w.shape.memory, w.shape.gpus, w.shape.exclusive,
            NONE if w.shape.most_nodes is None else w.shape.most_nodes, w.shape.full, w.kind,
            same, order,
        )
        for w, same, order in zip(ways, same_nodes, of_rank.tolist(), strict=True)
    ]  # fmt: skip
    rows += [
        (
            b.partition, b.tier, b.finish - b.start, 0, b.cores, b.shape.ranks, b.shape.threads,
            b.shape.memory, b.shape.gpus, b.shape.exclusive, NONE, 0, 0, 0, 0,
        )
        for b in instance.begun
    ]  # fmt: skip
    return np.array(rows, dtype=WAY)


def _too_large(instance: Instance) -> bool:
    """Whether a time, an amount, or memory times ranks might not fit into 64 bits."""
    partitions, begun = instance.cluster.by_partition, instance.begun
    times = [instance.start, *instance.release]
    times += [r.finish for r in instance.reservations] + [b.finish for b in begun]
    latest = max(times) + sum(max(way.duration for way in ways) for ways in instance.ways)
    amounts = sum(p.nodes * (p.cores + p.memory + p.gpus) for p in partitions.values())
    amounts += sum(
        sum(load) for r in instance.reservations for _, load in r.loads(partitions[r.partition])
    )
    amounts += sum(
        b.cores + b.shape.memory + ranks * max(b.shape.threads, b.shape.gpus)
        for b in begun
        for _, ranks in b.rooms
    )
    most_ranks = max(way.shape.ranks for ways in instance.ways for way in ways)
    most_ranks = max(most_ranks, *(b.shape.ranks for b in begun), 1)
    return max(latest, amounts * most_ranks) >= LARGEST


def order_and_rank(priority: Priority) -> tuple[Ints, Ints]:
    """Return the numbers of workflows, the least priority value first; and the place of each."""
    order = _ints(sorted(range(len(priority)), key=priority.__getitem__))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return order, rank


def _ints(numbers: Iterable[int]) -> Ints:
    return np.array([*numbers], dtype=np.int64)
