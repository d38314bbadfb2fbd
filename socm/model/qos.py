"""A quality of service: the limits under which jobs run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from socm.model.allowance import Allowance
from socm.model.campaign import Budget
from socm.model.partition import Partition
from socm.model.site import SitePart
from socm.units import format_count
from socm.words import count


class JobLimit(NamedTuple):
    """The most nodes or cores that one job may have, and in words whose limit that is."""

    what: Literal["nodes", "cores"]
    most: int
    owner: str


@dataclass(frozen=True, kw_only=True)
class Qos(Allowance, SitePart):
    """A quality of service: limits on what a user may have at once, and for how long.

    Parameters
    ----------
    name
        Empty on a cluster without QOS.
    partitions
        Where it may be used; empty is everywhere.
    walltime, running_jobs, submit_jobs, cores, cores_per_job, nodes_per_job
        As for an `Allowance`.
    over_partition_walltime
        Whether its jobs may be longer than those of a partition usually may.
    over_partition_limits
        Whether its limits count before those that a partition has for all jobs.
    charge
        What is charged for a core-hour.
    exclusive
        Whether its jobs get whole nodes.
    debug, preemptible, send, slurm_name, accounts, options, source, checked, note
        As for a `SitePart`.
    """

    partitions: tuple[str, ...] = ()
    over_partition_walltime: bool = False
    over_partition_limits: bool = False
    charge: float = 1.0
    exclusive: bool = False

    def __post_init__(self) -> None:
        try:
            super().__post_init__()
        except ValueError as error:
            raise ValueError(f"QOS {self.name!r}: {error}") from None
        if not 0 <= self.charge <= 1000:
            raise ValueError(f"QOS {self.name!r}: charge lies between 0 and 1000")

    def usable_on(self, partition: Partition) -> bool:
        """Whether jobs of this QOS may run on a partition."""
        return not self.partitions or partition.name in self.partitions

    def limits(self, partition: Partition, budget: Budget | None = None) -> list[JobLimit]:
        """List what bounds the size of one job on a partition: nodes there, QOS, budget."""
        budget = budget or Budget()
        limits: list[tuple[Literal["nodes", "cores"], int | None, str]] = [
            ("nodes", partition.nodes, f"{partition.name} has"),
            ("nodes", self.nodes_per_job, "a job may have"),
            ("nodes", budget.nodes, "the budget is"),
            ("cores", self.cores_per_job, "a job may have"),
            ("cores", self.cores, "its jobs may have"),
            ("cores", budget.cores, "the budget is"),
        ]
        return [JobLimit(what, most, owner) for what, most, owner in limits if most is not None]

    def refusals(
        self, partition: Partition, *, nodes: int, cores: int, budget: Budget | None = None
    ) -> Iterator[str]:
        """Yield why a job of this size is too large or small here; nothing if it is admitted."""
        least = partition.least_nodes_per_job
        if nodes < least:
            yield f"runs on {count(nodes, 'node')}, a job there has at least {least}"
        for what, most, owner in self.limits(partition, budget):
            need = nodes if what == "nodes" else cores
            if need > most:
                yield f"needs {format_count(need)} {what}, {owner} {format_count(most)}"
