"""What the jobs of a campaign have in use of the limits that count over all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from socm.engine.backend import Job
from socm.engine.nodes import NodesInUse
from socm.model.campaign import Campaign
from socm.model.cluster import Cluster
from socm.model.limits import Limited, counted, limits_of, of_qos

BUDGET = Limited("budget")


class InUse:
    """What is in use of each limit, and of a budget of nodes the real nodes.

    Parameters
    ----------
    cluster
        Whose QOS have limits.
    campaign
        With its budget and its counted resources; without one, only the limits of QOS count.
    """

    def __init__(self, cluster: Cluster, campaign: Campaign | None = None) -> None:
        self._limits = of_qos(cluster) if campaign is None else limits_of(campaign, cluster)
        self._used = Counter[Limited]()
        nodes = None if campaign is None else campaign.budget.nodes
        self._nodes = None if nodes is None else NodesInUse(nodes)

    def admits(self, job: Job) -> bool:
        """Whether a job may be submitted now."""
        return not self.full_for(job) and not self.must_wait(job) and self.budget_admits(job)

    def full_for(self, job: Job) -> set[Limited]:
        """Return which limits have no room for a job now, apart from those of the budget."""
        return {limited for limited in self._exceeded(job) if limited != BUDGET}

    def must_wait(self, job: Job) -> bool:
        """Whether it is not known yet on which real nodes a job would count."""
        return self._nodes is not None and self._nodes.must_wait(job)

    def budget_admits(self, job: Job) -> bool:
        """Whether the budget has room for a job now."""
        if BUDGET in self._exceeded(job):
            return False
        return self._nodes is None or self._nodes.admits(job)

    def pins(self, job: Job) -> tuple[str, ...]:
        """Return the real nodes that a job is to be submitted to, to stay within the budget."""
        return () if self._nodes is None else self._nodes.pins(job)

    def add(self, job: Job) -> None:
        """Count a job from now on."""
        self._change(job, +1)
        if self._nodes is not None:
            self._nodes.add(job)

    def place(self, job: Job, nodes: Sequence[str]) -> None:
        """Take note of the real nodes on which a job runs."""
        if self._nodes is not None:
            self._nodes.place(job, nodes)

    def remove(self, job: Job) -> None:
        """Count a job no longer."""
        self._change(job, -1)
        if self._nodes is not None:
            self._nodes.remove(job)

    def counted(self, job: Job) -> Iterator[tuple[Limited, int]]:
        """Yield what a job counts against each limit that there is."""
        for limited, amount in counted(job.qos, job.cores, job.workflow.request.uses):
            if limited in self._limits:
                yield limited, amount

    def _exceeded(self, job: Job) -> Iterator[Limited]:
        for limited, amount in self.counted(job):
            if self._used[limited] + amount > self._limits[limited]:
                yield limited

    def _change(self, job: Job, sign: int) -> None:
        for limited, amount in self.counted(job):
            self._used[limited] += sign * amount
