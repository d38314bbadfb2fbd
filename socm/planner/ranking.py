"""Which workflow is placed first: priorities, of which the least value comes first.

None of them is best for all campaigns: a search tries all, and goes on from the best.
"""

from __future__ import annotations

from collections.abc import Callable

from socm.planner.instance import Instance

Priority = list[tuple[float, ...]]


def upward_rank(instance: Instance) -> list[float]:
    """Return the length of the longest chain from the start of each workflow to the end.

    Equation 8 of Topcuoglu, Hariri and Wu (2002); data move over a shared file system, so
    there is no communication to add.

    References
    ----------
    H. Topcuoglu, S. Hariri, M.-Y. Wu, IEEE Trans. Parallel Distrib. Syst. 13 (2002) 260,
    https://doi.org/10.1109/71.993206
    """
    return _longest(instance, instance.duration)


def _longest(instance: Instance, weight: list[float]) -> list[float]:
    """Return the largest sum of weights along a chain from each workflow to the end."""
    rank = [0.0] * len(instance)
    for k in reversed(instance.order):
        rank[k] = weight[k] + max((rank[child] for child in instance.children[k]), default=0.0)
    return rank


def _area(instance: Instance) -> list[float]:
    """Return how long each alone would keep all of the cluster busy."""
    return [d * share for d, share in zip(instance.duration, instance.share, strict=True)]


def by_rank(instance: Instance) -> Priority:
    """HEFT's: the longest chain to the end first.

    Of equals, the larger first, for the smaller fits into what is left.
    """
    work = [d * ways[0].cores for d, ways in zip(instance.duration, instance.ways, strict=True)]
    return [(-r, -w) for r, w in zip(upward_rank(instance), work, strict=True)]


def by_rank_and_width(instance: Instance) -> Priority:
    """The same, but up to twice as urgent the more of the cluster a workflow takes at once."""
    widest = max(instance.share)
    rank = upward_rank(instance)
    return [(-r * (1 + s / widest),) for r, s in zip(rank, instance.share, strict=True)]


def by_area(instance: Instance) -> Priority:
    """What takes most of the cluster for the longest time first."""
    return [(-area,) for area in _area(instance)]


def by_area_of_chain(instance: Instance) -> Priority:
    """The chain with the largest area first."""
    return [(-area,) for area in _longest(instance, _area(instance))]


def by_width(instance: Instance) -> Priority:
    """What takes most of the cluster at once first; of equals, the longest chain."""
    rank = upward_rank(instance)
    return [(-s, -r) for s, r in zip(instance.share, rank, strict=True)]


def by_area_behind(instance: Instance) -> Priority:
    """The largest area first, of a workflow and of those that wait for it."""
    area = _area(instance)
    return [
        (-own - sum(area[child] for child in children),)
        for own, children in zip(area, instance.children, strict=True)
    ]


PRIORITIES: tuple[Callable[[Instance], Priority], ...] = (
    by_rank,
    by_rank_and_width,
    by_area,
    by_area_of_chain,
    by_width,
    by_area_behind,
)
