"""A campaign on a cluster as a problem in numbers: what the schemes and policies work on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Any, NamedTuple

from socm.model.campaign import Campaign
from socm.model.cluster import Admission, Cluster
from socm.model.demand import Demand
from socm.model.limits import counted, limits_of
from socm.model.mode import Mode
from socm.model.partition import Partition
from socm.model.placement import PlannedWorkflow, Reservation

DEPTH = 32
"""How many workflows may be found not to fit at one instant before the rest must wait."""
VERY_LARGE = 30_000
"""Number of workflows from which on half as many may."""

Modes = Mapping[str, Sequence[Mode]]
"""The modes of each workflow, by name."""


NodeRanks = list[tuple[int, int]]
"""Pairs of a node and a number of ranks on it."""
Counts = tuple[tuple[int, int], ...]
"""Pairs of the number of a limit and an amount that counts against it."""


class IndexedMode(NamedTuple):
    """A mode of a workflow, with partition and QOS as indices.

    Parameters
    ----------
    mode
        The partition and the QOS, with walltime and charge.
    partition, qos
        Their indices in `Cluster.partitions` and `Cluster.qos_by_size`.
    duration
        Seconds.
    cores
        Cores that count against limits and budget.
    counts
        The numbers of the limits that it counts against (`Instance.limits`), and how much.
    demand
        What its ranks need of the nodes of the partition.
    ranks_per_node
        Ranks that an empty node holds.
    most_nodes
        Nodes that its ranks may be spread over; `None` is any number.
    family
        Number of the family of modes with the same demand on the same partition, and durations
        within a quarter of an octave.
    shortest
        Seconds; no mode of the family is shorter.
    reach
        Seconds from its start in which no maintenance may begin: its walltime; 0 if there is none.
    """

    mode: Mode
    partition: int
    qos: int
    duration: int
    cores: int
    counts: Counts
    demand: Demand
    ranks_per_node: int
    most_nodes: int | None
    family: int
    shortest: int
    reach: int = 0


class Begun(NamedTuple):
    """A workflow that has run or is running, in numbers."""

    partition: int
    qos: int
    cores: int
    counts: Counts
    demand: Demand
    placements: NodeRanks
    start: int
    finish: int


Group = tuple[tuple[Hashable, ...], ...]
"""What workflows have in common that ask for about the same."""


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A campaign on a cluster, ready to be scheduled.

    Workflows are numbered from 0 in the order in which they were declared, without the fixed ones.
    All times are in seconds since the campaign's start. `instance_of` makes an instance.

    Parameters
    ----------
    start
        No workflow starts before this time, unless it is fixed.
    reservations
        Capacity that the campaign may not use for a while.
    fixed
        Workflows that have run or are running; they keep their place.
    names
        Names of the workflows to schedule.
    order
        Their numbers in topological order: parents before children.
    parents, children
        For each workflow the numbers of its parents, and of its children.
    release
        For each workflow the time before which it cannot start, because of fixed parents.
    modes
        For each workflow its modes, the smallest QOS first.
    bound
        A lower bound on the makespan; 0 if none is known.
    """

    campaign: Campaign
    cluster: Cluster
    start: int
    reservations: tuple[Reservation, ...]
    fixed: tuple[PlannedWorkflow, ...]
    names: tuple[str, ...]
    order: list[int]
    parents: list[list[int]]
    children: list[list[int]]
    release: list[int]
    modes: list[tuple[IndexedMode, ...]]
    bound: int = 0

    def __len__(self) -> int:
        return len(self.names)

    @property
    def node_budget(self) -> int | None:
        """The most nodes in use at once; `None` where that is all of the cluster."""
        nodes = self.campaign.budget.nodes
        everything = sum(p.nodes for p in self.cluster.distinct)
        return None if nodes is None or nodes >= everything else nodes

    @cached_property
    def limits(self) -> tuple[int, ...]:
        """The most that may be in use at once, of each thing that is limited."""
        return tuple(limits_of(self.campaign, self.cluster).values())

    @cached_property
    def begun(self) -> list[Begun]:
        """The fixed workflows."""
        partitions = {p.name: k for k, p in enumerate(self.cluster.partitions)}
        qos = {q.name: k for k, q in enumerate(self.cluster.qos_by_size)}
        indexer = Indexer(self.campaign, self.cluster)
        requests = {w.name: self.campaign.workflows[w.name].request for w in self.fixed}
        return [
            Begun(
                partition=partitions[w.partition],
                qos=qos[w.qos or ""],
                cores=w.cores,
                counts=indexer.counts(w.partition, w.qos, w.cores, request.uses),
                demand=Demand(request.ranks, w.threads, request.memory, request.gpus, w.exclusive),
                placements=[(p.node, p.ranks) for p in w.placements],
                start=w.start,
                finish=w.finish,
            )
            for w in self.fixed
            for request in [requests[w.name]]
        ]

    @cached_property
    def duration(self) -> list[float]:
        """Seconds of each workflow, averaged over the partitions that admit it."""
        return [
            fmean({mode.partition: mode.duration for mode in modes}.values())
            if len(modes) > 1
            else modes[0].duration
            for modes in self.modes
        ]

    @cached_property
    def share(self) -> list[float]:
        """The larger of the shares of all cores and of all memory that each workflow uses."""
        partitions = self.cluster.distinct
        cores = sum(p.nodes * p.cores for p in partitions)
        if self.campaign.budget.cores is not None:
            cores = min(cores, self.campaign.budget.cores)
        memory = sum(p.nodes * p.memory for p in partitions)
        return [
            max(modes[0].cores / cores, modes[0].demand.memory / memory) for modes in self.modes
        ]

    @cached_property
    def cache(self) -> dict[str, Any]:
        """Cache for what other modules derive from the instance."""
        return {}

    @cached_property
    def mirrored(self) -> Instance:
        """The same instance with dependencies reversed, as if time ran backwards.

        Only the order of a schedule of it is used, so fixed workflows and reservations are left
        out.
        """
        return replace(
            self,
            start=0,
            reservations=(),
            fixed=(),
            order=self.order[::-1],
            parents=self.children,
            children=self.parents,
            release=[0] * len(self),
        )


