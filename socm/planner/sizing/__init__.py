"""The least that meets the deadline: nodes, core-hours, or what these are charged."""

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
"""The most plans that are made to find the fewest nodes; further budgets are not tried."""
SHOWN = 8
"""The most budgets that are planned beside those, to show what more nodes would bring."""


@dataclass(frozen=True, kw_only=True)
class Sizing:
    """The plans for some budgets, and the smallest budget that meets the deadline.

    Parameters
    ----------
    minimize
        What is minimized.
    rows
        The budgets that were planned, by nodes.
    chosen
        The smallest; `None` if no plan meets the deadline, or there is no deadline.
    floor
        With fewer nodes no plan can meet the deadline.
    bound
        Lower bound with one node less, in seconds; `None` if some workflow needs more nodes.
    untried
        First and last of each run of smaller budgets that were not planned.
    least
        The least core-hours of any plan, or what they are charged if that is minimized.
    usual
        The same budget planned for time alone, if that costs more than the chosen plan.
    named
        The partition and the QOS that keep workflows where they are cheap.
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
    """Find the smallest budget for which the planner meets the deadline.

    The budget that the campaign has is ignored.

    ``nodes``
        The fewest nodes. Every smaller budget was planned and is late, is excluded by a bound, or
        is listed as untried. Without a deadline, a range of budgets is planned.
    ``core-hours``, ``charge``
        The cheapest plan that is found; of equally cheap ones that with the fewest nodes. If every
        workflow can be where it is cheapest, no plan is cheaper.

    Parameters
    ----------
    planner
        Plans the campaign with one budget of nodes after the other.
    most_plans
        The most plans that are made for one search; further budgets are not tried.

    Raises
    ------
    Infeasible
        If some workflow fits nowhere, whatever the budget.
    ConfigError
        If core-hours or charge are minimized and there is no deadline.

    Examples
    --------
    >>> from socm.model.campaign import ResourceRequest, Workflow
    >>> from socm.model.partition import Partition
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
        message = f"the least {minimize} cannot be found: the campaign has no deadline"
        raise ConfigError(Problem(message=message, hint='say deadline = "3d" in [campaign]'))
    return _cheapest(free, cluster, planner, minimize, most_plans)


def _found(search: Search, minimize: Objective) -> Sizing:
    """Return what a search found; a few more budgets show what more nodes would bring."""
    known = search.known()
    more = growing(known.nodes if known else search.fewest, search.peak)
    whole = search.whole
    for nodes in islice(more, SHOWN):
        size = search.at(nodes)
        if size is not None and size.plan.makespan <= whole.plan.makespan:
            break
    chosen = search.known()
    # The budget of all nodes is a row only if no other budget is as good.
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
    """Find the cheapest plan in time: all workflows where they are cheapest, or most of them."""
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
    # If planning for time alone is as cheap, no partition or QOS need be named.
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
    """Move workflows to where they are cheaper, as far as the deadline allows.

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
