"""What is free on each node at one instant: the one allocator of whoever runs jobs itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from socm.model.cluster import Cluster, Partition
from socm.model.plan import Placement, Reservation


class Load(Protocol):
    """What a job puts on nodes; a job of any backend has these."""

    @property
    def partition(self) -> str:
        """Where it is to run."""
        ...

    @property
    def ranks(self) -> int:
        """Processes."""
        ...

    @property
    def threads(self) -> int:
        """Physical cores of each."""
        ...

    @property
    def memory(self) -> int:
        """MB of all of them."""
        ...

    @property
    def gpus(self) -> int:
        """GPUs of each."""
        ...

    @property
    def exclusive(self) -> bool:
        """Whether it needs its nodes for itself."""
        ...


@dataclass(slots=True)
class _Node:
    """What is free on a node, and how many jobs are on it."""

    cores: int
    memory: int
    gpus: int
    jobs: int = 0


class NodePool:
    """Free cores, memory and GPUs on the nodes of a cluster, now.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> cpu = Partition(name="cpu", nodes=2, cores=8, memory=1000)
    >>> pool = NodePool(Cluster(name="small", partitions=(cpu,)))
    >>> job = SimpleNamespace(
    ...     partition="cpu", ranks=3, threads=4, memory=300, gpus=0, exclusive=False
    ... )
    >>> placements = pool.fit(job)
    >>> [(p.node, p.ranks) for p in placements]
    [(0, 2), (1, 1)]
    >>> pool.take(job, placements)
    >>> pool.fit(job) is None
    True
    """

    def __init__(self, cluster: Cluster) -> None:
        self._partitions = cluster.by_partition
        self._nodes = {
            p.name: [_Node(p.cores, p.memory, p.gpus) for _ in range(p.nodes)]
            for p in cluster.partitions
        }
        # Cores and MB that are free on all nodes together.
        self._free = {p.name: (p.nodes * p.cores, p.nodes * p.memory) for p in cluster.partitions}
        self.busy = 0
        """How many nodes have a job."""

    def copy(self) -> NodePool:
        """Return a pool with the same free capacity, to try things on."""
        other = object.__new__(NodePool)
        other._partitions = self._partitions
        other._nodes = {
            name: [_Node(n.cores, n.memory, n.gpus, n.jobs) for n in nodes]
            for name, nodes in self._nodes.items()
        }
        other._free = self._free.copy()
        other.busy = self.busy
        return other

    def fit(
        self,
        job: Load,
        preferred: Sequence[Placement] = (),
        barred: frozenset[int] = frozenset(),
        most_nodes: int | None = None,
        idle_nodes: int | None = None,
    ) -> tuple[Placement, ...] | None:
        """Find room for a job: on the preferred nodes if they have it, else first fit.

        Parameters
        ----------
        preferred
            Placements to honour where they are free.
        barred
            Nodes of the job's partition that may not be used.
        most_nodes
            The most nodes that it may span; then the emptiest come first.
        idle_nodes
            The most nodes without a job that it may take; then busy nodes come first.

        Returns
        -------
        tuple of Placement or None
            `None` if there is no room now.
        """
        cores, memory = self._free[job.partition]
        if job.ranks * job.threads > cores or job.memory > memory:
            return None
        nodes = self._nodes[job.partition]
        if (
            preferred
            and all(
                p.partition == job.partition
                and p.node not in barred
                and self._room(job, nodes[p.node]) >= p.ranks
                for p in preferred
            )
            and self._idle(job, preferred) <= (math.inf if idle_nodes is None else idle_nodes)
        ):
            return tuple(preferred)
        rooms = self._rooms(job, barred)
        if most_nodes is not None and most_nodes < len(nodes):
            rooms = sorted(rooms, key=lambda x: -x[1])[:most_nodes]
        if idle_nodes is not None:
            rooms = sorted(rooms, key=lambda x: not nodes[x[0]].jobs)
        placements = _deal(job, rooms)
        if placements is None or idle_nodes is None:
            return placements
        return placements if self._idle(job, placements) <= idle_nodes else None

    def _idle(self, job: Load, placements: Iterable[Placement]) -> int:
        """How many of the placements are on nodes without a job."""
        nodes = self._nodes[job.partition]
        return sum(not nodes[p.node].jobs for p in placements)

    def take(self, job: Load, placements: Iterable[Placement]) -> None:
        """Let a job have its nodes."""
        self._change(job, placements, -1)

    def give(self, job: Load, placements: Iterable[Placement]) -> None:
        """Take back what a job had."""
        self._change(job, placements, +1)

    def reserve(self, reservation: Reservation, sign: int = 1) -> None:
        """Take what is reserved, or give it back with a sign of -1.

        What runs there stays; until it is over, less than nothing is free.
        """
        name = reservation.partition
        for index, (cores, memory, gpus) in reservation.loads(self._partitions[name]):
            node = self._nodes[name][index]
            node.cores -= sign * cores
            node.memory -= sign * memory
            node.gpus -= sign * gpus
            self._add_free(name, -sign * cores, -sign * memory)

    def _add_free(self, partition: str, cores: int, memory: int) -> None:
        free_cores, free_memory = self._free[partition]
        self._free[partition] = (free_cores + cores, free_memory + memory)

    def _rooms(self, job: Load, barred: frozenset[int]) -> Iterable[tuple[int, int]]:
        """Yield the nodes with room for the job now, and the ranks that fit on each."""
        threads = job.threads
        for index, node in enumerate(self._nodes[job.partition]):
            if node.cores >= threads and index not in barred:
                room = self._room(job, node)
                if room > 0:
                    yield index, room

    def _room(self, job: Load, node: _Node) -> int:
        """Ranks of the job that fit on the node now."""
        if job.exclusive and (node.jobs or node.cores < self._partitions[job.partition].cores):
            return 0
        room = node.cores // job.threads
        if job.memory:
            room = min(room, node.memory * job.ranks // job.memory)
        if job.gpus:
            room = min(room, node.gpus // job.gpus)
        return room

    def _change(self, job: Load, placements: Iterable[Placement], sign: int) -> None:
        partition = self._partitions[job.partition]
        for placement in placements:
            cores, memory, gpus = load_on(job, placement.ranks, partition)
            node = self._nodes[placement.partition][placement.node]
            node.cores += sign * cores
            node.memory += sign * memory
            node.gpus += sign * gpus
            before = node.jobs
            node.jobs -= sign
            self.busy += (node.jobs > 0) - (before > 0)
            self._add_free(placement.partition, sign * cores, sign * memory)


def load_on(job: Load, ranks: int, partition: Partition) -> tuple[int, int, int]:
    """Cores, MB and GPUs that so many ranks of a job take on one node."""
    if job.exclusive:
        return partition.cores, partition.memory, partition.gpus
    return ranks * job.threads, -(-ranks * job.memory // job.ranks), ranks * job.gpus


def _deal(job: Load, rooms: Iterable[tuple[int, int]]) -> tuple[Placement, ...] | None:
    """Fill nodes in the order given until every rank has a place."""
    placements, left = [], job.ranks
    for node, room in rooms:
        ranks = min(room, left)
        placements.append(Placement(job.partition, node, ranks))
        left -= ranks
        if not left:
            return tuple(placements)
    return None
