"""What a rigid job needs of its nodes: the only place that says what its ranks take of them."""

from __future__ import annotations

from typing import NamedTuple


class Amounts(NamedTuple):
    """Cores, MB of memory and GPUs: of a node, of what is free on it, or of what a job takes."""

    cores: int
    memory: int
    gpus: int


class Demand(NamedTuple):
    """The ranks of a job, and what they need of the nodes that they run on.

    Only the check of a plan (`socm.model.occupancy`) and the planner's arrays work this out
    themselves: the first to be independent, the second for speed.

    Parameters
    ----------
    ranks, threads
        Processes, and physical cores of each. A rank is never split over nodes.
    memory
        MB of all ranks together.
    gpus
        GPUs of each rank.
    exclusive
        Whether the job gets whole nodes.

    Examples
    --------
    >>> node = Amounts(cores=8, memory=1000, gpus=0)
    >>> demand = Demand(ranks=3, threads=2, memory=100)
    >>> demand.load(2, node)
    Amounts(cores=4, memory=67, gpus=0)
    >>> demand.ranks_within(*node)
    4
    >>> demand.cores(nodes=1, node=node), demand._replace(exclusive=True).cores(nodes=1, node=node)
    (6, 8)
    """

    ranks: int = 1
    threads: int = 1
    memory: int = 0
    gpus: int = 0
    exclusive: bool = False

    def load(self, ranks: int, node: Amounts) -> Amounts:
        """Return what this number of ranks takes of one node; an exclusive job takes all of it."""
        if self.exclusive:
            return node
        return Amounts(
            ranks * self.threads, -(-ranks * self.memory // self.ranks), ranks * self.gpus
        )

    def ranks_within(self, cores: int, memory: int, gpus: int) -> int:
        """Return how many ranks these cores, MB and GPUs of one node suffice for."""
        fitting = cores // self.threads
        if self.memory:
            fitting = min(fitting, memory * self.ranks // self.memory)
        if self.gpus:
            fitting = min(fitting, gpus // self.gpus)
        return fitting

    def cores(self, nodes: int, node: Amounts) -> int:
        """Return the cores that count against limits: of the ranks, or of whole nodes."""
        return nodes * node.cores if self.exclusive else self.ranks * self.threads
