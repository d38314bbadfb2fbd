"""A campaign in allocations on the emulated cluster: each carries on what the one before left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from sim.backend import SimBackend
from socm.engine.backend import Job
from socm.engine.driver import run_plan
from socm.engine.journal import MemoryJournal
from socm.engine.release import Gate
from socm.engine.state import CampaignState
from socm.model.allocation import AllocationPlan
from socm.model.plan import Plan


def run_in_allocations(
    plan: AllocationPlan,
    steps: Plan,
    gates: Mapping[str, Gate],
    runtime: Callable[[Job], float],
    journal: MemoryJournal,
) -> CampaignState:
    """Carry out a plan in allocations, one after the other, until everything is over.

    An allocation starts when the one before it has ended: nobody is assumed to wait in the queue.
    Another one follows after those of the plan as long as something remains. As many as the
    campaign allows retries may complete nothing.

    Parameters
    ----------
    steps
        The plan of all workflows, as `socm.model.allocation.of_steps` makes it.
    gates
        Of that plan.

    Returns
    -------
    CampaignState
        With every workflow in a final state, unless too many allocations completed nothing.
    """
    start, number, fruitless = float(plan.start), 0, 0
    state = CampaignState.of(steps)
    while plan.allocations and fruitless <= plan.campaign.retries:
        end = start + plan.nth(number).walltime
        backend = SimBackend(steps.cluster, runtime, start=start, closes=end)
        before = _over(state)
        state = run_plan(
            steps,
            backend,
            journal,
            release=lambda _: gates,
            events=[*journal.events],
            closes=partial(float, end),
        )
        if state.ended is not None:
            break
        start, number = backend.now(), number + 1
        fruitless += _over(state) == before
    return state


def _over(state: CampaignState) -> int:
    return sum(progress.status.final for progress in state.workflows.values())
