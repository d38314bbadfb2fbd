"""Whether a policy keeps to what a plan is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from socm.model.campaign import Campaign
from socm.model.cluster import Cluster
from socm.model.placement import PlannedWorkflow
from socm.model.plan import Plan
from socm.planner import Effort, plan_campaign
from socm.planner.policies import Policy
from socm.testing.strategies import pairs, reservations

ITERATIONS = 3
"""So often a policy that searches may try to improve a plan."""
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
"""What Hypothesis does, one after the other: at the end it looks for a smaller campaign."""


def check_policy(policy: Policy, *, examples: int = 100) -> None:
    """Plan random campaigns by a policy, and prove every plan.

    Each plan has every workflow once, breaks no dependency, capacity, QOS limit, budget or
    reservation, and ends no sooner than its lower bound; the same campaign gets the same plan;
    and what has begun stays where it is when the rest is planned anew.

    Parameters
    ----------
    policy
        What is to be checked.
    examples
        How many campaigns to plan.

    Raises
    ------
    InvalidPlan
        If a plan breaks a rule; Hypothesis prints the smallest campaign that it found.
    AssertionError
        If a policy changes its mind, or moves what has begun.

    Examples
    --------
    >>> from socm.planner.policies import fifo
    >>> check_policy(fifo, examples=5)
    """

    @settings(
        deadline=None,
        max_examples=examples,
        suppress_health_check=[HealthCheck.too_slow],
        report_multiple_bugs=False,
        phases=PHASES,
    )
    @given(pairs(most=12), st.data())
    def holds(pair: tuple[Campaign, Cluster], data: st.DataObject) -> None:
        campaign, cluster = pair
        windows = data.draw(reservations(cluster), label="reservations")

        def planned(start: int = 0, fixed: Iterable[PlannedWorkflow] = ()) -> Plan:
            return plan_campaign(
                campaign,
                cluster,
                start=start,
                reservations=windows,
                fixed=fixed,
                policy=policy,
                effort=Effort(iterations=ITERATIONS),
            )

        plan = planned()
        assert plan == planned(), "the same campaign got two different plans"
        now = data.draw(st.integers(0, plan.makespan), label="now")
        begun = {w.name: replace(w, fixed=True) for w in plan.workflows if w.start < now}
        kept = {w.name: w for w in planned(now, begun.values()).workflows if w.name in begun}
        assert kept == begun, "what had begun was moved"

    holds()
