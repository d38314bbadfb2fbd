"""The least that makes the deadline: nodes, core-hours, or what these are charged."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Literal

from socm.errors import ConfigError, Problem
from socm.model.campaign import Budget, Campaign
from socm.model.cluster import Cluster
from socm.model.plan import Plan
from socm.planner.policies import Planner
from socm.planner.sizing.budgets import Search, Size, growing, size_of
from socm.planner.sizing.costs import Costs

Objective = Literal["nodes", "core-hours", "charge"]

MOST_PLANS = 100
"""So many plans are made to find the fewest nodes; what is left then is not tried."""
SHOWN = 8
"""So many budgets beside those are planned, to show what more nodes would bring."""


@dataclass(frozen=True, kw_only=True)
class Sizing:
    """What budgets come to, and which is the smallest that makes the deadline.

    Parameters
    ----------
    minimize
        What was to be small.
    rows
        What was planned, by nodes.
    chosen
        The smallest; `None` if nothing that was planned makes the deadline, or there is none.
    floor
        With fewer nodes no plan can make the deadline.
    bound
        Lower bound with one node less, in seconds; `None` if some workflow needs more nodes.
    untried
        First and last of each run of budgets that might be smaller, and were not planned.
    least
        Core-hours that every plan takes at least, charged if that is what was to be small.
    usual
        The same budget where time alone counts, if that takes more than the chosen plan.
    named
        The partition and the QOS that workflows were given to stay where they are cheap.
    """

    minimize: Objective
    rows: tuple[Size, ...]
    chosen: Size | None
    floor: int
    bound: int | None
    untried: tuple[tuple[int, int], ...] = ()
    least: float | None = None
    usual: Size | None = None
    named: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)

    @property
    def best(self) -> Size:
        """The chosen size, else that of the shortest plan."""
        return self.chosen or min(self.rows, key=lambda size: (size.plan.makespan, size.nodes))


def size_campaign(
    campaign: Campaign,
    cluster: Cluster,
    planner: Planner,
    *,
    minimize: Objective = "nodes",
    most_plans: int = MOST_PLANS,
) -> Sizing:
    """Find the smallest budget with which the planner makes the deadline.

    The budget that the campaign has is what is looked for: it counts for nothing here.

    ``nodes``
        The fewest nodes. Every smaller budget was planned and is late, is excluded by a bound, or
        is listed as untried. Without a deadline: what a range of budgets comes to.
    ``core-hours``, ``charge``
        The cheapest plan, and of equal ones that with the fewest nodes. Where all workflows can
        be where they are cheapest, no plan is cheaper; else as many as could be found.

    Parameters
    ----------
    planner
        Gets the campaign with one budget of nodes after the other.
    most_plans
        When so many plans were made for one search, what is left is not tried.

    Raises
    ------
    Infeasible
        If some workflow fits nowhere, whatever the budget.
    ConfigError
        If core-hours or charge are to be small and there is no deadline.

    Examples
    --------
    >>> from socm.model.campaign import ResourceRequest, Workflow
    >>> from socm.model.cluster import Partition
    >>> from socm.planner import plan_campaign
    >>> hour = ResourceRequest(threads=8, runtime=3600)
    >>> maps = [Workflow(name=f"map-{k}", request=hour) for k in range(10)]
    >>> campaign = Campaign.of("maps", maps, deadline=3 * 3600)
    >>> cpu = Partition(name="cpu", nodes=20, cores=8, memory=1000)
    >>> sizing = size_campaign(campaign, Cluster(name="c", partitions=(cpu,)), plan_campaign)
    >>> sizing.chosen.nodes, sizing.chosen.plan.makespan, sizing.floor
    (4, 10800, 4)
    """
    free = replace(campaign, budget=Budget())
    if minimize == "nodes":
        search = Search(free, cluster, planner, most_plans)
        search.smallest()
        return _found(search, minimize)
    if campaign.deadline is None:
        message = f"the least {minimize} that make the deadline: there is no deadline"
        raise ConfigError(Problem(message=message, hint='say deadline = "3d" in [campaign]'))
    return _cheapest(free, cluster, planner, minimize, most_plans)


def _found(search: Search, minimize: Objective) -> Sizing:
    """Say what a search found; some more budgets are planned to show what nodes bring."""
    known = search.known()
    more = growing(known.nodes if known else search.fewest, search.peak)
    whole = search.whole
    for nodes in islice(more, SHOWN):
        size = search.at(nodes)
        if size is not None and size.plan.makespan <= whole.plan.makespan:
            break
    chosen = search.known()
    # All nodes, most of them idle, are worth a row only if nothing else is as good.
    rows = [size for _, size in sorted(search.sizes.items()) if size and size is not whole]
    if all(whole.plan.makespan < size.plan.makespan for size in rows):
        rows.append(whole)
    below, end = search.floor - 1, chosen.nodes if chosen else search.top
    untried = _gaps(search.sizes, search.floor, end) if whole.margin is not None else ()
    return Sizing(
        minimize=minimize,
        rows=tuple(rows),
        chosen=chosen,
        floor=search.floor,
        bound=search.bound(below) if below >= search.fewest else None,
        untried=tuple(untried),
    )


def _gaps(known: Collection[int], first: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the first and the last of each run of numbers before an end that are not known.

    Examples
    --------
    >>> [*_gaps({5, 6, 9}, 4, 12)]
    [(4, 4), (7, 8), (10, 11)]
    """
    for number in sorted(n for n in {*known, end} if first <= n <= end):
        if number > first:
            yield first, number - 1
        first = number + 1


