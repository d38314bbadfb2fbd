"""The cumulative resources of the relaxation, which limit every plan.

A lower bound ignores which node a rank is on. It keeps cumulative resources: at any time each
running workflow uses a share of a resource, and all of them together use at most the whole.
Shares are fractions of whole numbers. As floats they are rounded down.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from socm.model.allowance import KINDS, Kind
from socm.model.campaign import Campaign
from socm.model.cluster import Cluster
from socm.model.demand import Amounts
from socm.model.mode import Mode
from socm.planner.instance import Modes

Floats = NDArray[np.float64]

_MANY, _VERY_MANY = 150, 1000
"""With more distinct modes than these, fewer resources are used, and the fewest."""


def distinct(values: Floats) -> Floats:
    """Return the distinct values in order: `np.unique`, which would load `numpy.ma` for that.

    Examples
    --------
    >>> distinct(np.array([2.0, 1.0, 2.0])).tolist(), distinct(np.array([])).tolist()
    ([1.0, 2.0], [])
    """
    ordered = np.sort(values)
    new = np.ones(len(ordered), dtype=bool)
    new[1:] = ordered[1:] != ordered[:-1]
    return ordered[new]


class Share(NamedTuple):
    """A share of a resource, as a fraction."""

    amount: int
    of: int


_Resource = Callable[[Mode], Share]
"""A resource, as a function from a mode to the share that it uses."""
_NOTHING = Share(0, 1)


class Usage(NamedTuple):
    """The least that each workflow (a row) uses of each resource (a column).

    Parameters
    ----------
    share
        The share that it uses while it runs.
    energy
        Share times duration, in seconds, in the mode where that is least.
    """

    share: Floats
    energy: Floats


def distinct_modes(modes: Modes) -> tuple[list[Mode], dict[str, list[int]]]:
    """Return the modes that differ in more than time, and the numbers of those of each workflow."""
    number: dict[tuple[object, ...], int] = {}
    distinct: list[Mode] = []
    of_workflow: dict[str, list[int]] = {}
    for name, its_modes in modes.items():
        of_workflow[name] = []
        for mode in its_modes:
            key = mode.demand, mode.partition.name, mode.qos.name, frozenset(mode.uses.items())
            if key not in number:
                number[key] = len(distinct)
                distinct.append(mode)
            of_workflow[name].append(number[key])
    return distinct, of_workflow


def usage(campaign: Campaign, cluster: Cluster, modes: Modes) -> Usage:
    """Return what each workflow uses of each resource that may be decisive."""
    distinct, of_workflow = distinct_modes(modes)
    rows = [number for numbers in of_workflow.values() for number in numbers]
    count = [len(numbers) for numbers in of_workflow.values()]
    first = np.concatenate(([0], np.cumsum(count[:-1], dtype=int)))
    duration = np.array([mode.duration for its in modes.values() for mode in its], dtype=float)
    share, energy = [], []
    for shares in resources(campaign, cluster, distinct):
        of_row = rounded_down(shares)[rows]
        least = np.minimum.reduceat(of_row, first)
        if least.any():
            share.append(least)
            energy.append(np.minimum.reduceat(of_row * duration, first))
    return Usage(np.column_stack(share), np.column_stack(energy))


def resources(campaign: Campaign, cluster: Cluster, modes: Sequence[Mode]) -> list[Sequence[Share]]:
    """Return for each resource that may be decisive the share that each mode uses.

    If every mode uses at most as much of one resource as of another, the first proves nothing more
    than the second, and is left out.
    """
    columns: dict[bytes, tuple[Floats, Sequence[Share]]] = {}
    for shares in _resources(campaign, cluster, modes):
        column = rounded_down(shares)
        columns.setdefault(column.tobytes(), (column, shares))
    kept: list[tuple[Floats, Sequence[Share]]] = []
    # The exact sum, rounded once: it is the same on every machine.
    for column, shares in sorted(columns.values(), key=lambda c: -math.fsum(c[0])):
        if not any(bool((column <= other).all()) for other, _ in kept):
            kept.append((column, shares))
    return [shares for _, shares in kept]


def rounded_down(shares: Sequence[Share]) -> Floats:
    """Return shares as floats, rounded down to multiples of 2**-52.

    Examples
    --------
    >>> from fractions import Fraction
    >>> half, third = (float(share) for share in rounded_down([Share(1, 2), Share(1, 3)]))
    >>> half == Fraction(1, 2), third < Fraction(1, 3)
    (True, True)
    """
    return np.array([(amount << 52) // of / 2**52 for amount, of in shares])


def _resources(
    campaign: Campaign, cluster: Cluster, modes: Sequence[Mode]
) -> Iterator[Sequence[Share]]:
    """Yield the shares of each resource, and those by its dual feasible functions."""
    most = 8 if len(modes) <= _MANY else 3 if len(modes) <= _VERY_MANY else 0
    for resource in (
        *_totals(campaign, cluster),
        *_nodes(campaign, cluster, modes, max(most, 1)),
        *_limits(cluster),
        *_counted(campaign),
    ):
        shares = [resource(mode) for mode in modes]
        yield shares
        for k in _steps(shares, most):
            yield [in_steps(share, k) for share in shares]


def in_steps(share: Share, k: int) -> Share:
    """Round a share by the dual feasible function u(k) of Fekete and Schepers.

    If shares add up to at most a whole, so do the rounded ones: a whole holds at most k shares of
    more than 1/(k + 1), so each of them may count as 1/k. (If (k + 1) times each of some shares is
    not a whole number, the sum of these products rounded down is below k + 1, so at most k.)

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
    """Return each k such that at most k equal shares of some size fit."""
    return sorted({of // amount for amount, of in shares if amount})[:most]


def totals(campaign: Campaign, cluster: Cluster) -> Amounts:
    """Return the most cores, MB and GPUs that can be in use at once.

    Under a budget of nodes, the nodes with the most count.
    """
    budget = campaign.budget
    nodes = sum(p.nodes for p in cluster.distinct)
    if budget.nodes is not None:
        nodes = min(nodes, budget.nodes)

    def total(of_node: Sequence[int]) -> int:
        have, left = 0, nodes
        counts = [p.nodes for p in cluster.distinct]
        for amount, count in sorted(zip(of_node, counts, strict=True), reverse=True):
            have += amount * min(count, left)
            left -= min(count, left)
        return have

    have = Amounts(*map(total, zip(*(p.node for p in cluster.distinct), strict=True)))
    return have if budget.cores is None else have._replace(cores=min(have.cores, budget.cores))


def _totals(campaign: Campaign, cluster: Cluster) -> Iterator[_Resource]:
    """Yield cores, memory and GPUs of all nodes together."""

    def total(k: int, whole: int) -> _Resource:
        return lambda mode: Share(mode.amounts[k], whole)

    for k, whole in enumerate(totals(campaign, cluster)):
        if whole:
            yield total(k, whole)


def _nodes(
    campaign: Campaign, cluster: Cluster, modes: Sequence[Mode], most: int
) -> Iterator[_Resource]:
    """Yield the nodes, once for each resource that a rank uses a share of, in steps.

    All nodes together are a resource, and so are the nodes of each partition. In steps, a rank that
    needs more than half a node counts as a whole one. That is true of cores, memory and GPUs each
    by itself: a rank with most of the cores and one with most of the memory may share a node.
    """
    budget = campaign.budget.nodes or math.inf
    scopes: list[tuple[str | None, int]] = [(None, sum(p.nodes for p in cluster.distinct))]
    if len(cluster.partitions) > 1:
        scopes += [(p.name, p.nodes) for p in cluster.partitions]

    def cores(mode: Mode) -> Share:
        return Share(mode.demand.threads, mode.partition.cores)

    def memory(mode: Mode) -> Share:
        return Share(mode.demand.memory, mode.demand.ranks * mode.partition.memory)

    def gpus(mode: Mode) -> Share:
        return Share(mode.demand.gpus, mode.partition.gpus or 1)

    def nodes_by(of_rank: _Resource, k: int | None, scope: str | None, nodes: int) -> _Resource:
        def share(mode: Mode) -> Share:
            if scope not in (None, mode.partition.name):
                return _NOTHING
            if mode.exclusive:
                return Share(mode.fewest_nodes, nodes)
            rank = of_rank(mode) if k is None else in_steps(of_rank(mode), k)
            return Share(mode.demand.ranks * rank.amount, rank.of * nodes)

        return share

    for of_rank in (cores, memory, gpus):
        steps = _steps([of_rank(mode) for mode in modes], most)
        for scope, count in scopes:
            for k in (None, *steps):
                yield nodes_by(of_rank, k, scope, int(min(count, budget)))


def _limits(cluster: Cluster) -> Iterator[_Resource]:
    """Yield jobs and cores of each that has a limit on them, and of all from some size on."""

    def limit_of(kind: Kind, limits: Mapping[str, int]) -> _Resource:
        total = sum(limits.values())

        def share(mode: Mode) -> Share:
            if cluster.owner(kind, mode.partition.name, mode.qos.name) not in limits:
                return _NOTHING
            return Share(mode.cores if kind == "cores" else 1, total)

        return share

    for kind in KINDS:
        limits = {each.owner: each.most for k, each in cluster.counted_limits() if k == kind}
        for owner, most in limits.items():
            yield limit_of(kind, {owner: most})
        # A workflow that is too long for a smaller QOS may use any larger one.
        for smallest in range(len(limits) - 1):
            yield limit_of(kind, dict([*limits.items()][smallest:]))


def _counted(campaign: Campaign) -> Iterator[_Resource]:
    """Yield the counted resources of the campaign."""

    def used(name: str, most: int) -> _Resource:
        return lambda mode: Share(mode.uses.get(name, 0), most)

    for name, most in campaign.limits.items():
        yield used(name, most)