def instance_of(
    campaign: Campaign,
    cluster: Cluster,
    modes: Modes,
    *,
    start: int = 0,
    reservations: Iterable[Reservation] = (),
    fixed: Iterable[PlannedWorkflow] = (),
) -> Instance:
    """Make an instance of the workflows that are not fixed.

    Parameters
    ----------
    modes
        The modes of each workflow, the smallest QOS first. Workflows of equal requests may share
        one sequence, which saves time (`modes_of`).
    """
    fixed = tuple(replace(w, fixed=True) for w in fixed)
    finish = {w.name: w.finish for w in fixed}
    names = tuple(name for name in campaign.workflows if name not in finish)
    number = {name: k for k, name in enumerate(names)}
    depends = [campaign.workflows[name].depends for name in names]
    parents = [[number[p] for p in before if p in number] for before in depends]
    children: list[list[int]] = [[] for _ in names]
    for k, before in enumerate(parents):
        for parent in before:
            children[parent].append(k)
    reservations = tuple(reservations)
    indexer = Indexer(campaign, cluster, maintenance=any(r.maintenance for r in reservations))
    known: dict[int, tuple[IndexedMode, ...]] = {}
    indexed = []
    for name in names:
        mine = modes[name]
        if id(mine) not in known:
            known[id(mine)] = tuple(indexer.indexed(mode) for mode in mine)
        indexed.append(known[id(mine)])
    return Instance(
        campaign=campaign,
        cluster=cluster,
        start=start,
        reservations=reservations,
        fixed=fixed,
        names=names,
        order=[number[name] for name in campaign.order if name in number],
        parents=parents,
        children=children,
        release=[max([start, *(finish[p] for p in before if p in finish)]) for before in depends],
        modes=indexed,
    )