def _cheapest(
    free: Campaign, cluster: Cluster, planner: Planner, minimize: Objective, most: int
) -> Sizing:
    """Find the cheapest plan in time: all where it costs least, or as many as can be."""
    usual = Search(free, cluster, planner, most)
    costs = Costs(free, cluster, charged=minimize == "charge")
    frugal = costs.held_to(dict.fromkeys(free.workflows, 0))
    search = usual if frugal == free else Search(frugal, cluster, planner, most)
    if search.smallest() is None and search is not usual:
        search = usual
        if (found := usual.smallest()) is not None:
            begin = usual.whole if usual.whole.in_time else found
            thrifty = _thrifty(begin, costs, cluster, planner, most)
            levels = {w.name: costs.level(w) for w in thrifty.workflows}
            search = Search(costs.held_to(levels), cluster, planner, most)
            search.put(Size(nodes=begin.nodes, plan=thrifty))
            search.smallest()
    sizing = replace(_found(search, minimize), least=costs.least)
    if sizing.chosen is None or search is usual:
        return sizing
    # Where time alone chooses the cheapest ways, too, nothing need be named.
    chosen, same = sizing.chosen, usual.at(sizing.chosen.nodes)
    if same is not None and same.in_time and costs.total(same.plan) <= costs.total(chosen.plan):
        rows = tuple(same if size is chosen else size for size in sizing.rows)
        return replace(sizing, rows=rows, chosen=same)
    named = {
        name: (w.request.partition, w.request.qos)
        for name, w in chosen.plan.campaign.workflows.items()
        if w.request != free.workflows[name].request
    }
    return replace(sizing, usual=same, named=named)


def _thrifty(begin: Size, costs: Costs, cluster: Cluster, planner: Planner, most: int) -> Plan:
    """Move to where they are cheaper as many workflows of a plan as the deadline lets.

    Those that save most come first, all at once; a group that is too slow is halved.
    """
    plan = begin.plan
    held: dict[str, int] = {}
    for level in range(max((len(levels) for levels in costs.levels.values()), default=1) - 1):
        saved = {w.name: costs.of(w) - costs.at(w.name, level) for w in plan.workflows}
        groups = [sorted((n for n in saved if saved[n] > 0), key=lambda n: -saved[n])]
        while groups and most > 0:
            group = groups.pop()
            trial = held | dict.fromkeys(group, level)
            most -= 1
            size = size_of(costs.held_to(trial), cluster, planner, begin.nodes)
            if size and size.in_time and costs.total(size.plan) < costs.total(plan):
                held, plan = trial, size.plan
            elif len(group) > 1:
                half = len(group) // 2
                groups += [group[half:], group[:half]]
    return plan
