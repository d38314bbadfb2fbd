"""A mode of a workflow: what it takes on a partition under a QOS that admit it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from socm.model.campaign import Budget, ResourceRequest
from socm.model.demand import Amounts, Demand
from socm.model.partition import Partition
from socm.model.qos import Qos
from socm.units import MINUTE, format_count, format_walltime

WALLTIME_FACTOR = 1.5
"""Walltime over expected runtime, where the campaign gives no walltime."""


@dataclass(frozen=True, kw_only=True)
class Mode:
    """A mode of a workflow: a partition and a QOS that admit it, and what it takes there.

    Parameters
    ----------
    demand
        What the request needs of the nodes of the partition.
    ranks_per_node, fewest_nodes
        Ranks that fit on an empty node, and so the least number of nodes for all ranks.
    cores
        Cores that count against QOS limits, budget and charge.
    duration, walltime
        Expected seconds there, and the limit to ask for.
    capped
        Whether the walltime was cut to what the QOS allows.
    uses
        Counted resources of the campaign.
    """

    partition: Partition
    qos: Qos
    demand: Demand
    ranks_per_node: int
    fewest_nodes: int
    cores: int
    duration: int
    walltime: int
    capped: bool = False
    uses: Mapping[str, int] = field(default_factory=dict, hash=False)

    @property
    def threads(self) -> int:
        """Physical cores of a rank on this partition."""
        return self.demand.threads

    @property
    def exclusive(self) -> bool:
        """Whether it gets whole nodes."""
        return self.demand.exclusive

    @property
    def amounts(self) -> Amounts:
        """Cores, MB and GPUs over all nodes, at least."""
        if self.exclusive:
            return Amounts(*(self.fewest_nodes * amount for amount in self.partition.node))
        demand = self.demand
        return Amounts(self.cores, demand.memory, demand.ranks * demand.gpus)


def mode_on(request: ResourceRequest, partition: Partition, qos: Qos, budget: Budget) -> Mode | str:
    """Return the mode, or the reason why the partition and QOS do not admit the request."""
    demand = partition.demand(request, exclusive=partition.exclusive or qos.exclusive)
    ranks_per_node = demand.ranks_within(*partition.node)
    if ranks_per_node == 0:
        return _why_no_rank_fits(demand, partition)
    nodes = -(-request.ranks // ranks_per_node)
    cores = demand.cores(nodes, partition.node)
    refusals = qos.refusals(partition, nodes=nodes, cores=cores, budget=budget)
    if (refusal := next(refusals, None)) is not None:
        return refusal
    duration = math.ceil(request.runtime / partition.speed)
    walltime = request.walltime or usual_walltime(duration)
    at_most = longest(partition, qos)
    capped = walltime > at_most
    if capped and (request.walltime is not None or duration > at_most):
        return f"walltime {format_walltime(walltime)} > {format_walltime(int(at_most))}"
    if duration > walltime:
        return (
            f"takes {format_walltime(duration)} there, longer than its walltime "
            f"{format_walltime(walltime)}"
        )
    return Mode(
        partition=partition,
        qos=qos,
        demand=demand,
        ranks_per_node=ranks_per_node,
        fewest_nodes=nodes,
        cores=cores,
        duration=duration,
        walltime=int(at_most) if capped else walltime,
        capped=capped,
        uses=request.uses,
    )


def longest(partition: Partition, qos: Qos) -> float:
    """Return the seconds that a job may ask for; infinite without a limit."""
    of_partition = None if qos.over_partition_walltime else partition.walltime
    return min(limit for limit in (qos.walltime, of_partition, math.inf) if limit)


def beyond(walltime: int) -> int:
    """Return the next longer walltime in whole minutes.

    Examples
    --------
    >>> beyond(3600)
    3660
    """
    return (walltime // MINUTE + 1) * MINUTE


def usual_walltime(duration: int) -> int:
    """Return the walltime to ask for, in seconds: whole minutes, and room for what is slow.

    Examples
    --------
    >>> usual_walltime(100)
    180
    """
    return math.ceil(WALLTIME_FACTOR * duration / MINUTE) * MINUTE


def _why_no_rank_fits(demand: Demand, partition: Partition) -> str:
    rank = demand._replace(exclusive=False).load(1, partition.node)
    for what, need, have in zip(("cores", "MB", "GPUs"), rank, partition.node, strict=True):
        if need > have:
            return f"one rank needs {format_count(need)} {what}, a node has {format_count(have)}"
    raise AssertionError("a rank that fits in cores, memory and GPUs fits")
