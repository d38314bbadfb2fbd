"""The smallest change that meets a deadline, found by planning few variants."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple

from socm.errors import Infeasible
from socm.model.plan import Plan
from socm.planner.bounds import lower_bound
from socm.planner.instance import modes_of
from socm.planner.policies import Planner
from socm.planner.whynot.changes import Case, Change, applied

MOST_PLANS = 60
"""The largest number of plans that are made."""
MOST_WORKFLOWS = 36_000
"""The largest number of workflows, summed over all plans: large campaigns get fewer plans."""


class Less(Enum):
    """What is known of a change that is one step smaller."""

    NONE = auto()
    """No smaller step exists."""
    EXCLUDED = auto()
    """A lower bound shows that it misses the deadline."""
    LATE = auto()
    """It was planned, and is late."""
    UNTRIED = auto()
    """Nothing."""


class Found(NamedTuple):
    """An amount that meets the deadline, the makespan with it, and what is known of less."""

    amount: int
    makespan: int
    less: Less


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
        Number of plans that were made, and that may still be made.
    """

    def __init__(self, late: Plan, planner: Planner) -> None:
        assert late.campaign.deadline is not None
        self._late = late
        self._planner = planner
        self._deadline = late.campaign.deadline
        self.made = 0
        self.left = min(MOST_PLANS, MOST_WORKFLOWS // max(1, len(late.workflows)))

    def plan(self, change: Change) -> Plan | None:
        """Plan a variant; `None` if it cannot be planned, or the search limit is reached."""
        if not self.left:
            return None
        self.left -= 1
        self.made += 1
        try:
            return self._planner(*self._applied(change))
        except Infeasible:
            return None

    def makespan(self, change: Change) -> int | None:
        """Return the makespan of a variant, as `plan` has it."""
        plan = self.plan(change)
        return None if plan is None else plan.makespan

    def excluded(self, change: Change) -> int | None:
        """Return a lower bound of a variant, if it is over the deadline."""
        bound = self._bound(change)
        return bound if bound > self._deadline else None

    def _applied(self, change: Change) -> Case:
        return applied(change, self._late.campaign, self._late.cluster)

    def _bound(self, change: Change) -> int:
        campaign, cluster = self._applied(change)
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
        self, most: int, change: Callable[[int], Change], at_most: int | None = None
    ) -> Found | None:
        """Find the smallest amount, from 1 on, that meets the deadline, as far as it is tried.

        The search does not assume that more is better: list schedules have anomalies, in which
        more nodes, or less work, end later (R. L. Graham, SIAM J. Appl. Math. 17 (1969) 416,
        https://doi.org/10.1137/0117039). Amounts that a lower bound excludes need no plan. The
        first amount that is planned is where the gap to the bound is that of the late plan. From
        there the search goes up in growing steps if that is late, else down, and then bisects
        between an amount that is late and one in time. So the amount below the one that is found
        is excluded, or was planned and is late; some smaller amounts may not have been tried.

        Parameters
        ----------
        most
            If this amount is late, nothing is found.
        change
            The change for an amount.
        at_most
            The makespan for the largest amount, where it is known.
        """
        if most < 1:
            return None
        if at_most is None:
            at_most = self.makespan(change(most))
        if at_most is None or at_most > self._deadline:
            return None
        floor = self._floor(most, change, self._deadline)
        best, ends_at, late = most, at_most, floor - 1
        amount = self._floor(most, change, self._deadline / (1 + self._late.gap))
        step, seen = 1, set[bool]()
        while best - late > 1:
            amount = min(max(amount, late + 1), best - 1)
            ends = self.makespan(change(amount))
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
            less = Less.UNTRIED
        elif late >= floor:
            less = Less.LATE
        else:
            less = Less.EXCLUDED if floor > 1 else Less.NONE
        return Found(best, ends_at, less)

    def _floor(self, most: int, change: Callable[[int], Change], time: float) -> int:
        """Return an amount below which bounds are over a time, if they fall as amounts rise."""
        over, under = 0, most
        while under - over > 1:
            middle = (under + over) // 2
            if self._bound(change(middle)) > time:
                over = middle
            else:
                under = middle
        return under
