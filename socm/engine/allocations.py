"""A run in allocations: an outer run whose attempts are allocations, and an inner one in them.

The inner run is carried on by each allocation in turn; how often that led to something decides how
many allocations there may be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from socm.engine.backend import JobUpdate
from socm.engine.events import CampaignResumed, CampaignStarted, Ended, Event, JobState, Retrying
from socm.engine.retry import RetryPolicy
from socm.model.allocation import AllocationPlan
from socm.model.campaign import Budget
from socm.model.cluster import Cluster

UNFINISHED = 4
"""Exit code of a run that an allocation left unfinished: the next one carries it on."""
HOPELESS = (1, 2)
"""Exit codes of a run that another allocation would not change: some failed, or it cannot be."""


@dataclass(frozen=True, kw_only=True)
class NextAllocation(RetryPolicy):
    """Asks for another allocation as long as something is left to do.

    Parameters
    ----------
    plan
        How long each of them is to be, and in which QOS.
    fruitful
        Returns in how many allocations a workflow was completed; only the others count.
    """

    plan: AllocationPlan
    fruitful: Callable[[], int]

    def after(
        self,
        update: JobUpdate,
        cluster: Cluster,
        budget: Budget | None = None,
        *,
        excused: int = 0,
    ) -> Retrying | None:
        """Return the next allocation, or `None` if there is none; see `RetryPolicy.after`."""
        job = update.job
        if update.state is JobState.CANCELLED or update.exit_code in HOPELESS:
            return None
        if job.attempt - self.fruitful() >= self.attempts:
            return None
        following = self.plan.nth(job.attempt)
        return Retrying(
            time=update.time,
            workflow=job.workflow.name,
            attempt=job.attempt + 1,
            qos=following.qos,
            walltime=following.walltime,
            memory=job.demand.memory,
            reason="not everything is done: another allocation",
        )


def fruitful(events: Iterable[Event]) -> int:
    """Count the lives of a run in which a workflow was completed."""
    found, completed = 0, False
    for event in events:
        match event:
            case CampaignStarted() | CampaignResumed():
                completed = False
            case Ended(state=JobState.COMPLETED) if not completed:
                found, completed = found + 1, True
    return found
