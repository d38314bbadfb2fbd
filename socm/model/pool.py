"""The free capacity of each node at one instant: allocates nodes where no SLURM does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from socm.model.cluster import Cluster
from socm.model.demand import Demand
from socm.model.partition import Partition
from socm.model.placement import Placement, Reservation


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
    >>> from socm.model.partition import Partition
    >>> cpu = Partition(name="cpu", nodes=2, cores=8, memory=1000)
    >>> pool = NodePool(Cluster(name="small", partitions=(cpu,)))
    >>> demand = Demand(ranks=3, threads=4, memory=300)
    >>> placements = pool.fit(demand, "cpu")
    >>> [(p.node, p.ranks) for p in placements]
    [(0, 2), (1, 1)]
    >>> pool.allocate(demand, placements)
    >>> pool.fit(demand, "cpu") is None
    True
    """

    def __init__(self, cluster: Cluster) -> None:
        self._partitions = cluster.by_partition
        # Of each set of nodes, which several partitions may share.
        self._nodes: dict[str, dict[int, _Node]] = {}
        self._sharing: dict[str, list[Partition]] = {}
        for p in cluster.partitions:
            nodes = self._nodes.setdefault(p.home, {})
            for number in p.numbers:
                nodes.setdefault(number, _Node(p.cores, p.memory, p.gpus))
            self._sharing.setdefault(p.home, []).append(p)
        # Cores and MB that are free on all nodes together.
        self._free = {p.name: (p.nodes * p.cores, p.nodes * p.memory) for p in cluster.partitions}

    def copy(self) -> NodePool:
        """Return a pool with the same free capacity that changes independently."""
        other = object.__new__(NodePool)
        other._partitions = self._partitions
        other._nodes = {
            home: {k: _Node(n.cores, n.memory, n.gpus, n.jobs) for k, n in nodes.items()}
            for home, nodes in self._nodes.items()
        }
        other._sharing = self._sharing
        other._free = self._free.copy()
        return other

    def fit(
        self,
        demand: Demand,
        partition: str,
        preferred: Sequence[Placement] = (),
        barred: frozenset[int] = frozenset(),
        most_nodes: int | None = None,
        among: frozenset[int] = frozenset(),
    ) -> tuple[Placement, ...] | None:
        """Find room for a job: on the preferred nodes if they have it, else first fit.

        Parameters
        ----------
        preferred
            Placements to honour where they are free.
        barred
            Nodes of the partition that may not be used.
        most_nodes
            The most nodes that the job may span; where the first have too little room for that, the
            emptiest come first.
        among
            Nodes of the partition that are to be used before others, if it has any.

        Returns
        -------
        tuple of Placement or None
            `None` if there is no room now.
        """
        cores, memory = self._free[partition]
        if demand.ranks * demand.threads > cores or demand.memory > memory:
            return None
        home = self._partitions[partition].home
        nodes, mine = self._nodes[home], self._partitions[partition].numbers
        if (
            preferred
            and among <= {p.node for p in preferred}
            and all(
                p.partition == home
                and p.node in mine
                and p.node not in barred
                and self._room(demand, partition, nodes[p.node]) >= p.ranks
                for p in preferred
            )
        ):
            return tuple(preferred)
        if not among:
            placements = _distributed(demand.ranks, home, self._rooms(demand, partition, barred))
            if placements is None or most_nodes is None or len(placements) <= most_nodes:
                return placements
        rooms = [*self._rooms(demand, partition, barred)]
        if not among <= {node for node, _ in rooms}:
            return None
        rooms.sort(key=lambda x: (x[0] not in among, -x[1]))
        return _distributed(demand.ranks, home, rooms[:most_nodes])

    def allocate(self, demand: Demand, placements: Iterable[Placement]) -> None:
        """Allocate nodes to a job."""
        self._change(demand, placements, -1)

    def release(self, demand: Demand, placements: Iterable[Placement]) -> None:
        """Free what was allocated to a job that is over."""
        self._change(demand, placements, +1)

    def reserve(self, reservation: Reservation, sign: int = 1) -> None:
        """Reserve capacity; with a sign of -1, free it again.

        Jobs that run there go on; until they are over, the free amounts may be negative.
        """
        partition = self._partitions[reservation.partition]
        for index, (cores, memory, gpus) in reservation.loads(partition):
            node = self._nodes[partition.home][index]
            node.cores -= sign * cores
            node.memory -= sign * memory
            node.gpus -= sign * gpus
            self._add_free(partition.home, index, -sign * cores, -sign * memory)

    def _add_free(self, home: str, node: int, cores: int, memory: int) -> None:
        for partition in self._sharing[home]:
            if node in partition.numbers:
                free_cores, free_memory = self._free[partition.name]
                self._free[partition.name] = (free_cores + cores, free_memory + memory)

    def _rooms(
        self, demand: Demand, partition: str, barred: frozenset[int]
    ) -> Iterable[tuple[int, int]]:
        """Yield the nodes that have room for ranks now, and for how many."""
        threads = demand.threads
        nodes = self._nodes[self._partitions[partition].home]
        for index in self._partitions[partition].numbers:
            node = nodes[index]
            if node.cores >= threads and index not in barred:
                room = self._room(demand, partition, node)
                if room > 0:
                    yield index, room

    def _room(self, demand: Demand, partition: str, node: _Node) -> int:
        """Return how many ranks fit on a node now."""
        if demand.exclusive and (node.jobs or node.cores < self._partitions[partition].cores):
            return 0
        return demand.ranks_within(node.cores, node.memory, node.gpus)

    def _change(self, demand: Demand, placements: Iterable[Placement], sign: int) -> None:
        for home, index, ranks in placements:
            cores, memory, gpus = demand.load(ranks, self._sharing[home][0].node)
            node = self._nodes[home][index]
            node.cores += sign * cores
            node.memory += sign * memory
            node.gpus += sign * gpus
            node.jobs -= sign
            self._add_free(home, index, sign * cores, sign * memory)


def _distributed(
    ranks: int, partition: str, rooms: Iterable[tuple[int, int]]
) -> tuple[Placement, ...] | None:
    """Fill nodes in the order given until every rank has a node; `None` if some have none."""
    placements = []
    for node, room in rooms:
        placements.append(Placement(partition, node, min(room, ranks)))
        ranks -= room
        if ranks <= 0:
            return tuple(placements)
    return None
