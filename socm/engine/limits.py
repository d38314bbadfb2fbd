"""What the jobs of a campaign have in use of the limits that count over all of them."""

from __future__ import annotations

from collections.abc import Sequence

from socm.engine.backend import Job
from socm.engine.nodes import NodesInUse
from socm.model.campaign import Budget
from socm.model.cluster import Cluster


class InUse:
    """Jobs and cores in use of each QOS, cores and real nodes in use of the budget.

    Parameters
    ----------
    cluster
        Whose QOS have limits.
    budget
        Of the campaign; without one, only the limits of QOS count.
    """

    def __init__(self, cluster: Cluster, budget: Budget | None = None) -> None:
        self._qos = cluster.by_qos
        self._budget = budget or Budget()
        self._of_qos: dict[str | None, tuple[int, int]] = {}  # jobs and cores
        self._cores = 0
        nodes = self._budget.nodes
        self._nodes = None if nodes is None else NodesInUse(nodes)

    def admits(self, job: Job) -> bool:
        """Whether a job may be submitted now."""
        return self.qos_admits(job) and not self.must_wait(job) and self.budget_admits(job)

    def qos_admits(self, job: Job) -> bool:
        """Whether the QOS of a job has room for it now."""
        qos = self._qos[job.qos or ""]
        jobs, cores = self._of_qos.get(job.qos, (0, 0))
        return (qos.running_jobs is None or jobs < qos.running_jobs) and (
            qos.cores is None or cores + job.cores <= qos.cores
        )

    def must_wait(self, job: Job) -> bool:
        """Whether it is not known yet on which real nodes a job would count."""
        return self._nodes is not None and self._nodes.must_wait(job)

    def budget_admits(self, job: Job) -> bool:
        """Whether the budget has room for a job now."""
        most = self._budget.cores
        if most is not None and self._cores + job.cores > most:
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

    def _change(self, job: Job, sign: int) -> None:
        jobs, cores = self._of_qos.get(job.qos, (0, 0))
        self._of_qos[job.qos] = (jobs + sign, cores + sign * job.cores)
        self._cores += sign * job.cores