class Indexer:
    """Gives modes their indices, and equal families the same number."""

    def __init__(self, campaign: Campaign, cluster: Cluster, *, maintenance: bool = False) -> None:
        self._cluster, self._maintenance = cluster, maintenance
        self._limits = {limited: k for k, limited in enumerate(limits_of(campaign, cluster))}
        self._partitions = {p.name: k for k, p in enumerate(cluster.partitions)}
        self._qos = {q.name: k for k, q in enumerate(cluster.qos_by_size)}
        self._families: dict[tuple[int, Demand, int | None, int, int], int] = {}

    def indexed(self, mode: Mode) -> IndexedMode:
        """Return a mode with its indices."""
        # Four times the binary logarithm, in integers: as a float it might differ by machine.
        quarters = (mode.duration**4).bit_length() - 1
        shortest = math.isqrt(math.isqrt(1 << quarters))
        partition = self._partitions[mode.partition.name]
        reach = mode.walltime if self._maintenance else 0
        family = partition, mode.demand, mode.qos.nodes_per_job, quarters, reach
        return IndexedMode(
            mode=mode,
            partition=partition,
            qos=self._qos[mode.qos.name],
            duration=mode.duration,
            cores=mode.cores,
            counts=self.counts(mode.partition.name, mode.qos.name, mode.cores, mode.uses),
            demand=mode.demand,
            ranks_per_node=mode.ranks_per_node,
            most_nodes=mode.qos.nodes_per_job,
            family=self._families.setdefault(family, len(self._families)),
            shortest=min(mode.duration, max(1, shortest)),
            reach=reach,
        )

    def counts(
        self, partition: str, qos: str | None, cores: int, uses: Mapping[str, int]
    ) -> Counts:
        """Return what a job counts against each limit that there is."""
        return tuple(
            (self._limits[limited], amount)
            for limited, amount in counted(self._cluster, partition, qos, cores, uses)
            if limited in self._limits
        )


def admitted(campaign: Campaign, cluster: Cluster) -> dict[str, Admission]:
    """Return the modes of each workflow, and the reasons against others.

    Workflows of equal requests share one object.
    """
    return {
        name: cluster.admit(workflow.request, campaign.budget)
        for name, workflow in campaign.workflows.items()
    }


def modes_of(campaign: Campaign, cluster: Cluster) -> dict[str, Sequence[Mode]]:
    """Return the modes of each workflow, the smallest QOS first."""
    return {name: modes for name, (modes, _) in admitted(campaign, cluster).items()}


def usable_nodes(
    partition: Partition,
    most: int | None,
    reservations: Iterable[Reservation],
    fixed: Iterable[PlannedWorkflow],
) -> Sequence[int]:
    """Return the nodes of a partition to plan with under a budget of nodes.

    A campaign never uses more than n nodes at once exactly if its jobs can be placed on n nodes,
    so more need not be looked at. Nodes that fixed workflows use come first, then those that are
    reserved for the shortest time.

    Parameters
    ----------
    most
        The budget of nodes; `None` is no limit.
    """
    nodes = partition.numbers
    if most is None or most >= partition.nodes:
        return nodes
    reserved = Counter[int]()
    for r in reservations:
        if r.partition == partition.name:
            for node, _ in r.loads(partition):
                reserved[node] += r.finish - r.start
    in_use = {p.node for w in fixed for p in w.placements if p.partition == partition.home}
    in_use &= {*nodes}
    preferred = sorted(nodes, key=lambda node: (node not in in_use, reserved[node]))
    return preferred[: max(most, len(in_use))]


def groups(instance: Instance) -> list[Group]:
    """Return the group of each workflow.

    Workflows of one group ask for the same, except for time, and for memory up to a factor of two.
    """
    known: dict[int, Group] = {}
    for modes in instance.modes:
        if id(modes) not in known:
            known[id(modes)] = tuple(
                (
                    m.partition,
                    m.qos,
                    frozenset(m.mode.uses.items()),
                    *m.demand[:2],
                    m.demand.memory.bit_length(),
                    m.demand.gpus,
                )
                for m in modes
            )
    return [known[id(modes)] for modes in instance.modes]


def depth(workflows: int) -> int:
    """Return how many workflows the parallel scheme may find not to fit at one instant.

    After that the rest of the queue waits for the next instant.
    """
    return DEPTH if workflows < VERY_LARGE else DEPTH // 2
