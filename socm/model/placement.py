"""Where and when one workflow runs, and what is reserved for others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from socm.model.demand import Amounts
from socm.model.partition import Partition


class Placement(NamedTuple):
    """Ranks on one node; the node is an index within its partition."""

    partition: str
    node: int
    ranks: int


@dataclass(frozen=True, kw_only=True)
class PlannedWorkflow:
    """The place of one workflow in a plan.

    Parameters
    ----------
    name
        Name of the workflow in the campaign.
    partition, qos
        Where it is submitted; `qos` is `None` on a cluster without QOS.
    placements
        Its ranks, node by node.
    threads
        Physical cores of a rank.
    exclusive
        Whether it shares its nodes with no other job.
    cores
        Cores that count against limits: those of its ranks, or of whole nodes.
    start, finish
        Whole seconds since the start of the campaign.
    walltime
        The limit that is asked for, in seconds.
    upward_rank
        Seconds from its start to the end of the campaign along the longest path of dependencies.
    fixed
        It has run or is running: its times are what they were, not what was expected.
    """

    name: str
    partition: str
    qos: str | None
    placements: tuple[Placement, ...]
    threads: int
    exclusive: bool
    cores: int
    start: int
    finish: int
    walltime: int
    upward_rank: float = 0.0
    fixed: bool = False

    @property
    def duration(self) -> int:
        """Seconds between start and finish."""
        return self.finish - self.start

    @property
    def nodes(self) -> tuple[tuple[str, int], ...]:
        """The nodes that it runs on."""
        return tuple([(partition, node) for partition, node, _ in self.placements])


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """Capacity that the campaign may not use for a while: maintenance, or jobs of others.

    Parameters
    ----------
    partition, node
        Where; a node of `None` is every node of the partition.
    start, finish
        Seconds since the start of the campaign.
    cores, memory, gpus
        What is reserved on each node; `None` is all of it.
    maintenance
        Whether no job may start there that could still run when it begins, by its walltime.

    Raises
    ------
    ValueError
        If it ends before it starts, or an amount is negative.
    """

    partition: str
    node: int | None = None
    start: int
    finish: int
    cores: int | None = None
    memory: int | None = None
    gpus: int | None = None
    maintenance: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.finish <= 10**12:
            raise ValueError("a reservation starts at 0 or later, and ends after it starts")
        if any(x is not None and x < 0 for x in (self.node, self.cores, self.memory, self.gpus)):
            raise ValueError("the node and the amounts of a reservation are at least 0")

    def loads(self, partition: Partition) -> Iterator[tuple[int, Amounts]]:
        """Yield each node that it concerns, with what it reserves there."""
        cores = partition.cores if self.cores is None else self.cores
        memory = partition.memory if self.memory is None else self.memory
        gpus = partition.gpus if self.gpus is None else self.gpus
        for node in partition.numbers if self.node is None else (self.node,):
            yield node, Amounts(cores, memory, gpus)


def peak(workflows: Iterable[PlannedWorkflow], amount: Callable[[PlannedWorkflow], int]) -> int:
    """Return the most of something that is in use at once."""
    changes = sorted(
        change for w in workflows for change in ((w.start, 1, amount(w)), (w.finish, 0, -amount(w)))
    )
    used = most = 0
    for _, _, delta in changes:
        used += delta
        most = max(most, used)
    return most


def peak_nodes(workflows: Iterable[PlannedWorkflow]) -> int:
    """Return the most distinct nodes that are in use at once."""
    changes = sorted(
        change
        for w in workflows
        for node in w.nodes
        for change in ((w.start, 1, node), (w.finish, 0, node))
    )
    jobs: dict[tuple[str, int], int] = defaultdict(int)
    busy = most = 0
    for _, starts, node in changes:
        before = jobs[node]
        jobs[node] += 1 if starts else -1
        busy += (jobs[node] > 0) - (before > 0)
        most = max(most, busy)
    return most
