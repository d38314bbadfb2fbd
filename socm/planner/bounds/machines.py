"""Machines: all that a plan may never use more of than there is, each seen as one resource.

A lower bound forgets which node a rank is on. What it keeps are *machines*, of which at any time
a workflow holds a share and all workflows together at most the whole. Shares are worked out in
whole numbers; as floats they are only added up, by those who leave room for a last digit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from socm.model.campaign import Campaign, ResourceRequest
from socm.model.cluster import Cluster, Option

Floats = NDArray[np.float64]
Options = Mapping[str, Sequence[Option]]

_MANY, _VERY_MANY = 150, 1000
"""Numbers of distinct requests from which on fewer, and fewest, machines are looked at."""


class Share(NamedTuple):
    """A part of a machine, as a fraction."""

    amount: int
    of: int


class Way(NamedTuple):
    """A request under one of its options."""

    request: ResourceRequest
    option: Option


_Machine = Callable[[Way], Share]
_NOTHING = Share(0, 1)


class Demand(NamedTuple):
    """What each workflow (a row) takes at least of each machine (a column).

    Parameters
    ----------
    share
        The part that it holds while it runs.
    time
        Seconds that all of the machine would need for it alone: the share times the duration,
        under the option where that is least.
    """

    share: Floats
    time: Floats


def distinct_ways(campaign: Campaign, options: Options) -> tuple[list[Way], dict[str, list[int]]]:
    """Return the ways that differ in more than time, and of each workflow's options the numbers."""
    number: dict[tuple[object, ...], int] = {}
    ways: list[Way] = []
    of_workflow: dict[str, list[int]] = {}
    for name, its_options in options.items():
        request = campaign.workflows[name].request
        of_workflow[name] = []
        for option in its_options:
            key = (
                request.ranks,
                option.threads,
                request.memory,
                request.gpus,
                option.partition.name,
                option.qos.name,
            )
            if key not in number:
                number[key] = len(ways)
                ways.append(Way(request, option))
            of_workflow[name].append(number[key])
    return ways, of_workflow


def demands(campaign: Campaign, cluster: Cluster, options: Options) -> Demand:
    """Return what each workflow takes of each machine that may decide."""
    ways, of_workflow = distinct_ways(campaign, options)
    rows = [way for its_ways in of_workflow.values() for way in its_ways]
    count = [len(its_ways) for its_ways in of_workflow.values()]
    first = np.concatenate(([0], np.cumsum(count[:-1], dtype=int)))
    duration = np.array([o.duration for its in options.values() for o in its], dtype=float)
    least, time = [], []
    for shares in machines(campaign, cluster, ways):
        of_row = _as_floats(shares)[rows]
        of_one = np.minimum.reduceat(of_row, first)
        if of_one.any():
            least.append(of_one)
            time.append(np.minimum.reduceat(of_row * duration, first))
    return Demand(np.column_stack(least), np.column_stack(time))


def machines(campaign: Campaign, cluster: Cluster, ways: Sequence[Way]) -> list[Sequence[Share]]:
    """Return for each machine that may decide the share that each way takes of it.

    A machine of which every way takes no more than of another can prove nothing that the other
    does not, and is left out.
    """
    columns: dict[bytes, tuple[Floats, Sequence[Share]]] = {}
    for shares in _machines(campaign, cluster, ways):
        column = _as_floats(shares)
        columns.setdefault(column.tobytes(), (column, shares))
    kept: list[tuple[Floats, Sequence[Share]]] = []
    for column, shares in sorted(columns.values(), key=lambda c: -float(c[0].sum())):
        if not any(bool((column <= other).all()) for other, _ in kept):
            kept.append((column, shares))
    return [shares for _, shares in kept]


def _as_floats(shares: Sequence[Share]) -> Floats:
    return np.array([share.amount / share.of for share in shares])


def _machines(
    campaign: Campaign, cluster: Cluster, ways: Sequence[Way]
) -> Iterator[Sequence[Share]]:
    """Yield each machine's shares, and those by its dual feasible functions."""
    most = 8 if len(ways) <= _MANY else 3 if len(ways) <= _VERY_MANY else 0
    for machine in (
        *_totals(campaign, cluster),
        *_nodes(campaign, cluster, ways, max(most, 1)),
        *_limits(cluster),
    ):
        shares = [machine(way) for way in ways]
        yield shares
        for k in _steps(shares, most):
            yield [in_steps(share, k) for share in shares]


