"""What is to be scheduled, in numbers: the workflows of a campaign that have no place yet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Any, NamedTuple

from socm.model.campaign import Campaign, ResourceRequest
from socm.model.cluster import Admission, Cluster, Option
from socm.model.placement import PlannedWorkflow, Reservation


class Shape(NamedTuple):
    """What makes two requests ask the same of a node, whatever their duration."""

    ranks: int
    threads: int
    memory: int
    gpus: int
    exclusive: bool
    most_nodes: int | None
    full: int  # ranks that an empty node holds


Rooms = list[tuple[int, int]]
"""Pairs of a node and how many ranks it takes."""


class Way(NamedTuple):
    """One way to run a workflow: a partition under a QOS, in numbers.

    Durations are sorted into classes a quarter of an octave wide: `kind` numbers the ways of one
    shape and one class on one partition, and `shortest` is no longer than any of that class.
    """

    option: Option
    partition: int
    tier: int
    duration: int
    shortest: int
    cores: int
    shape: Shape
    kind: int


class Begun(NamedTuple):
    """Where something has run or is running, in numbers."""

    partition: int
    tier: int
    cores: int
    shape: Shape
    rooms: Rooms
    start: int
    finish: int


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A campaign on a cluster, ready to be scheduled.

    Workflows are numbered in the order in which they were declared; those that are fixed are not
    among them. `instance_of` makes one.

    Parameters
    ----------
    campaign, cluster
        What to do, and where.
    start
        Nothing new begins before, in seconds since the campaign's start.
    reservations
        Capacity that is not the campaign's.
    fixed
        Workflows that have run or are running; they keep their place.
    names
        Of the workflows that are to be scheduled.
    parents, children
        For each, the numbers of those it waits for, and of those that wait for it.
    release
        Seconds before which each may not begin, whatever the others do.
    ways
        For each, the ways to run it, smallest tier first.
    bound
        No schedule ends before; 0 is not known.
    """

    campaign: Campaign
    cluster: Cluster
    start: int
    reservations: tuple[Reservation, ...]
    fixed: tuple[PlannedWorkflow, ...]
    names: tuple[str, ...]
    parents: list[list[int]]
    children: list[list[int]]
    release: list[int]
    ways: list[tuple[Way, ...]]
    bound: int = 0

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def order(self) -> list[int]:
        """Numbers, each after those it waits for."""
        waits = [len(parents) for parents in self.parents]
        order = [k for k, count in enumerate(waits) if not count]
        for k in order:
            for child in self.children[k]:
                waits[child] -= 1
                if not waits[child]:
                    order.append(child)
        return order

    @cached_property
    def begun(self) -> list[Begun]:
        """What is fixed."""
        partitions = {p.name: k for k, p in enumerate(self.cluster.partitions)}
        tiers = {q.name: k for k, q in enumerate(self.cluster.tiers)}
        requests = {w.name: self.campaign.workflows[w.name].request for w in self.fixed}
        return [
            Begun(
                partition=partitions[w.partition],
                tier=tiers[w.qos or ""],
                cores=w.cores,
                shape=Shape(
                    ranks=request.ranks,
                    threads=w.threads,
                    memory=request.memory,
                    gpus=request.gpus,
                    exclusive=w.exclusive,
                    most_nodes=None,
                    full=0,
                ),
                rooms=[(p.node, p.ranks) for p in w.placements],
                start=w.start,
                finish=w.finish,
            )
            for w in self.fixed
            for request in [requests[w.name]]
        ]

    @cached_property
    def duration(self) -> list[float]:
        """Seconds that each takes, on average over the partitions that admit it."""
        return [
            fmean({way.partition: way.duration for way in ways}.values())
            if len(ways) > 1
            else ways[0].duration
            for ways in self.ways
        ]

    @cached_property
    def share(self) -> list[float]:
        """Of each, the larger of the shares of all cores and of all memory that it takes."""
        partitions = self.cluster.partitions
        cores = sum(p.nodes * p.cores for p in partitions)
        if self.campaign.budget.cores is not None:
            cores = min(cores, self.campaign.budget.cores)
        memory = sum(p.nodes * p.memory for p in partitions)
        return [max(ways[0].cores / cores, ways[0].shape.memory / memory) for ways in self.ways]

    @cached_property
    def kept(self) -> dict[str, Any]:
        """What was worked out about it elsewhere, and will be asked for again."""
        return {}

    @cached_property
    def mirrored(self) -> Instance:
        """The same with time running backwards: what waits for another comes before it.

        Its schedules say in which order things may end. What is fixed or reserved is left out,
        for nothing but that order counts.
        """
        return replace(
            self,
            start=0,
            reservations=(),
            fixed=(),
            parents=self.children,
            children=self.parents,
            release=[0] * len(self),
        )


def instance_of(
    campaign: Campaign,
    cluster: Cluster,
    options: Mapping[str, Sequence[Option]],
    *,
    start: int = 0,
    reservations: Iterable[Reservation] = (),
    fixed: Iterable[PlannedWorkflow] = (),
) -> Instance:
    """Number what is to be scheduled.

    Parameters
    ----------
    options
        For each workflow the partitions and QOS that admit it, smallest tier first. Workflows
        of equal requests may share one object, which saves time.
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
    numbering = Ways(cluster)
    known: dict[int, tuple[Way, ...]] = {}
    ways = []
    for name in names:
        mine, request = options[name], campaign.workflows[name].request
        if id(mine) not in known:
            known[id(mine)] = tuple(numbering.way(option, request) for option in mine)
        ways.append(known[id(mine)])
    return Instance(
        campaign=campaign,
        cluster=cluster,
        start=start,
        reservations=tuple(reservations),
        fixed=fixed,
        names=names,
        parents=parents,
        children=children,
        release=[max([start, *(finish[p] for p in before if p in finish)]) for before in depends],
        ways=ways,
    )


class Ways:
    """Puts options into numbers; of equal kinds, the same."""

    def __init__(self, cluster: Cluster) -> None:
        self._partitions = {p.name: k for k, p in enumerate(cluster.partitions)}
        self._tiers = {q.name: k for k, q in enumerate(cluster.tiers)}
        self._kinds: dict[tuple[int, Shape, int], int] = {}

    def way(self, option: Option, request: ResourceRequest) -> Way:
        """Return how a request runs under an option."""
        shape = Shape(
            request.ranks,
            option.threads,
            request.memory,
            request.gpus,
            option.exclusive,
            option.qos.nodes_per_job,
            option.ranks_per_node,
        )
        octave = int(math.log2(option.duration) * 4)
        partition = self._partitions[option.partition.name]
        return Way(
            option=option,
            partition=partition,
            tier=self._tiers[option.qos.name],
            duration=option.duration,
            shortest=min(option.duration, max(1, math.floor(2 ** (octave / 4)))),
            cores=option.cores,
            shape=shape,
            kind=self._kinds.setdefault((partition, shape, octave), len(self._kinds)),
        )


def admitted(campaign: Campaign, cluster: Cluster) -> dict[str, Admission]:
    """Return the options of each workflow and the reasons against others; of equals, the same."""
    return {
        name: cluster.admit(workflow.request, campaign.budget)
        for name, workflow in campaign.workflows.items()
    }
