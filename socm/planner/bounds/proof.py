"""What CP-SAT proves of a plan, and a better plan if it finds one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from socm.errors import ConfigError, InvalidPlan, Problem
from socm.model.check import check_plan
from socm.model.plan import Plan
from socm.planner.bounds import lower_bound
from socm.planner.bounds.relaxation import Relaxation
from socm.planner.instance import Modes, instance_of, modes_of
from socm.planner.schemes import serial

MOST = 10_000
"""The most modes, summed over all workflows, that CP-SAT is given."""
WORKERS = 8
ATTEMPTS = 20
"""The most schedules of the same length that are tried for a plan that is as short."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What is proved of a plan.

    Parameters
    ----------
    plan
        The best plan known: the one that was given, or a better one; with the best bound.
    status
        ``"optimal"``: no plan is shorter; ``"bounded"``: CP-SAT was asked, and a gap is left;
        ``"too large"``: the campaign is too large for CP-SAT, and the bound is our own.
    seconds
        How long it took.
    """

    plan: Plan
    status: Literal["optimal", "bounded", "too large"]
    seconds: float

    @property
    def bound(self) -> int:
        """Seconds since the campaign's start before which no plan ends."""
        return self.plan.lower_bound

    @property
    def optimal(self) -> bool:
        """Whether no plan can be shorter."""
        return self.plan.optimal


def prove(plan: Plan, *, seconds: float = 60.0, workers: int = WORKERS, seed: int = 0) -> Proof:
    """Ask CP-SAT for a better bound, or for a better plan.

    CP-SAT gets a relaxation (`socm.planner.bounds.relaxation`), so what it proves holds for every
    plan. Each better schedule that it finds serves as an order in which the workflows are planned
    again, one after another. The resulting plan counts only if it passes its check.

    Parameters
    ----------
    plan
        Any valid one.
    seconds
        How long CP-SAT may take.
    workers
        Threads. Each follows a strategy of its own, so more threads than cores can help.
    seed
        Random seed. The result is the same each time only with one worker that has enough time to
        end by itself; what is proved is true each time.

    Raises
    ------
    ConfigError
        If OR-Tools is not installed.

    References
    ----------
    L. Perron, F. Didier, S. Gay, CP 2023, LIPIcs 280, 3:1,
    https://doi.org/10.4230/LIPIcs.CP.2023.3
    """
    begin = time.monotonic()
    try:
        import ortools  # noqa: F401
    except ImportError as error:
        problem = Problem(
            message="a proof needs OR-Tools, which is not installed",
            hint="pip install 'socm[prove]'",
        )
        raise ConfigError(problem) from error
    modes = modes_of(plan.campaign, plan.cluster)
    own = lower_bound(
        plan.campaign,
        plan.cluster,
        modes,
        start=plan.start,
        fixed=[w for w in plan.workflows if w.fixed],
        known=plan.makespan,
    )
    best = plan if plan.lower_bound >= own else replace(plan, lower_bound=own, proved_by="bounds")

    def proof(status: Literal["bounded", "too large"]) -> Proof:
        return Proof(
            plan=best,
            status="optimal" if best.optimal else status,
            seconds=time.monotonic() - begin,
        )

    def found(order: list[str]) -> None:
        nonlocal best
        again = _planned_in_order(best, modes, order)
        if again is not None and again.makespan < best.makespan:
            best = again

    if best.optimal or sum(map(len, modes.values())) > MOST:
        return proof("too large")
    relaxation = Relaxation(best, modes)
    for attempt in range(ATTEMPTS):
        left = begin + seconds - time.monotonic()
        if best.optimal or left <= 0:
            break
        result = relaxation.solve(seconds=left, workers=workers, seed=seed + attempt, found=found)
        if result.bound > best.lower_bound:
            best = replace(best, lower_bound=result.bound, proved_by="CP-SAT")
        if result.makespan != result.bound:
            break
        # The shortest schedule did not become a plan; another one that is as short may.
    return proof("bounded")


def _planned_in_order(plan: Plan, modes: Modes, order: Sequence[str]) -> Plan | None:
    """Plan the campaign again, the workflows one after another; `None` if that breaks a rule."""
    instance = instance_of(
        plan.campaign,
        plan.cluster,
        modes,
        start=plan.start,
        reservations=plan.reservations,
        fixed=[w for w in plan.workflows if w.fixed],
    )
    place = {name: k for k, name in enumerate(order)}
    schedule = serial(instance, [(place[name],) for name in instance.names])
    workflows = schedule.planned(
        instance, [plan.by_name[name].upward_rank for name in instance.names]
    )
    workflows.sort(key=lambda w: (w.start, -w.upward_rank))
    again = replace(plan, workflows=tuple(workflows))
    try:
        check_plan(again)
    except InvalidPlan:
        return None
    return again
