"""Priority rules: which workflow is scheduled first.

No rule is best for all campaigns, so the search tries each of them.
"""

from __future__ import annotations

from collections.abc import Callable

from socm.planner.chains import longest_before
from socm.planner.instance import Instance

Priority = list[tuple[float, ...]]
"""For each workflow its place in the order; the least value comes first."""


def upward_rank(instance: Instance) -> list[float]:
    """Return the upward rank of each workflow: seconds of the longest chain from its start on.

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
    order, children = reversed(instance.order), instance.children
    after = longest_before(order, children.__getitem__, weight.__getitem__)
    return [w + after[k] for k, w in enumerate(weight)]


def _area(instance: Instance) -> list[float]:
    """Return the seconds for which each workflow alone would keep the whole cluster busy."""
    return [d * share for d, share in zip(instance.duration, instance.share, strict=True)]


def by_rank(instance: Instance) -> Priority:
    """HEFT's rule: the largest upward rank first; of equal ones, the largest work."""
    work = [d * modes[0].cores for d, modes in zip(instance.duration, instance.modes, strict=True)]
    return [(-r, -w) for r, w in zip(upward_rank(instance), work, strict=True)]


def by_rank_and_width(instance: Instance) -> Priority:
    """The upward rank, times up to two for workflows that use a large share of the cluster."""
    widest = max(instance.share)
    rank = upward_rank(instance)
    return [(-r * (1 + s / widest),) for r, s in zip(rank, instance.share, strict=True)]


def by_area(instance: Instance) -> Priority:
    """The largest area first: share of the cluster times duration."""
    return [(-area,) for area in _area(instance)]


def by_area_of_chain(instance: Instance) -> Priority:
    """The workflow at the head of the chain with the largest area first."""
    return [(-area,) for area in _longest(instance, _area(instance))]


def by_width(instance: Instance) -> Priority:
    """The largest share of the cluster first; of equal ones, the largest upward rank."""
    rank = upward_rank(instance)
    return [(-s, -r) for s, r in zip(instance.share, rank, strict=True)]


def by_area_behind(instance: Instance) -> Priority:
    """The largest area of a workflow and its children first."""
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
