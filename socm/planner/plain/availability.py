"""Free capacity at one instant, on nodes and under limits, for the parallel scheme."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from socm.model.demand import Amounts
from socm.model.partition import Partition
from socm.planner.instance import Begun, IndexedMode, Instance, NodeRanks, usable_nodes
from socm.planner.instance import Counts as CountedBy

Counts = NDArray[np.int64]


class Running(NamedTuple):
    """A running workflow: its nodes, and what it uses of each until it ends."""

    finish: int
    partition: int
    counted: CountedBy  # what counts against limits
    nodes: Counts
    ranks: Counts
    cores: Counts
    memory: Counts
    gpus: Counts


class Nodes:
    """Free cores, MB and GPUs of the nodes of one partition."""

    def __init__(self, whole: Amounts, cores: Counts, memory: Counts, gpus: Counts) -> None:
        self.whole = whole
        self.cores, self.memory, self.gpus = cores, memory, gpus

    @classmethod
    def idle(cls, partition: Partition, count: int) -> Nodes:
        """Return a number of idle nodes."""
        return cls(partition.node, *(np.full(count, amount) for amount in partition.node))

    def least(self, other: Nodes) -> Nodes:
        """Return what is free in both states."""
        return Nodes(
            self.whole,
            np.minimum(self.cores, other.cores),
            np.minimum(self.memory, other.memory),
            np.minimum(self.gpus, other.gpus),
        )

    def after(self, jobs: Sequence[Running]) -> Nodes:
        """Return what is free once some workflows have ended."""
        where = np.concatenate([job.nodes for job in jobs])
        freed = (
            np.concatenate([job.cores for job in jobs]),
            np.concatenate([job.memory for job in jobs]),
            np.concatenate([job.gpus for job in jobs]),
        )
        return Nodes(
            self.whole,
            *(
                now + np.bincount(where, amount, len(now)).astype(np.int64)
                for now, amount in zip((self.cores, self.memory, self.gpus), freed, strict=True)
            ),
        )

    def update(self, where: Counts, one: Nodes, other: Nodes) -> None:
        """Set what is free on some nodes to what is free in both states."""
        for what in ("cores", "memory", "gpus"):
            of_one, of_other = getattr(one, what)[where], getattr(other, what)[where]
            getattr(self, what)[where] = np.minimum(of_one, of_other)

    def fitting(self, mode: IndexedMode) -> tuple[Counts, Counts]:
        """Return the nodes on which ranks fit, and how many: `Demand.ranks_within` for arrays.

        Where the number of nodes is limited, these are the nodes on which most ranks fit.
        """
        ranks, threads, memory, gpus, exclusive = mode.demand
        if exclusive:
            has = (self.cores == self.whole.cores) & (self.memory == self.whole.memory)
            nodes = (has & (self.gpus == self.whole.gpus)).nonzero()[0]
            fit = np.full(len(nodes), mode.ranks_per_node)
        else:
            has = self.cores >= threads
            if memory:
                has &= self.memory >= -(-memory // ranks)
            if gpus:
                has &= self.gpus >= gpus
            nodes = has.nonzero()[0]
            fit = self.cores[nodes] // threads
            if memory:
                fit = np.minimum(fit, self.memory[nodes] * ranks // memory)
            if gpus:
                fit = np.minimum(fit, self.gpus[nodes] // gpus)
        if mode.most_nodes is not None:
            order = np.argsort(-fit, kind="stable")[: mode.most_nodes]
            nodes, fit = nodes[order], fit[order]
        return nodes, fit

    def change(self, job: Running, sign: int) -> None:
        """Release the nodes of a workflow, or allocate them with a sign of -1."""
        self.cores[job.nodes] += sign * job.cores
        self.memory[job.nodes] += sign * job.memory
        self.gpus[job.nodes] += sign * job.gpus


class Shadow(NamedTuple):
    """The reservation of the first workflow that does not fit now (EASY backfilling).

    Parameters
    ----------
    time
        When it will fit.
    spare
        What it leaves free at that time.
    now
        What is free both now and, beside it, at that time.
    """

    workflow: int
    partition: int
    time: int
    spare: Nodes
    now: Nodes


class Misfit(NamedTuple):
    """A demand that does not fit at this instant; then no larger one does."""

    partition: int
    shadowed: bool
    ranks: int
    threads: int
    memory: float  # of a rank
    gpus: int


class Availability:
    """What is free at one instant on the nodes of a cluster, and under each limit."""

    def __init__(self, instance: Instance) -> None:
        cluster = instance.cluster
        self._names = [
            np.array(usable_nodes(p, instance.node_budget, (), instance.fixed))
            for p in cluster.partitions
        ]
        self._nodes = [
            Nodes.idle(p, len(names))
            for p, names in zip(cluster.partitions, self._names, strict=True)
        ]
        # Free cores and MB of all nodes: where these are too few, no single node need be looked at.
        self._all = [[int(n.cores.sum()), int(n.memory.sum())] for n in self._nodes]
        self._jobs_on = [np.zeros(len(names), dtype=np.int64) for names in self._names]
        self._most_busy = instance.node_budget if len(cluster.partitions) > 1 else None
        self._left = [*instance.limits]
        self._shadow: Shadow | None = None
        self.misfits: list[Misfit] = []
        self.running: dict[int, Running] = {}
        """Running workflows by number; those of fixed workflows are negative."""
        self._ending: list[list[Running]] = [[] for _ in cluster.partitions]
        """Those of each partition, the first to end first."""
        for number, begun in enumerate(instance.begun, 1):
            if begun.finish > instance.start:
                names = self._names[begun.partition].tolist()
                nodes = np.array([names.index(node) for node, _ in begun.placements])
                ranks = np.array([ranks for _, ranks in begun.placements])
                self.allocate(-number, self._job(begun, begun.finish, nodes, ranks))

    def advance(self, now: int) -> None:
        """Set the time."""
        self._now = now
        self.misfits.clear()
        if self._shadow is not None and self._shadow.time <= now:
            self._shadow = None
        for ending in self._ending:
            while ending and ending[0].finish <= now:
                del ending[0]

    def fit(self, modes: Sequence[IndexedMode], k: int) -> tuple[IndexedMode, Running] | None:
        """Return the mode that fits now and ends first, with its nodes; of equals the smallest QOS.

        If only nodes are missing, and no other workflow has a reservation, this one gets one.
        """
        best: tuple[IndexedMode, Running] | None = None
        crowded: IndexedMode | None = None
        for mode in modes:
            if best is not None and mode.duration >= best[0].duration:
                continue
            if any(amount > self._left[number] for number, amount in mode.counts):
                continue
            job = self._fit(mode, k)
            if job is not None:
                best = mode, job
            elif crowded is None:
                crowded = mode
        if best is None and crowded is not None and self._shadow is None:
            self._shadow = self._reservation(crowded, k)
        return best

    def _fit(self, mode: IndexedMode, k: int) -> Running | None:
        """Place a mode on the first nodes on which ranks fit; `None` if there are too few."""
        partition, demand = mode.partition, mode.demand
        ranks, threads, memory, gpus, exclusive = demand
        cores_left, memory_left = self._all[partition]
        if ranks * threads > cores_left or memory > memory_left:
            return None
        finish, shadow, nodes = self._now + mode.duration, self._shadow, self._nodes[partition]
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
        where, fit = (shadow.now if shadow and shadowed else nodes).fitting(mode)
        if self._most_busy is not None:
            order = np.argsort(self._jobs_on[partition][where] == 0, kind="stable")
            where, fit = where[order], fit[order]
        placed = _filled(where, fit, ranks)
        if placed is None:
            if mode.most_nodes is None and not exclusive:
                self.misfits.append(Misfit(partition, shadowed, ranks, threads, per_rank, gpus))
            return None
        if self._most_busy is not None:
            busy = sum(int((jobs > 0).sum()) for jobs in self._jobs_on)
            if busy + int((self._jobs_on[partition][placed[0]] == 0).sum()) > self._most_busy:
                return None
        return self._job(mode, finish, *placed)

    def _reservation(self, mode: IndexedMode, k: int) -> Shadow | None:
        """Find when a mode will fit, and what it then leaves to others."""
        ending, now = self._ending[mode.partition], self._nodes[mode.partition]
        if not ending:
            return None

        def fits_after(count: int) -> bool:
            return bool(now.after(ending[:count]).fitting(mode)[1].sum() >= mode.demand.ranks)

        # The first few that end often suffice, so the search begins there.
        too_few, enough = 0, 1
        while enough < len(ending) and not fits_after(enough):
            too_few, enough = enough, min(2 * enough, len(ending))
        while enough - too_few > 1:
            count = (too_few + enough) // 2
            if fits_after(count):
                enough = count
            else:
                too_few = count
        spare = now.after(ending[:enough])
        placed = _filled(*spare.fitting(mode), mode.demand.ranks)
        if placed is None:
            return None
        spare.change(self._job(mode, 0, *placed), -1)
        return Shadow(k, mode.partition, ending[enough - 1].finish, spare, now.least(spare))

    def _job(self, mode: IndexedMode | Begun, finish: int, nodes: Counts, ranks: Counts) -> Running:
        demand, whole = mode.demand, self._nodes[mode.partition].whole
        # An array of ranks gives arrays; of exclusive nodes it would give numbers.
        load: Any = (
            (np.full(len(nodes), amount) for amount in whole)
            if demand.exclusive
            else demand.load(cast(int, ranks), whole)
        )
        return Running(finish, mode.partition, mode.counts, nodes, ranks, *load)

    def allocate(self, k: int, job: Running) -> None:
        """Allocate nodes and limits to a workflow."""
        self.running[k] = job
        insort(self._ending[job.partition], job, key=lambda other: other.finish)
        shadow = self._shadow
        if shadow is not None and shadow.workflow == k:
            self._shadow = None
        elif shadow is not None and shadow.partition == job.partition and job.finish > shadow.time:
            shadow.spare.change(job, -1)
        self._change(job, -1)

    def release(self, k: int) -> None:
        """Release the nodes and limits of a workflow."""
        self._change(self.running.pop(k), 1)

    def _change(self, job: Running, sign: int) -> None:
        nodes, shadow = self._nodes[job.partition], self._shadow
        nodes.change(job, sign)
        if shadow is not None and shadow.partition == job.partition:
            shadow.now.update(job.nodes, nodes, shadow.spare)
        self._jobs_on[job.partition][job.nodes] -= sign
        free = self._all[job.partition]
        free[0] += sign * int(job.cores.sum())
        free[1] += sign * int(job.memory.sum())
        for number, amount in job.counted:
            self._left[number] += sign * amount

    def placements(self, job: Running) -> NodeRanks:
        """Return the nodes of a workflow, numbered within the partition, and the ranks on each."""
        names = self._names[job.partition]
        return [*zip(names[job.nodes].tolist(), job.ranks.tolist(), strict=True)]


def _filled(nodes: Counts, fit: Counts, ranks: int) -> tuple[Counts, Counts] | None:
    """Fill nodes in order until every rank has a place; `None` if there are too few."""
    filled = fit.cumsum()
    if not len(filled) or filled[-1] < ranks:
        return None
    last = int(filled.searchsorted(ranks))
    placed = fit[: last + 1].copy()
    placed[-1] -= filled[last] - ranks
    return nodes[: last + 1], placed
