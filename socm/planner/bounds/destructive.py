"""The destructive lower bound: assume a makespan, and look for a contradiction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from socm.planner.bounds.resources import Floats, distinct

MOST = 300
"""Workflows up to which the bound is worth its time: it looks at all pairs of them."""
_LEVELS = 16
"""The most begins, and the most ends, of intervals that are tried."""
_ROUNDS = 20
"""The most times that windows are narrowed; stopping early makes the bound weaker, not wrong."""
_TOLERANCE = 1e-9

Windows = tuple[Floats, Floats]
"""The earliest start and the latest finish of each workflow."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is to be done, in arrays; times in seconds from the plan's start.

    Parameters
    ----------
    duration
        The least duration of each workflow.
    head, tail
        The least time from the start to its begin, and from its end to the end of the plan.
    parents
        The numbers of the workflows that it waits for; all are smaller than its own.
    pinned
        Whether it begins at its head, and no later.
    share, energy
        What it uses of each resource (`socm.planner.bounds.resources.Usage`).
    """

    duration: Floats
    head: Floats
    tail: Floats
    parents: Sequence[Sequence[int]]
    pinned: NDArray[np.bool_]
    share: Floats
    energy: Floats

    def windows(self, makespan: int) -> Windows:
        """The windows that heads and tails leave within a makespan."""
        latest = makespan - self.tail
        return self.head, np.where(self.pinned, self.head + self.duration, latest)

    @cached_property
    def lag(self) -> Floats:
        """Seconds from the start of one (row) to that of another (column) along dependencies.

        Minus infinity where neither waits for the other.
        """
        count = len(self.duration)
        lag = np.full((count, count), -np.inf)
        for child, parents in enumerate(self.parents):
            lag[child, child] = 0.0
            for parent in parents:
                np.maximum(lag[:, child], lag[:, parent] + self.duration[parent], out=lag[:, child])
        return lag

    def lifted(self, step: int = 1) -> Work:
        """Return the same with heads and tails that count what must be done before and after.

        Everything that a workflow waits for is done before it begins. Those of its ancestors with a
        head of at least h take their time on a machine after h, and then comes the chain from the
        nearest of them to the workflow. So heads grow from each workflow to those that wait for
        it, and tails grow likewise.

        Parameters
        ----------
        step
            All times are multiples of it.
        """
        waits = self.lag > -np.inf
        np.fill_diagonal(waits, val=False)
        between = self.lag - self.duration[:, None]  # from the end of one to the start of another
        forward = range(len(self.duration))
        head = _lifted(self.head, self.duration, waits, between, self.energy, forward, step)
        tail = _lifted(
            self.tail, self.duration, waits.T, between.T, self.energy, forward[::-1], step
        )
        return replace(
            self, head=np.where(self.pinned, self.head, head), tail=np.maximum(self.tail, tail)
        )

    @cached_property
    def apart(self) -> NDArray[np.bool_]:
        """Pairs that together need more than the whole of some machine: they never run at once."""
        count = len(self.duration)
        apart = np.zeros((count, count), dtype=bool)
        for column in self.share.T:
            apart |= column[:, None] + column[None, :] > 1 + _TOLERANCE
        related = self.lag > -np.inf
        return apart & ~(related | related.T)


def _lifted(
    head: Floats,
    duration: Floats,
    before: NDArray[np.bool_],
    between: Floats,
    energy: Floats,
    order: Iterable[int],
    step: int,
) -> Floats:
    """Lift heads one after the other; `before` has the ancestors of each in its column."""
    head = head.copy()
    for k in order:
        first = np.flatnonzero(before[:, k])
        if len(first):
            first = first[np.argsort(-head[first], kind="stable")]
            chain = (head[first] + duration[first] + between[first, k]).max()
            area = head[first] + energy[first].cumsum(axis=0).max(axis=1)
            area += np.minimum.accumulate(between[first, k])
            # Sums of floats: a last digit must not lift a head by a whole step.
            least = max(head[k], chain, area.max() * (1 - 1e-12) - 1e-6)
            head[k] = np.ceil(least / step) * step
    return head


def destructive_bound(work: Work, low: int, high: int, *, step: int = 1) -> int:
    """Return the largest bound that is found between `low` and `high`.

    An assumed makespan gives each workflow a window. Windows are narrowed by dependencies, by pairs
    that never run at once, and by energy. If a window closes, or an interval cannot hold what must
    run in it, no plan has that makespan or a smaller one. The makespans are chosen by bisection,
    but each is refuted by itself, so the choice does not matter for the truth of the bound.

    Parameters
    ----------
    low, high
        A bound, and the makespan of a plan (or any other at which to stop).
    step
        Makespans are multiples of it.

    References
    ----------
    R. Klein, A. Scholl, Eur. J. Oper. Res. 112 (1999) 322,
    https://doi.org/10.1016/S0377-2217(97)00442-6 (destructive improvement)

    P. Baptiste, C. Le Pape, W. Nuijten, Ann. Oper. Res. 92 (1999) 305,
    https://doi.org/10.1023/A:1018995000688 (energy, and adjustments by it)
    """
    first, last = -(-low // step), -(-high // step)
    while first < last:
        middle = (first + last) // 2
        if _narrowed(work, work.windows(middle * step)) is None:
            first = middle + 1
        else:
            last = middle
    return max(low, min(first * step, high))


def _narrowed(work: Work, windows: Windows) -> Windows | None:
    """Narrow windows by the rules below; `None` if that leads to a contradiction."""
    for _ in range(_ROUNDS):
        before = windows
        by_order = _by_order(work, windows)
        if by_order is None:
            return None
        by_energy = _by_energy(work, by_order)
        if by_energy is None or _closed(work, by_energy):
            return None
        windows = by_energy
        if _same(before, windows):
            break
    return windows


def _by_order(work: Work, windows: Windows) -> Windows | None:
    """Narrow by dependencies, and by pairs that never run at once.

    If i and j never run at once, and i cannot end before j must begin, then j comes first.
    """
    earliest, latest = windows
    duration, lag, apart = work.duration, work.lag, work.apart
    for _ in range(_ROUNDS):
        before = earliest, latest
        earliest = (earliest[:, None] + lag).max(axis=0)
        latest = ((latest - duration)[None, :] - lag).min(axis=1) + duration
        if _closed(work, (earliest, latest)):
            return None
        too_late = (earliest + duration)[:, None] > (latest - duration)[None, :]
        second = apart & too_late  # the row of the pair cannot be first
        if (second & second.T).any():
            return None
        after = np.where(second, (earliest + duration)[None, :], -np.inf).max(axis=1)
        until = np.where(second, (latest - duration)[:, None], np.inf).min(axis=0)
        earliest, latest = np.maximum(earliest, after), np.minimum(latest, until)
        if _same(before, (earliest, latest)):
            break
    return earliest, latest


def _by_energy(work: Work, windows: Windows) -> Windows | None:
    """Narrow by what must be done within intervals.

    Wherever a workflow lies in its window, at least some part of its work is within an interval:
    the smaller part of those at its earliest and at its latest. The sum of these parts on a machine
    cannot exceed the length of the interval. If a workflow at its earliest would exceed it, the
    workflow must begin later, so that less of it is within; likewise for its latest.
    """
    earliest, latest = windows
    duration = work.duration
    begin = _levels(earliest)[:, None, None]
    end = _levels(latest)[None, :, None]
    length = np.maximum(end - begin, 0.0)
    at_left = np.minimum(earliest + duration, end) - np.maximum(earliest, begin)
    at_right = np.minimum(latest, end) - np.maximum(latest - duration, begin)
    at_left, at_right = np.maximum(at_left, 0.0), np.maximum(at_right, 0.0)
    part = np.minimum(at_left, at_right)
    # Sums of floats: an excess in the last digit does not count.
    slack = length - part @ work.share + (_TOLERANCE * end + 1e-6)
    if (slack < 0).any():
        return None
    more_left, more_right = at_left - part, at_right - part
    either = np.maximum(more_left, more_right)
    new_earliest, new_latest = earliest.copy(), latest.copy()
    for machine, share in enumerate(work.share.T):
        room = slack[:, :, machine]
        on = np.flatnonzero(share)
        tight = (length[:, :, 0] > 0) & ((either[:, :, on] * share[on]).max(axis=2) > room)
        rows, columns = np.nonzero(tight)
        if not len(rows):
            continue
        spare = room[rows, columns, None] / share[on] + part[rows, columns][:, on]
        over = more_left[rows, columns][:, on] * share[on] > room[rows, columns, None]
        bound = np.where(over, end[0, columns] - spare, -np.inf).max(axis=0)
        new_earliest[on] = np.maximum(new_earliest[on], np.ceil(bound))
        over = more_right[rows, columns][:, on] * share[on] > room[rows, columns, None]
        bound = np.where(over, begin[rows, 0] + spare, np.inf).min(axis=0)
        new_latest[on] = np.minimum(new_latest[on], np.floor(bound))
    return new_earliest, new_latest


def _closed(work: Work, windows: Windows) -> bool:
    return bool((windows[0] + work.duration > windows[1]).any())


def _same(a: Windows, b: Windows) -> bool:
    return bool(np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1]))


def _levels(values: Floats) -> Floats:
    """Return the distinct values, or a sample of them with both ends."""
    levels = distinct(values)
    if len(levels) > _LEVELS:
        picked = np.linspace(0, len(levels) - 1, _LEVELS).round().astype(int)
        levels = levels[picked]
    return levels
