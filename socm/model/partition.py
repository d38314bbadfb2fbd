"""Nodes of one kind, as SLURM groups them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from socm.model.allowance import Allowance
from socm.model.campaign import ResourceRequest
from socm.model.demand import Amounts, Demand
from socm.model.site import SitePart

MOST_NODES = 100_000
LARGEST = 10**9


@dataclass(frozen=True, kw_only=True)
class Partition(SitePart):
    """Nodes of one kind.

    Parameters
    ----------
    nodes
        Number of nodes.
    cores, threads_per_core, memory, gpus
        Of each node: physical cores, hardware threads per core, usable MB, GPUs.
    speed
        Work per second relative to the node that runtimes were measured on.
    exclusive
        Whether jobs get whole nodes.
    walltime
        Longest limit of a job in seconds, or `None`.
    nodes_per_job, least_nodes_per_job
        The most nodes that one job may have, and the fewest.
    limits
        Of all jobs there; each counts before the same limit of a QOS.
    nodes_of, first_node
        The set of nodes that it shares with other partitions, and the number of its first one
        there; without, its nodes are its own.
    memory_per_core
        The most MB that a job may have for each of its cores; one that needs more gets more cores.
    default_memory_per_core
        MB for each core of a job that does not say how much memory it needs.
    account_suffix
        What accounts end in whose jobs are there; it is added to those that do not.
    slurm_name
        A partition of SLURM may have nodes of several kinds, and each kind is a partition here.
    debug, preemptible, send, accounts, options, source, checked, note
        As for a `SitePart`.
    """

    nodes: int
    cores: int
    threads_per_core: int = 1
    memory: int
    gpus: int = 0
    speed: float = 1.0
    exclusive: bool = False
    walltime: int | None = None
    nodes_per_job: int | None = None
    least_nodes_per_job: int = 1
    limits: Allowance | None = None
    memory_per_core: int | None = None
    default_memory_per_core: int | None = None
    nodes_of: str | None = None
    first_node: int = 0
    account_suffix: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.nodes <= MOST_NODES:
            raise ValueError(f"partition {self.name!r}: nodes lie between 1 and {MOST_NODES}")
        for what in ("cores", "threads_per_core", "memory"):
            if not 1 <= getattr(self, what) <= LARGEST:
                raise ValueError(f"partition {self.name!r}: {what} is not between 1 and {LARGEST}")
        if not 0 <= self.gpus <= LARGEST or not 1e-3 <= self.speed <= 1e3:
            raise ValueError(f"partition {self.name!r}: gpus or speed is out of range")
        if self.walltime is not None and self.walltime < 1:
            raise ValueError(f"partition {self.name!r}: walltime is at least a second")
        if not 0 <= self.first_node <= MOST_NODES:
            raise ValueError(f"partition {self.name!r}: first_node lies between 0 and {MOST_NODES}")
        most = self.nodes_per_job or self.nodes
        if not 1 <= self.least_nodes_per_job <= min(most, self.nodes):
            raise ValueError(f"partition {self.name!r}: least_nodes_per_job is out of range")
        for what in ("nodes_per_job", "memory_per_core", "default_memory_per_core"):
            if (amount := getattr(self, what)) is not None and not 1 <= amount <= LARGEST:
                raise ValueError(f"partition {self.name!r}: {what} is not between 1 and {LARGEST}")

    @cached_property
    def node(self) -> Amounts:
        """What each node has."""
        return Amounts(self.cores, self.memory, self.gpus)

    @property
    def home(self) -> str:
        """The name of the set of nodes that its nodes are of."""
        return self.nodes_of or self.name

    @property
    def numbers(self) -> range:
        """The numbers of its nodes in that set."""
        return range(self.first_node, self.first_node + self.nodes)

    def demand(self, request: ResourceRequest, *, exclusive: bool = False) -> Demand:
        """Return what a request needs of these nodes."""
        exclusive = exclusive or request.whole_memory
        threads = request.cores(self.threads_per_core)
        if not exclusive:
            threads = max(threads, self.cores_for(request.memory, request.ranks))
        return Demand(request.ranks, threads, request.memory, request.gpus, exclusive)

    def cores_for(self, memory: int, ranks: int) -> int:
        """Return the cores of each rank without which these MB of all ranks are not given.

        Examples
        --------
        >>> cpu = Partition(name="cpu", nodes=2, cores=8, memory=1000, memory_per_core=100)
        >>> cpu.cores_for(401, ranks=2)
        3
        """
        return 1 if self.memory_per_core is None else -(-memory // (ranks * self.memory_per_core))

    def ranks_per_node(self, request: ResourceRequest) -> int:
        """Return how many ranks of a request fit on an empty node; 0 if not even one does."""
        return self.demand(request).ranks_within(*self.node)