def in_steps(share: Share, k: int) -> Share:
    """Round a share by the dual feasible function u(k) of Fekete and Schepers.

    Where shares add up to no more than a whole, so do the rounded ones: of shares of more than
    1/(k + 1) a whole holds k at most, so that each may count as 1/k. (If (k + 1) times a share is
    no whole number, all such together have a floor sum below k + 1, and so of k at most.)

    References
    ----------
    S. P. Fekete, J. Schepers, Math. Program. 91 (2001) 11,
    https://doi.org/10.1007/s101070100243

    Examples
    --------
    >>> in_steps(Share(3, 7), 2), in_steps(Share(2, 7), 2), in_steps(Share(1, 2), 1)
    (Share(amount=1, of=2), Share(amount=0, of=2), Share(amount=1, of=2))
    """
    steps, rest = divmod((k + 1) * share.amount, share.of)
    return Share(steps, k) if rest else share


def _steps(shares: Sequence[Share], most: int) -> list[int]:
    """Return the k for which some share is just over 1/(k + 1): how many of it fit."""
    return sorted({of // amount for amount, of in shares if amount})[:most]


def _totals(campaign: Campaign, cluster: Cluster) -> Iterator[_Machine]:
    """Yield cores, memory and GPUs of all nodes; under a budget of nodes, of the largest."""
    budget = campaign.budget
    nodes = sum(p.nodes for p in cluster.partitions)
    if budget.nodes is not None:
        nodes = min(nodes, budget.nodes)

    def total(of_node: Sequence[int]) -> int:
        have, left = 0, nodes
        counts = [p.nodes for p in cluster.partitions]
        for amount, count in sorted(zip(of_node, counts, strict=True), reverse=True):
            have += amount * min(count, left)
            left -= min(count, left)
        return have

    cores = total([p.cores for p in cluster.partitions])
    if budget.cores is not None:
        cores = min(cores, budget.cores)
    memory = total([p.memory for p in cluster.partitions])
    gpus = total([p.gpus for p in cluster.partitions])

    def memory_share(way: Way) -> Share:
        whole = way.option.fewest_nodes * way.option.partition.memory
        return Share(max(whole * way.option.exclusive, way.request.memory), memory)

    def gpu_share(way: Way) -> Share:
        whole = way.option.fewest_nodes * way.option.partition.gpus
        return Share(max(whole * way.option.exclusive, way.request.ranks * way.request.gpus), gpus)

    yield lambda way: Share(way.option.cores, cores)
    yield memory_share
    if gpus:
        yield gpu_share


def _nodes(
    campaign: Campaign, cluster: Cluster, ways: Sequence[Way], most: int
) -> Iterator[_Machine]:
    """Yield for each resource the nodes, counting each rank by its share of a node, in steps.

    All nodes together are a machine, and the nodes of each partition are. In steps a rank of more
    than half a node counts as a whole one. That holds for each resource by itself only: a rank
    with most of the cores and one with most of the memory may well share a node.
    """
    budget = campaign.budget.nodes or math.inf
    scopes: list[tuple[str | None, int]] = [(None, sum(p.nodes for p in cluster.partitions))]
    if len(cluster.partitions) > 1:
        scopes += [(p.name, p.nodes) for p in cluster.partitions]

    def cores(way: Way) -> Share:
        return Share(way.option.threads, way.option.partition.cores)

    def memory(way: Way) -> Share:
        return Share(way.request.memory, way.request.ranks * way.option.partition.memory)

    def gpus(way: Way) -> Share:
        return Share(way.request.gpus, way.option.partition.gpus or 1)

    def machine(of_rank: _Machine, k: int | None, scope: str | None, nodes: int) -> _Machine:
        def share(way: Way) -> Share:
            if scope not in (None, way.option.partition.name):
                return _NOTHING
            if way.option.exclusive:
                return Share(way.option.fewest_nodes, nodes)
            rank = of_rank(way) if k is None else in_steps(of_rank(way), k)
            return Share(way.request.ranks * rank.amount, rank.of * nodes)

        return share

    for of_rank in (cores, memory, gpus):
        steps = _steps([of_rank(way) for way in ways], most)
        for scope, count in scopes:
            for k in (None, *steps):
                yield machine(of_rank, k, scope, int(min(count, budget)))


def _limits(cluster: Cluster) -> Iterator[_Machine]:
    """Yield the running jobs and the cores that each QOS allows, and all from some size on."""

    def machine(limits: Mapping[str, int | None], cores: bool) -> _Machine:
        limited = {name: limit for name, limit in limits.items() if limit is not None}
        total = sum(limited.values())

        def share(way: Way) -> Share:
            if way.option.qos.name not in limited:
                return _NOTHING
            return Share(way.option.cores if cores else 1, total)

        return share

    jobs = {qos.name: qos.running_jobs for qos in cluster.tiers}
    in_use = {qos.name: qos.cores for qos in cluster.tiers}
    for limits, cores in ((jobs, False), (in_use, True)):
        limited = [name for name, limit in limits.items() if limit is not None]
        for name in limited:
            yield machine({name: limits[name]}, cores)
        # What is too long for a smaller tier has all the larger ones to go to.
        for smallest in range(len(limited) - 1):
            yield machine({name: limits[name] for name in limited[smallest:]}, cores)
