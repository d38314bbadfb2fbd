"""The plans of a campaign by its budget of nodes, and the smallest that meets the deadline.

More nodes do not always help: a list schedule on more of them can end later (Graham's
anomalies). So nothing here assumes that a larger budget has the shorter plan: bounds exclude
budgets with which no plan can be in time, and the others are planned.

References
----------
R. L. Graham, SIAM J. Appl. Math. 17 (1969) 416, https://doi.org/10.1137/0117039
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from socm.errors import Infeasible
from socm.model.campaign import Budget, Campaign, ResourceRequest
from socm.model.cluster import Cluster
from socm.model.mode import Mode
from socm.model.plan import Plan
from socm.planner.bounds import lower_bound
from socm.planner.policies import Planner


@dataclass(frozen=True, kw_only=True)
class Size:
    """A budget of nodes, and the plan for it."""

    nodes: int
    plan: Plan

    @property
    def margin(self) -> int | None:
        """Seconds from the plan's end to the deadline; negative if it is late."""
        deadline = self.plan.campaign.deadline
        return None if deadline is None else deadline - self.plan.makespan

    @property
    def in_time(self) -> bool:
        """Whether there is a deadline, and the plan meets it."""
        return self.margin is not None and self.margin >= 0


class Search:
    """The plans of a campaign by budget of nodes, as far as they were made.

    Parameters
    ----------
    most
        The most plans that are made to find the smallest budget.

    Attributes
    ----------
    sizes
        The budgets that were planned, by nodes; `None` where a workflow needs more nodes.
    top, whole
        The number of all nodes, and the plan with all of them.
    peak
        The most nodes that this plan has in use at once.
    fewest
        The fewest nodes on which every workflow fits.
    floor
        The smallest budget that no bound excludes.
    """

    def __init__(self, campaign: Campaign, cluster: Cluster, planner: Planner, most: int) -> None:
        self._campaign = campaign
        self._cluster = cluster
        self._planner = planner
        self._left = most
        self.top = sum(p.nodes for p in cluster.distinct)
        # With all nodes; if no plan exists at all, the planner says why.
        whole = planner(_within(campaign, self.top), cluster)
        self.whole = Size(nodes=self.top, plan=whole)
        self.sizes: dict[int, Size | None] = {self.top: self.whole}
        self.peak = max(whole.peak_nodes, 1)
        self._modes = {n: modes_by_nodes(w.request, cluster) for n, w in campaign.workflows.items()}
        self.fewest = max(map(min, self._modes.values()), default=1)
        self.floor = self._least_not_excluded()

    def at(self, nodes: int) -> Size | None:
        """Return the plan for a budget, which is made once; `None` if no plan exists."""
        if nodes not in self.sizes:
            self._left -= 1
            self.sizes[nodes] = size_of(self._campaign, self._cluster, self._planner, nodes)
        return self.sizes[nodes]

    def put(self, size: Size) -> None:
        """Add a plan that was made elsewhere."""
        self.sizes[size.nodes] = size
        if size.nodes == self.top:
            self.whole = size

    def smallest(self) -> Size | None:
        """Return the smallest budget that meets the deadline.

        Growing steps find some budget that does. All smaller budgets that the bounds leave are then
        planned, upwards: a budget between two that are late may be in time. Only if these would be
        too many, bisection comes first, and finds a smaller budget to count up to.
        """
        if self._campaign.deadline is None:
            return None
        for nodes in growing(self.floor, self.peak):
            if self._makes_it(nodes):
                break
        low = self.floor
        while self._end() - low > self._left > 0:
            middle = (low + self._end()) // 2
            if not self._makes_it(middle):
                low = middle + 1
        for nodes in range(self.floor, self._end()):
            if self._left <= 0 or self._makes_it(nodes):
                break
        return self.known()

    def _makes_it(self, nodes: int) -> bool:
        size = self.at(nodes)
        return size is not None and size.in_time

    def known(self) -> Size | None:
        """Return the smallest budget that is known to meet the deadline."""
        known = [size for size in self.sizes.values() if size and size.in_time]
        return min(known, key=lambda size: size.nodes, default=None)

    def _end(self) -> int:
        """Return the budget below which a smaller one is looked for.

        If no budget is known to meet the deadline, budgets beyond the peak of the plan with all
        nodes are left out: that plan did not use more nodes, though it could.
        """
        known = self.known()
        return known.nodes if known else self.peak + 1

    def _least_not_excluded(self) -> int:
        """Return the smallest budget that no bound excludes.

        A plan on k nodes is a plan for every larger budget. So if a bound excludes k, all smaller
        budgets are excluded, too, and bisection is correct. If bounds do not fall as nodes are
        added, the result may be too small, but never too large.
        """
        low, high = 0, self.top + 1
        while high - low > 1:
            middle = (low + high) // 2
            if self._excluded(middle):
                low = middle
            else:
                high = middle
        return high

    def _excluded(self, nodes: int) -> bool:
        deadline = self._campaign.deadline
        return nodes < self.fewest or (deadline is not None and self.bound(nodes) > deadline)

    def bound(self, nodes: int) -> int:
        """Return a lower bound on the makespan of every plan within a budget of nodes."""
        modes = {
            name: [m for fewest, some in by_nodes.items() if fewest <= nodes for m in some]
            for name, by_nodes in self._modes.items()
        }
        return lower_bound(_within(self._campaign, nodes), self._cluster, modes)


def size_of(campaign: Campaign, cluster: Cluster, planner: Planner, nodes: int) -> Size | None:
    """Plan within a budget of nodes; `None` if some workflow needs more."""
    try:
        plan = planner(_within(campaign, nodes), cluster)
    except Infeasible:
        return None
    return Size(nodes=nodes, plan=plan)


def _within(campaign: Campaign, nodes: int) -> Campaign:
    """Return a campaign with a budget of nodes; one of hours stays."""
    return replace(campaign, budget=replace(campaign.budget, cores=None, nodes=nodes))


def modes_by_nodes(request: ResourceRequest, cluster: Cluster) -> dict[int, tuple[Mode, ...]]:
    """Return the modes of a request by the nodes that a budget must have for them.

    A mode whose walltime is cut may be open to a small budget only: a larger budget may have a
    mode that allows all of it.
    """
    # Where a job gets whole nodes, its memory takes no further cores.
    per_node = {
        p.demand(request, exclusive=exclusive).ranks_within(*p.node)
        for p in cluster.partitions
        for exclusive in (False, True)
    }
    needs = sorted({-(-request.ranks // ranks) for ranks in per_node if ranks})
    by_nodes = {nodes: cluster.admit(request, Budget(nodes=nodes))[0] for nodes in needs}
    return {nodes: modes for nodes, modes in by_nodes.items() if modes}


def growing(first: int, last: int) -> Iterator[int]:
    """Yield budgets in growing steps, up to the last.

    Examples
    --------
    >>> [*growing(5, 30)]
    [5, 6, 8, 12, 20, 30]
    """
    step = 1
    while first < last:
        yield first
        first, step = first + step, 2 * step
    if step > 1 or first == last:
        yield last
