"""The smallest change that makes a deadline, found by planning as few variants as will do."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from socm.errors import Infeasible
from socm.model.plan import Plan
from socm.planner.bounds import lower_bound
from socm.planner.instance import modes_of
from socm.planner.policies import Planner
from socm.planner.whynot.candidates import Case

MOST_PLANS = 60
"""So often is planned at the most."""
MOST_WORKFLOWS = 36_000
"""So many workflows are planned at the most, over all plans: large campaigns get fewer of them."""
UNTRIED = "less was not tried"


class Found(NamedTuple):
    """An amount that makes the deadline, when it is done then, and what is known of less."""

    amount: int
    makespan: int
    checked: str


class Trials:
    """Plans variants of a late plan, up to a number of them.

    Parameters
    ----------
    late
        A plan that misses its deadline.
    planner
        Plans variants of it.

    Attributes
    ----------
    made, left
        How many plans were made, and how many more may be.
    """

    def __init__(self, late: Plan, planner: Planner) -> None:
        assert late.campaign.deadline is not None
        self._late = late
        self._planner = planner
        self._deadline = late.campaign.deadline
        self.made = 0
        self.left = min(MOST_PLANS, MOST_WORKFLOWS // max(1, len(late.workflows)))

    def plan(self, case: Case) -> Plan | None:
        """Plan a variant; `None` if it cannot be planned, or no more may be."""
        if not self.left:
            return None
        self.left -= 1
        self.made += 1
        try:
            return self._planner(*case)
        except Infeasible:
            return None

    def makespan(self, case: Case) -> int | None:
        """Return when a variant is done, as `plan` has it."""
        plan = self.plan(case)
        return None if plan is None else plan.makespan

    def excluded(self, case: Case) -> int | None:
        """Return a lower bound of a variant, if it is over the deadline."""
        bound = self._bound(case)
        return bound if bound > self._deadline else None

    def _bound(self, case: Case) -> int:
        campaign, cluster = case
        modes = modes_of(campaign, cluster)
        if not all(modes.values()):
            return 0
        return lower_bound(
            campaign,
            cluster,
            modes,
            start=self._late.start,
            fixed=[w for w in self._late.workflows if w.fixed],
        )

    def smallest(
        self, most: int, case: Callable[[int], Case], at_most: int | None = None
    ) -> Found | None:
        """Find the smallest amount, from 1 on, that makes the deadline, as far as it is tried.

        Nothing rests on more being better: list schedules have anomalies, in which more nodes, or
        less to do, end later (R. L. Graham, SIAM J. Appl. Math. 17 (1969) 416,
        https://doi.org/10.1137/0117039). Amounts that a lower bound excludes need no plan. The
        first that is planned is where the bound leaves as much room as the late plan had to its
        own; from there it goes up in growing steps if that is late, else down; and between one
        that is late and one in time by halves. So the amount below the one that is found cannot
        do, or was planned and is late; some of those further below may not have been tried.

        Parameters
        ----------
        most
            If this amount is late, nothing is found.
        case
            The variant for an amount.
        at_most
            The makespan for the most, where it is known.
        """
        if most < 1:
            return None
        if at_most is None:
            at_most = self.makespan(case(most))
        if at_most is None or at_most > self._deadline:
            return None
        floor = self._floor(most, case, self._deadline)
        best, ends_at, late = most, at_most, floor - 1
        amount = self._floor(most, case, self._deadline / (1 + self._late.gap))
        step, seen = 1, set[bool]()
        while best - late > 1:
            amount = min(max(amount, late + 1), best - 1)
            ends = self.makespan(case(amount))
            if ends is None:
                break
            seen.add(in_time := ends <= self._deadline)
            if in_time:
                best, ends_at = amount, ends
            else:
                late = amount
            if len(seen) > 1:
                amount = (best + late) // 2
            else:
                amount, step = (best - step if in_time else late + step), 2 * step
        if best - late > 1:
            checked = UNTRIED
        elif late >= floor:
            checked = "a step less was planned, and is late"
        else:
            checked = "no plan can do with less" if floor > 1 else "the smallest step"
        return Found(best, ends_at, checked)

    def _floor(self, most: int, case: Callable[[int], Case], time: float) -> int:
        """Return an amount below which bounds are over a time, if they fall as amounts rise."""
        over, under = 0, most
        while under - over > 1:
            middle = (under + over) // 2
            if self._bound(case(middle)) > time:
                over = middle
            else:
                under = middle
        return under
