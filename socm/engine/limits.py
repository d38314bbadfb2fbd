"""What the jobs of a campaign have in use of the limits that count over all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from socm.engine.backend import Job
from socm.engine.nodes import NodesInUse
from socm.model.campaign import Budget, Campaign, Workflow
from socm.model.charge import Charge, charge_of, hours_in_words
from socm.model.cluster import Cluster
from socm.model.limits import Limited, counted, limits_of, of_cluster

BUDGET = Limited("budget")
NOTHING = Charge()


class InUse:
    """What is in use of each limit, and of a budget of nodes the real nodes.

    Parameters
    ----------
    cluster
        Whose QOS and partitions have limits.
    campaign
        With its budget and its counted resources; without one, only those of the cluster count.
    charge
        What jobs that are over have been charged.
    """

    def __init__(
        self, cluster: Cluster, campaign: Campaign | None = None, charge: Charge | None = None
    ) -> None:
        self._cluster = cluster
        self._budget = Budget() if campaign is None else campaign.budget
        self._charged = charge or Charge()
        self._held = Charge()  # by jobs that wait or run: that of their walltimes
        self._limits = of_cluster(cluster) if campaign is None else limits_of(campaign, cluster)
        self._used = Counter[Limited]()
        self._counted: dict[tuple[str, str, str | None, int], Mapping[Limited, int]] = {}
        nodes = self._budget.nodes
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
        if self._budget.hours is not None:
            hours = self._charged + self._held + self.charge(job, job.walltime)
            if not hours.within(self._budget):
                return False
        return self._nodes is None or self._nodes.admits(job)

    def beyond_hours(self, job: Job) -> str | None:
        """Say why a job will never be within the budget of hours; `None` if it may be."""
        if (budget := self._budget).hours is None:
            return None
        asked = self.charge(job, job.walltime)
        if (self._charged + asked).within(budget):
            return None
        left = max(0.0, budget.hours - self._charged.of(budget))
        return (
            f"its walltime is charged {hours_in_words(asked.of(budget), budget)}; "
            f"{hours_in_words(left, budget)} of the budget are left"
        )

    def charge(self, job: Job, seconds: float) -> Charge:
        """Return what a job is charged for some seconds."""
        return charge_of(self._cluster, job.partition, job.qos, job.cores, seconds)

    def pins(self, job: Job) -> tuple[str, ...]:
        """Return the real nodes that a job is to be submitted to, to stay within the budget."""
        return () if self._nodes is None else self._nodes.pins(job)

    def add(self, job: Job) -> None:
        """Count a job from now on."""
        self._change(job, +1)
        if self._budget.hours is not None:
            self._held += self.charge(job, job.walltime)
        if self._nodes is not None:
            self._nodes.add(job)

    def place(self, job: Job, nodes: Sequence[str]) -> None:
        """Take note of the real nodes on which a job runs."""
        if self._nodes is not None:
            self._nodes.place(job, nodes)

    def remove(self, job: Job, charge: Charge = NOTHING) -> None:
        """Count a job no longer, apart from what it has been charged."""
        self._change(job, -1)
        if self._budget.hours is not None:
            self._held -= self.charge(job, job.walltime)
            self._charged += charge
        if self._nodes is not None:
            self._nodes.remove(job)

    def counted(
        self, workflow: Workflow, partition: str, qos: str | None, cores: int
    ) -> Mapping[Limited, int]:
        """Return what a job of a workflow counts against each limit that there is."""
        key = workflow.name, partition, qos, cores  # asked for again and again while others wait
        if key not in self._counted:
            counts = counted(self._cluster, partition, qos, cores, workflow.request.uses)
            self._counted[key] = {which: n for which, n in counts if which in self._limits}
        return self._counted[key]

    def _exceeded(self, job: Job) -> Iterator[Limited]:
        for limited, amount in self.counted(
            job.workflow, job.partition, job.qos, job.cores
        ).items():
            if self._used[limited] + amount > self._limits[limited]:
                yield limited

    def _change(self, job: Job, sign: int) -> None:
        for limited, amount in self.counted(
            job.workflow, job.partition, job.qos, job.cores
        ).items():
            self._used[limited] += sign * amount
