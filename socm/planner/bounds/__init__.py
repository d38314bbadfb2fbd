"""Makespans that no plan can beat.

Every bound holds for every plan on the cluster, whatever the policy: each leaves something out
(where nodes end, what runs beside what, the order) and computes the time that the rest takes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from socm.model.campaign import Campaign
from socm.model.cluster import Cluster
from socm.model.mode import Mode
from socm.model.placement import PlannedWorkflow
from socm.planner.bounds.destructive import MOST, Work, destructive_bound
from socm.planner.bounds.resources import Floats, distinct, usage
from socm.planner.chains import longest_before
from socm.planner.instance import Modes

_LEVELS = 64
"""The most heads, and the most tails, that the head-tail bound tries."""
_FEW_LEVELS, _FEWEST_LEVELS = 12, 4
"""The same for the bound by pigeonholes, for up to 128 workflows and for more."""


def lower_bound(
    campaign: Campaign,
    cluster: Cluster,
    modes: Modes,
    *,
    start: int = 0,
    fixed: Iterable[PlannedWorkflow] = (),
    known: int | None = None,
    quick: bool = False,
) -> int:
    """Return the largest of the bounds, in seconds since the campaign's start.

    Parameters
    ----------
    modes
        For each workflow the partitions and QOS that admit it.
    start
        When the plan begins.
    fixed
        Workflows that keep their place. Those that are over only end when they end.
    known
        Makespan of a plan. If it is given, the destructive bound is tried, too, for up to a few
        hundred workflows. Once a bound reaches this makespan, no other bound is tried.
    quick
        Whether only the critical path, and the areas with heads and tails along it, are wanted.
    """
    named = bounds_by_name(
        campaign,
        cluster,
        modes,
        start=start,
        fixed=fixed,
        known=known,
        quick=quick,
    )
    return max(named.values())


def bounds_by_name(
    campaign: Campaign,
    cluster: Cluster,
    modes: Modes,
    *,
    start: int = 0,
    fixed: Iterable[PlannedWorkflow] = (),
    known: int | None = None,
    quick: bool = False,
) -> dict[str, int]:
    """Return each bound; parameters are those of `lower_bound`.

    Bounds are rounded up to whole steps (`time_step`). Reservations are left out: with them a plan
    takes at least as long as without them.
    """
    places = {w.name: w for w in fixed}
    ended = max((w.finish for w in places.values()), default=0)
    if all(name in places for name in modes):
        return {"fixed": ended if places else start}
    work = _work(campaign, cluster, *left_to_do(campaign, modes, start, places))
    step = time_step(modes, start, places)
    bounds = {"fixed": ended}

    def add(name: str, seconds: float) -> None:
        bounds[name] = start + math.ceil(seconds / step) * step

    def open_still() -> bool:
        return known is None or max(bounds.values()) < known

    add("critical path", float((work.head + work.duration + work.tail).max()))
    if len(work.duration) <= MOST and not quick:
        work = work.lifted(step)
    chains = float((work.head + work.duration + work.tail).max())
    areas = max(head_tail_bound(work.head, work.tail, e) for e in work.energy.T)
    add("heads and tails", max(chains, areas))
    if open_still() and not quick:
        add("pigeonholes", pigeonhole_bound(work.head, work.tail, work.duration, work.share))
    if known is not None and open_still() and len(work.duration) <= MOST:
        low = max(bounds.values()) - start
        add("destructive", destructive_bound(work, low, known - start, step=step))
    return bounds


def left_to_do(
    campaign: Campaign,
    modes: Modes,
    start: int,
    places: Mapping[str, PlannedWorkflow],
) -> tuple[dict[str, Sequence[Mode]], dict[str, int]]:
    """Return the workflows that are not over, parents first, with their modes.

    The second value maps each fixed one of them to its start, counted from the start of the plan.
    What is left of a fixed workflow has a window that is as long as itself.
    """
    left: dict[str, Sequence[Mode]] = {}
    begins: dict[str, int] = {}
    for name in campaign.order:
        place = places.get(name)
        if name not in modes:
            continue
        if place is None:
            left[name] = modes[name]
        elif place.finish > start:
            begin = max(place.start, start)
            where = (place.partition, place.qos or "")
            same = [m for m in modes[name] if (m.partition.name, m.qos.name) == where]
            if same:
                left[name] = [replace(m, duration=place.finish - begin) for m in same]
                begins[name] = begin - start
    return left, begins


def _work(campaign: Campaign, cluster: Cluster, left: Modes, begins: Mapping[str, int]) -> Work:
    """Return the work that is left, in arrays."""
    duration = {name: min(m.duration for m in modes) for name, modes in left.items()}
    head, tail = heads_and_tails(campaign, duration, begins)
    number = {name: k for k, name in enumerate(left)}
    share, energy = usage(campaign, cluster, left)
    return Work(
        duration=np.array([duration[name] for name in left], dtype=float),
        head=np.array([head[name] for name in left], dtype=float),
        tail=np.array([tail[name] for name in left], dtype=float),
        parents=[
            [number[p] for p in campaign.workflows[name].depends if p in number] for name in left
        ],
        pinned=np.array([name in begins for name in left]),
        share=share,
        energy=energy,
    )


def time_step(modes: Modes, start: int, places: Mapping[str, PlannedWorkflow]) -> int:
    """Return the greatest common divisor of all durations, and of the times of what is fixed.

    The shortest plan takes a whole number of such steps from the start. To see this, round the
    starts of any plan down to steps. What is fixed stays, and no workflow begins before one that it
    waits for has ended. Workflows that then share a step [s, s + 1) ran at the same time before: at
    the latest of their starts within s and s + 1. So at no time is more in use than was in use at
    some time within the same step, and the plan does not end later.
    """
    durations = {m.duration for name, its in modes.items() if name not in places for m in its}
    times = [time for w in places.values() for time in (w.start, w.finish) if w.finish > start]
    return math.gcd(*durations, *(max(time - start, 0) for time in times))


def heads_and_tails(
    campaign: Campaign,
    duration: Mapping[str, int],
    fixed: Mapping[str, int] | None = None,
) -> tuple[dict[str, int], dict[str, int]]:
    """Return for each workflow its head, the least time before it, and its tail, that after it.

    Parameters
    ----------
    duration
        The least duration of each workflow.
    fixed
        Heads that are known already.

    Examples
    --------
    >>> from socm.model.campaign import ResourceRequest, Workflow
    >>> minute = ResourceRequest(runtime=60)
    >>> pair = Campaign.of("pair", [
    ...     Workflow(name="a", request=minute), Workflow(name="b", request=minute, depends=("a",))
    ... ])
    >>> heads_and_tails(pair, {"a": 60, "b": 30})
    ({'a': 0, 'b': 60}, {'b': 0, 'a': 30})
    """
    order = [name for name in campaign.order if name in duration]
    seconds = duration.__getitem__
    head = longest_before(order, lambda name: campaign.workflows[name].depends, seconds, fixed)
    tail = longest_before(reversed(order), campaign.children.__getitem__, seconds)
    return head, tail


def head_tail_bound(head: Floats, tail: Floats, time: Floats) -> int:
    """Return a bound from the work between heads and tails, for one resource.

    Workflows with a head of at least h and a tail of at least t all run between h and the end
    less t. So the end is at least h + (their time on the whole machine) + t. With h = t = 0 this
    is the plain area bound.

    Examples
    --------
    >>> head_tail_bound(np.array([0.0, 10.0]), np.array([0.0, 5.0]), np.array([100.0, 90.5]))
    191
    """
    levels_h, levels_t = _levels(head, _LEVELS), _levels(tail, _LEVELS)
    shape = len(levels_h), len(levels_t)
    row = np.searchsorted(levels_h, head, side="right") - 1
    column = np.searchsorted(levels_t, tail, side="right") - 1
    cell = np.bincount(row * shape[1] + column, weights=time, minlength=shape[0] * shape[1])
    area = cell.reshape(shape)
    at_least = area[::-1, ::-1].cumsum(axis=0).cumsum(axis=1)[::-1, ::-1]
    ends = np.where(at_least > 0, levels_h[:, None] + at_least + levels_t[None, :], 0.0)
    # The areas are sums of floats: a last digit must not lift the bound by a whole second.
    return math.ceil(float(ends.max()) * (1 - 1e-9) - 1e-6)


def pigeonhole_bound(head: Floats, tail: Floats, duration: Floats, share: Floats) -> int:
    """Return a bound from large workflows: a machine holds only a few of them at once.

    At most k workflows with shares of more than 1/(k + 1) run at once. An interval graph can be
    coloured with as many colours as its largest clique has members, so these workflows can be given
    to k servants, each of which does one after another. One servant does at least r + 1 of the
    r · k + 1 longest workflows. These take at least as long as the r + 1 shortest of them, between
    the least head and the least tail of all.

    References
    ----------
    M. Dell'Amico, S. Martello, ORSA J. Comput. 7 (1995) 191,
    https://doi.org/10.1287/ijoc.7.2.191 (for sequential jobs, without heads and tails)

    Examples
    --------
    >>> none = np.zeros(3)
    >>> pigeonhole_bound(none, none, np.array([50.0, 40.0, 30.0]), np.array([[0.4], [0.5], [0.4]]))
    70
    """
    best, seen = 0.0, set()
    for column in share.T:
        used = column[column > 0]
        for k in distinct(np.floor(1 / used + 1e-9))[:_LEVELS]:
            members = np.flatnonzero(column * (k + 1) > 1 + 1e-9)
            key = (k, members.tobytes())
            if len(members) > k and key not in seen:
                seen.add(key)
                members = members[np.argsort(-duration[members], kind="stable")]
                best = max(
                    best, _pigeonholes(head[members], tail[members], duration[members], int(k))
                )
    return math.ceil(best)


def _pigeonholes(head: Floats, tail: Floats, duration: Floats, k: int) -> float:
    """Return the bound for k servants and workflows that are sorted, the longest first."""
    best = 0.0
    most = _FEW_LEVELS if len(head) <= 128 else _FEWEST_LEVELS
    for h in _levels(head, most):
        late = head >= h
        if np.count_nonzero(late) <= k:
            break
        for t in _levels(tail[late], most):
            chosen = duration[late & (tail >= t)]
            if len(chosen) <= k:
                break
            summed = np.concatenate(([0.0], chosen.cumsum()))
            rounds = np.arange(1, (len(chosen) - 1) // k + 1)
            last = rounds * k + 1
            best = max(best, float(h + t + (summed[last] - summed[last - rounds - 1]).max()))
    return best


def _levels(values: Floats, most: int) -> NDArray[np.float64]:
    """Return the distinct values, or a sample of them that keeps the least."""
    levels = distinct(values)
    if len(levels) > most:
        picked = np.linspace(0, len(levels) - 1, most).round().astype(int)
        levels = levels[picked]
    return levels
