"""A cluster at one instant: what is free on its nodes, and what limits still allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from socm.model.cluster import Partition
from socm.planner.capacity import usable_nodes
from socm.planner.instance import Begun, Instance, Rooms, Shape, Way

Counts = NDArray[np.int64]

UNLIMITED = 2**62


class Held(NamedTuple):
    """What something has until it ends: nodes of a partition, and what it takes of each."""

    finish: int
    partition: int
    tier: int
    counted: int  # cores that count against limits
    nodes: Counts
    ranks: Counts
    cores: Counts
    memory: Counts
    gpus: Counts


class Nodes:
    """Free cores, MB and GPUs of the nodes of one partition."""

    def __init__(self, whole: Sequence[int], cores: Counts, memory: Counts, gpus: Counts) -> None:
        self.whole = whole
        self.cores, self.memory, self.gpus = cores, memory, gpus

    @classmethod
    def of(cls, partition: Partition, count: int) -> Nodes:
        """Return so many idle nodes."""
        whole = (partition.cores, partition.memory, partition.gpus)
        return cls(whole, *(np.full(count, amount) for amount in whole))

    def least(self, other: Nodes) -> Nodes:
        """Return what is free in both."""
        return Nodes(
            self.whole,
            np.minimum(self.cores, other.cores),
            np.minimum(self.memory, other.memory),
            np.minimum(self.gpus, other.gpus),
        )

    def update(self, where: Counts, one: Nodes, other: Nodes) -> None:
        """Let what is free on some nodes be what is free in both."""
        for what in ("cores", "memory", "gpus"):
            of_one, of_other = getattr(one, what)[where], getattr(other, what)[where]
            getattr(self, what)[where] = np.minimum(of_one, of_other)

    def room(self, shape: Shape) -> tuple[Counts, Counts]:
        """Return the nodes with room, and the ranks that fit on each; the emptiest, if few may."""
        ranks, threads, memory, gpus, exclusive, most_nodes, full = shape
        if exclusive:
            has = (self.cores == self.whole[0]) & (self.memory == self.whole[1])
            nodes = (has & (self.gpus == self.whole[2])).nonzero()[0]
            room = np.full(len(nodes), full)
        else:
            has = self.cores >= threads
            if memory:
                has &= self.memory >= -(-memory // ranks)
            if gpus:
                has &= self.gpus >= gpus
            nodes = has.nonzero()[0]
            room = self.cores[nodes] // threads
            if memory:
                room = np.minimum(room, self.memory[nodes] * ranks // memory)
            if gpus:
                room = np.minimum(room, self.gpus[nodes] // gpus)
        if most_nodes is not None:
            order = np.argsort(-room, kind="stable")[:most_nodes]
            nodes, room = nodes[order], room[order]
        return nodes, room

    def change(self, held: Held, sign: int) -> None:
        """Give back what something has, or take it with a sign of -1."""
        self.cores[held.nodes] += sign * held.cores
        self.memory[held.nodes] += sign * held.memory
        self.gpus[held.nodes] += sign * held.gpus


class Shadow(NamedTuple):
    """What the first that does not fit leaves to others at the time at which it will."""

    workflow: int
    partition: int
    time: int
    spare: Nodes  # then
    now: Nodes  # the lesser of what is free then and now


class Misfit(NamedTuple):
    """A shape for which there is no room at this instant, nor is there for any larger one."""

    partition: int
    shadowed: bool
    ranks: int
    threads: int
    memory: float  # of a rank
    gpus: int


class Machine:
    """A cluster at one instant: its nodes, and what QOS and budget still allow."""

    def __init__(self, instance: Instance) -> None:
        cluster, budget = instance.cluster, instance.campaign.budget
        self._names = [
            np.array(usable_nodes(p, budget.nodes, (), instance.fixed)) for p in cluster.partitions
        ]
        self._nodes = [
            Nodes.of(p, len(names))
            for p, names in zip(cluster.partitions, self._names, strict=True)
        ]
        # Of all nodes together: where these do not do, no node need be looked at.
        self._all = [[int(n.cores.sum()), int(n.memory.sum())] for n in self._nodes]
        self._jobs_on = [np.zeros(len(names), dtype=np.int64) for names in self._names]
        self._most_busy = budget.nodes if len(cluster.partitions) > 1 else None
        self._cores = UNLIMITED if budget.cores is None else budget.cores
        self._jobs_of = [
            UNLIMITED if q.running_jobs is None else q.running_jobs for q in cluster.tiers
        ]
        self._cores_of = [UNLIMITED if q.cores is None else q.cores for q in cluster.tiers]
        self._shadow: Shadow | None = None
        self.misfits: list[Misfit] = []
        self.running: dict[int, Held] = {}
        """What runs, by number; what is fixed has negative ones."""
        for number, place in enumerate(instance.begun, 1):
            if place.finish > instance.start:
                names = self._names[place.partition].tolist()
                nodes = np.array([names.index(node) for node, _ in place.rooms])
                ranks = np.array([ranks for _, ranks in place.rooms])
                self.take(-number, self._hold(place, place.finish, nodes, ranks))

    def turn(self, now: int) -> None:
        """Go on to a time."""
        self._now = now
        self.misfits.clear()
        if self._shadow is not None and self._shadow.time <= now:
            self._shadow = None

    def fit(self, ways: Sequence[Way], k: int) -> tuple[Way, Held] | None:
        """Find the way with room now that ends first; of equals the smallest tier.

        If nodes are all that is missing, and nobody has them in prospect, this one gets them.
        """
        best: tuple[Way, Held] | None = None
        crowded: Way | None = None
        for way in ways:
            if best is not None and way.duration >= best[0].duration:
                continue
            if (
                way.cores > self._cores
                or way.cores > self._cores_of[way.tier]
                or not self._jobs_of[way.tier]
            ):
                continue
            held = self._fit(way, k)
            if held is not None:
                best = way, held
            elif crowded is None:
                crowded = way
        if best is None and crowded is not None and self._shadow is None:
            self._shadow = self._foresee(crowded, k)
        return best

    def _fit(self, way: Way, k: int) -> Held | None:
        """Find room on the first nodes that have some."""
        partition, shape = way.partition, way.shape
        ranks, threads, memory, gpus, *_ = shape
        cores_left, memory_left = self._all[partition]
        if ranks * threads > cores_left or memory > memory_left:
            return None
        finish, shadow, nodes = self._now + way.duration, self._shadow, self._nodes[partition]
        shadowed = (
            shadow is not None
            and shadow.workflow != k
            and shadow.partition == partition
            and finish > shadow.time
        )
        per_rank = memory / ranks
        for m in self.misfits:
            if (
                m.threads <= threads
                and m.ranks <= ranks
                and m.memory <= per_rank
                and m.gpus <= gpus
                and m.partition == partition
                and m.shadowed <= shadowed
            ):
                return None
        where, room = (shadow.now if shadow and shadowed else nodes).room(shape)
        if self._most_busy is not None:
            order = np.argsort(self._jobs_on[partition][where] == 0, kind="stable")
            where, room = where[order], room[order]
        dealt = _deal(where, room, ranks)
        if dealt is None:
            if shape.most_nodes is None and not shape.exclusive:
                self.misfits.append(Misfit(partition, shadowed, ranks, threads, per_rank, gpus))
            return None
        if self._most_busy is not None:
            busy = sum(int((jobs > 0).sum()) for jobs in self._jobs_on)
            if busy + int((self._jobs_on[partition][dealt[0]] == 0).sum()) > self._most_busy:
                return None
        return self._hold(way, finish, *dealt)

    def _foresee(self, way: Way, k: int) -> Shadow | None:
        """Find when nodes will have room for a way, and what they then have left for others."""
        ending = sorted(
            (has for has in self.running.values() if has.partition == way.partition),
            key=lambda has: has.finish,
        )
        if not ending:
            return None
        ends = np.cumsum([len(has.nodes) for has in ending])
        nodes = np.concatenate([has.nodes for has in ending])
        mine = self._nodes[way.partition]
        gains = [
            np.concatenate([getattr(has, what) for has in ending])
            for what in ("cores", "memory", "gpus")
        ]

        def after(count: int) -> Nodes:
            """What is free once the first so many have ended."""
            end = ends[count - 1]
            return Nodes(
                mine.whole,
                *(
                    now + np.bincount(nodes[:end], gain[:end], len(now)).astype(np.int64)
                    for now, gain in zip((mine.cores, mine.memory, mine.gpus), gains, strict=True)
                ),
            )

        too_few, enough = 0, len(ending)
        while enough - too_few > 1:
            count = (too_few + enough) // 2
            if after(count).room(way.shape)[1].sum() >= way.shape.ranks:
                enough = count
            else:
                too_few = count
        spare = after(enough)
        dealt = _deal(*spare.room(way.shape), way.shape.ranks)
        if dealt is None:
            return None
        spare.change(self._hold(way, 0, *dealt), -1)
        return Shadow(k, way.partition, ending[enough - 1].finish, spare, mine.least(spare))

    def _hold(self, way: Way | Begun, finish: int, nodes: Counts, ranks: Counts) -> Held:
        shape = way.shape
        if shape.exclusive:
            cores, memory, gpus = (
                np.full(len(nodes), amount) for amount in self._nodes[way.partition].whole
            )
        else:
            cores, gpus = ranks * shape.threads, ranks * shape.gpus
            memory = -(-ranks * shape.memory // shape.ranks)
        return Held(finish, way.partition, way.tier, way.cores, nodes, ranks, cores, memory, gpus)

    def take(self, k: int, held: Held) -> None:
        """Let something have its nodes."""
        self.running[k] = held
        shadow = self._shadow
        if shadow is not None and shadow.workflow == k:
            self._shadow = None
        elif (
            shadow is not None and shadow.partition == held.partition and held.finish > shadow.time
        ):
            shadow.spare.change(held, -1)
        self._change(held, -1)

    def give(self, k: int) -> None:
        """Take back what something had."""
        self._change(self.running.pop(k), 1)

    def _change(self, held: Held, sign: int) -> None:
        nodes, shadow = self._nodes[held.partition], self._shadow
        nodes.change(held, sign)
        if shadow is not None and shadow.partition == held.partition:
            shadow.now.update(held.nodes, nodes, shadow.spare)
        self._jobs_on[held.partition][held.nodes] -= sign
        free = self._all[held.partition]
        free[0] += sign * int(held.cores.sum())
        free[1] += sign * int(held.memory.sum())
        self._cores += sign * held.counted
        self._cores_of[held.tier] += sign * held.counted
        self._jobs_of[held.tier] += sign

    def rooms(self, held: Held) -> Rooms:
        """Name the nodes that something has, and the ranks on each."""
        names = self._names[held.partition]
        return [*zip(names[held.nodes].tolist(), held.ranks.tolist(), strict=True)]


def _deal(nodes: Counts, room: Counts, ranks: int) -> tuple[Counts, Counts] | None:
    """Fill the rooms in order until every rank has a place; `None` if there are too few."""
    filled = room.cumsum()
    if not len(filled) or filled[-1] < ranks:
        return None
    last = int(filled.searchsorted(ranks))
    dealt = room[: last + 1].copy()
    dealt[-1] -= filled[last] - ranks
    return nodes[: last + 1], dealt
