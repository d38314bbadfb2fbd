"""What makes a deadline impossible: statements that hold for every plan."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from socm.model.campaign import Budget, ResourceRequest
from socm.model.mode import Mode
from socm.model.plan import Plan
from socm.planner.bounds import heads_and_tails
from socm.planner.instance import Modes, modes_of
from socm.planner.whynot.changes import Change, Limit

Resource = Literal["cores", "memory", "gpus"]


@dataclass(frozen=True, kw_only=True)
class Proven:
    """A reason why no plan ends before a time.

    Parameters
    ----------
    at_least
        That time, in seconds since the campaign's start.
    """

    at_least: int


@dataclass(frozen=True, kw_only=True)
class Begun(Proven):
    """A workflow has begun, and ends after the deadline."""

    workflow: str


@dataclass(frozen=True, kw_only=True)
class CriticalPath(Proven):
    """The longest path of dependencies.

    Parameters
    ----------
    workflows
        Names, in order.
    seconds
        The sum of their durations, each on the fastest partition that admits it.
    """

    workflows: tuple[str, ...]
    seconds: int


@dataclass(frozen=True, kw_only=True)
class Work(Proven):
    """There is more work for a resource than can be done until the deadline.

    Parameters
    ----------
    resource
        Cores, memory (MB) or GPUs.
    needed
        How much of it would have to be in use on average until the deadline.
    available
        How much of it can be in use at once.
    budget
        The part of the budget that limits it; empty if the cluster itself does.
    """

    resource: Resource
    needed: float
    available: int
    budget: Budget


@dataclass(frozen=True, kw_only=True)
class QosWork(Proven):
    """There is more work for a QOS than its limit allows until the deadline.

    Parameters
    ----------
    qos
        Its name.
    limit
        Which of its limits.
    workflows
        Names of those that no other QOS admits.
    needed
        How many jobs or cores would have to be in use on average until the deadline.
    available
        The limit.
    """

    qos: str
    limit: Limit
    workflows: tuple[str, ...]
    needed: float
    available: int


@dataclass(frozen=True, kw_only=True)
class CountedWork(Proven):
    """There is more work for a counted resource than its limit allows until the deadline.

    Parameters
    ----------
    name
        Of the resource.
    needed
        How much of it would have to be in use on average until the deadline.
    available
        The limit.
    """

    name: str
    needed: float
    available: int


@dataclass(frozen=True, kw_only=True)
class Combined(Proven):
    """Dependencies and resources together, where neither alone makes the deadline impossible."""


@dataclass(frozen=True, kw_only=True)
class Lifted:
    """A limit without which a plan ended sooner.

    Parameters
    ----------
    change
        What lifts it.
    without
        Makespan of the plan without it, in seconds.
    """

    change: Change
    without: int


def proven(plan: Plan) -> Iterator[Proven]:
    """Yield why no plan can meet the deadline, the worst first.

    Workflows that have begun are left out, and so is what they use: that only makes the
    statements weaker.
    """
    deadline = plan.campaign.deadline
    assert deadline is not None
    found: list[Proven] = [
        Begun(workflow=w.name, at_least=w.finish) for w in plan.workflows if w.fixed
    ]
    names = [w.name for w in plan.workflows if not w.fixed]
    if names:
        all_modes = modes_of(plan.campaign, plan.cluster)
        modes = {name: all_modes[name] for name in names}
        found += [_critical_path(plan, modes), *_resources(plan, modes)]
        found += [*_limits(plan, modes), *_counted(plan, modes)]
    too_long = [b for b in found if b.at_least > deadline]
    if not too_long and plan.lower_bound > deadline:
        too_long.append(Combined(at_least=plan.lower_bound))
    yield from sorted(too_long, key=lambda b: -b.at_least)


def _critical_path(plan: Plan, modes: Modes) -> CriticalPath:
    """Return the longest path, each workflow where it is fastest."""
    campaign = plan.campaign
    duration = {name: min(m.duration for m in its) for name, its in modes.items()}
    head, tail = heads_and_tails(campaign, duration)
    path = [max(duration, key=lambda name: (not head[name], duration[name] + tail[name]))]
    while tail[path[-1]]:
        left = tail[path[-1]]
        path.append(next(c for c in campaign.children[path[-1]] if duration[c] + tail[c] == left))
    seconds = sum(duration[name] for name in path)
    return CriticalPath(workflows=tuple(path), seconds=seconds, at_least=plan.start + seconds)


def _resources(plan: Plan, modes: Modes) -> Iterator[Work]:
    """Yield for each resource that is asked for the work for it, where it is least."""
    partitions = plan.cluster.distinct
    requests = {name: plan.campaign.workflows[name].request for name in modes}
    each: tuple[tuple[Resource, list[int], Callable[[Mode, ResourceRequest], int]], ...] = (
        ("cores", [p.cores for p in partitions], lambda mode, _: mode.cores),
        ("memory", [p.memory for p in partitions], _memory),
        ("gpus", [p.gpus for p in partitions], lambda _, request: request.ranks * request.gpus),
    )
    for resource, of_node, use in each:
        work = sum(
            min(use(m, requests[name]) * m.duration for m in its) for name, its in modes.items()
        )
        if not work:
            continue
        available, budget = _available(plan, resource, of_node)
        yield Work(
            resource=resource,
            needed=_needed(plan, work),
            available=available,
            budget=budget,
            at_least=_at_least(plan, work, available),
        )


def _memory(mode: Mode, request: ResourceRequest) -> int:
    whole = mode.fewest_nodes * mode.partition.memory if mode.exclusive else 0
    return max(whole, request.memory)


def _available(plan: Plan, resource: Resource, of_node: Sequence[int]) -> tuple[int, Budget]:
    """Return the most of a resource that can be in use at once, and what of the budget limits it.

    Parameters
    ----------
    of_node
        How much of it a node of each partition has.
    """
    budget, partitions = plan.campaign.budget, plan.cluster.distinct
    total, left, limit = 0, sum(p.nodes for p in partitions), Budget()
    if budget.nodes is not None and budget.nodes < left:
        left, limit = budget.nodes, Budget(nodes=budget.nodes)
    for amount, partition in sorted(
        zip(of_node, partitions, strict=True), key=lambda pair: -pair[0]
    ):
        total += amount * min(partition.nodes, left)
        left -= min(partition.nodes, left)
    if resource == "cores" and budget.cores is not None and budget.cores < total:
        return budget.cores, Budget(cores=budget.cores)
    return total, limit


def _limits(plan: Plan, modes: Modes) -> Iterator[QosWork]:
    """Yield for each limit of a QOS the work that no other QOS admits."""
    for qos in plan.cluster.qos_by_size:
        limits: tuple[tuple[Limit, int | None, Callable[[Mode], int]], ...] = (
            ("running_jobs", qos.running_jobs, lambda _: 1),
            ("submit_jobs", qos.submit_jobs, lambda _: 1),
            ("cores", qos.cores, lambda mode: mode.cores),
        )
        for limit, available, use in limits:
            mine = {
                name: its
                for name, its in modes.items()
                if {plan.cluster.owner(limit, m.partition.name, m.qos.name) for m in its}
                == {qos.name}
            }
            if mine and available is not None:
                work = sum(min(use(m) * m.duration for m in its) for its in mine.values())
                yield QosWork(
                    qos=qos.name,
                    limit=limit,
                    workflows=tuple(mine),
                    needed=_needed(plan, work),
                    available=available,
                    at_least=_at_least(plan, work, available),
                )


def _counted(plan: Plan, modes: Modes) -> Iterator[CountedWork]:
    """Yield for each counted resource the work that there is for it."""
    for name, most in plan.campaign.limits.items():
        work = sum(min(m.uses.get(name, 0) * m.duration for m in its) for its in modes.values())
        if work:
            yield CountedWork(
                name=name,
                needed=_needed(plan, work),
                available=most,
                at_least=_at_least(plan, work, most),
            )


def _needed(plan: Plan, work: int) -> float:
    """Return how much must be in use at all times for some work to be done by the deadline."""
    assert plan.campaign.deadline is not None
    return work / max(plan.campaign.deadline - plan.start, 1)


def _at_least(plan: Plan, work: int, available: int) -> int:
    """Return the earliest time by which some work can be done."""
    return plan.start + math.ceil(work / available)
