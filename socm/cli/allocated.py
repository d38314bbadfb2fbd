"""What ``run`` and ``resume`` do where a campaign runs in allocations, or inside of one."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from socm.errors import ActiveRun

if TYPE_CHECKING:
    from socm.engine.retry import RetryPolicy
    from socm.engine.run import Run
    from socm.model.allocation import AllocationPlan, AnyPlan
    from socm.model.plan import Plan

LOOK = 2.0
"""Seconds between two attempts to be the process that carries a run on."""


def plan_of_jobs(plan: AllocationPlan) -> Plan:
    """Return the plan whose one workflow is the allocations; each carries the inner run on."""
    from socm.engine.run import INSIDE
    from socm.model.allocation import as_job
    from socm.planner import plan_campaign

    # Seen from the folder of an attempt, right also where the folder of the run was renamed.
    command = (sys.executable, "-m", "socm", "resume", f"../../../{INSIDE}")
    return plan_campaign(as_job(plan, command), plan.cluster)


def to_submit(made: AnyPlan, executor: str) -> tuple[Plan, AllocationPlan | None]:
    """Return the plan of what is submitted, and the allocations if it is these."""
    from socm.executor import STEPS
    from socm.model.allocation import AllocationPlan, of_jobs, of_steps

    if not isinstance(made, AllocationPlan):
        return made, None
    if executor == STEPS:
        return of_steps(made), None
    return (plan_of_jobs(made), made) if executor == "slurm" else (of_jobs(made), None)


def retry_policy(run: Run) -> RetryPolicy | None:
    """Return when another allocation follows; `None` where the workflows of a run are its jobs."""
    from socm.engine.allocations import NextAllocation, fruitful
    from socm.engine.journal import read_journal

    allocations, inside = run.allocations, run.inside
    if allocations is None or inside is None:
        return None
    return NextAllocation(
        attempts=allocations.campaign.retries + 1,
        plan=allocations,
        fruitful=lambda: fruitful(read_journal(inside.journal)) if inside.journal.exists() else 0,
    )


def retry_inside(run: Run) -> None:
    """Let what failed within the allocations of a run be tried again by the next one.

    Raises
    ------
    RunError
        If an allocation carries it on just now.
    """
    from socm.engine.events import CampaignResumed
    from socm.engine.journal import FileJournal

    inside = run.inside
    if inside is None or not inside.journal.exists():
        return
    with inside.lock(), FileJournal(inside.journal) as journal:
        journal.write(CampaignResumed(time=journal.latest, retry_failed=True))


@contextmanager
def locked(run: Run) -> Iterator[str]:
    """Be the only process that carries a run on; yields the id of this life.

    Where an allocation was ended, its process on another node may have shown a sign of life a
    moment ago: then the next one waits until it counts as gone.
    """
    from socm.engine.life import SILENCE
    from socm.executor import STEPS

    until = time.monotonic() + (SILENCE + 2 * LOOK if run.settings.executor == STEPS else 0.0)
    with ExitStack() as stack:
        while True:
            try:
                life = stack.enter_context(run.lock())
                break
            except ActiveRun:
                if time.monotonic() >= until:
                    raise
            time.sleep(LOOK)
        yield life
