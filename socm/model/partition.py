"""Nodes of one kind, as SLURM groups them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

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
    slurm_name
        Its name in SLURM, where that differs: a partition of SLURM may have nodes of several
        kinds, and each kind is a partition here.
    debug, preemptible, send, options, source, checked, note
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
    slurm_name: str | None = None

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

    @cached_property
    def node(self) -> Amounts:
        """What each node has."""
        return Amounts(self.cores, self.memory, self.gpus)

    def demand(self, request: ResourceRequest, *, exclusive: bool = False) -> Demand:
        """Return what a request needs of these nodes."""
        threads = request.cores(self.threads_per_core)
        return Demand(request.ranks, threads, request.memory, request.gpus, exclusive)

    def ranks_per_node(self, request: ResourceRequest) -> int:
        """Return how many ranks of a request fit on an empty node; 0 if not even one does."""
        return self.demand(request).ranks_within(*self.node)
