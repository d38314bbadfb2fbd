"""What the jobs of a campaign have in use of the limits that count over all of them."""

from __future__ import annotations

from collections import Counter

from socm.engine.backend import Job
from socm.model.campaign import Budget
from socm.model.cluster import Cluster


class InUse:
    """Jobs and cores in use of each QOS, cores and distinct nodes in use of the budget.

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
        self._nodes = Counter[tuple[str, int]]()

    def qos_admits(self, job: Job) -> bool:
        """Whether the QOS of a job has room for it now."""
        qos = self._qos[job.qos or ""]
        jobs, cores = self._of_qos.get(job.qos, (0, 0))
        return (qos.running_jobs is None or jobs < qos.running_jobs) and (
            qos.cores is None or cores + job.cores <= qos.cores
        )

    def budget_admits(self, job: Job) -> bool:
        """Whether the budget has room for a job, on the nodes of its plan, now."""
        budget = self._budget
        if budget.cores is not None and self._cores + job.cores > budget.cores:
            return False
        if budget.nodes is None:
            return True
        return len(self._nodes.keys() | _nodes(job)) <= budget.nodes

    def add(self, job: Job) -> None:
        """Count a job from now on."""
        self._change(job, +1)

    def remove(self, job: Job) -> None:
        """Count a job no longer."""
        self._change(job, -1)

    def _change(self, job: Job, sign: int) -> None:
        jobs, cores = self._of_qos.get(job.qos, (0, 0))
        self._of_qos[job.qos] = (jobs + sign, cores + sign * job.cores)
        self._cores += sign * job.cores
        if self._budget.nodes is not None:
            for node in _nodes(job):
                self._nodes[node] += sign
                if not self._nodes[node]:
                    del self._nodes[node]


def _nodes(job: Job) -> set[tuple[str, int]]:
    return {(partition, node) for partition, node, _ in job.placements}
