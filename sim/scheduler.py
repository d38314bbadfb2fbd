"""The emulated SLURM controller: a queue by priority, backfill, QOS limits."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from socm.engine.backend import Job
from socm.errors import SubmitError
from socm.model.cluster import Cluster
from socm.model.plan import Placement
from socm.model.pool import NodePool
from socm.units import format_walltime

BACKFILL_DEPTH = 100
"""How many waiting jobs one pass looks at, as SLURM's bf_max_job_test."""


@dataclass(frozen=True, slots=True)
class Running:
    """A job on its nodes; `limit` is when its walltime is over."""

    job: Job
    placements: tuple[Placement, ...]
    limit: float


class Scheduler:
    """Decides which waiting job starts where, as SLURM's backfill scheduler does.

    Jobs start in order of priority. When one does not fit, the nodes on which it could start
    soonest, by the walltimes of what runs, are kept for it; jobs behind it start only elsewhere,
    or if their own walltime ends before that. A job that only a QOS limit holds back keeps
    nothing.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._qos = cluster.by_qos
        self._partitions = cluster.by_partition
        self._pool = NodePool(cluster)
        self._queue: list[tuple[int, int, Job]] = []
        self._arrivals = 0
        self._running: dict[str, Running] = {}
        self._jobs: Counter[str] = Counter()  # running, by QOS
        self._cores: Counter[str] = Counter()

    def submit(self, job: Job) -> None:
        """Queue a job, or refuse it as SLURM would."""
        qos = self._qos.get(job.qos or "")
        if qos is None or job.partition not in self._partitions:
            raise SubmitError(f"no partition {job.partition} with QOS {job.qos}", transient=False)
        if qos.walltime is not None and job.walltime > qos.walltime:
            raise SubmitError(
                f"walltime {format_walltime(job.walltime)} is over the "
                f"{format_walltime(qos.walltime)} of QOS {qos.name}",
                transient=False,
            )
        self._arrivals += 1
        insort(self._queue, (job.priority, self._arrivals, job))

    def start(self, now: float) -> Iterator[Running]:
        """Start what can start now."""
        kept: frozenset[tuple[str, int]] = frozenset()
        shadow = 0.0
        for entry in self._queue[:BACKFILL_DEPTH]:
            job = entry[2]
            qos = self._qos[job.qos or ""]
            cores = self._cores_of(job)
            if qos.running_jobs is not None and self._jobs[qos.name] >= qos.running_jobs:
                continue
            if qos.cores is not None and self._cores[qos.name] + cores > qos.cores:
                continue
            ends_before = now + job.walltime <= shadow
            barred = frozenset(
                node for name, node in kept if name == job.partition and not ends_before
            )
            placements = self._pool.fit(job, job.placements, barred, qos.nodes_per_job)
            if placements is not None:
                self._queue.remove(entry)
                yield self._place(job, placements, now)
            elif not kept:
                kept, shadow = self._keep(job, now)

    def over(self, name: str) -> None:
        """Take the nodes of a job back."""
        running = self._running.pop(name)
        self._pool.give(running.job, running.placements)
        self._jobs[running.job.qos or ""] -= 1
        self._cores[running.job.qos or ""] -= self._cores_of(running.job)

    def withdraw(self, name: str) -> bool:
        """Take a job out of the queue; whether it was in it."""
        before = len(self._queue)
        self._queue = [entry for entry in self._queue if entry[2].name != name]
        return len(self._queue) < before

    def _place(self, job: Job, placements: tuple[Placement, ...], now: float) -> Running:
        self._pool.take(job, placements)
        self._jobs[job.qos or ""] += 1
        self._cores[job.qos or ""] += self._cores_of(job)
        running = Running(job, placements, now + job.walltime)
        self._running[job.name] = running
        return running

    def _keep(self, job: Job, now: float) -> tuple[frozenset[tuple[str, int]], float]:
        """Return the nodes to keep for a job that waits, and when it can have them."""
        pool = self._pool.copy()
        most = self._qos[job.qos or ""].nodes_per_job
        for running in sorted(self._running.values(), key=lambda r: r.limit):
            pool.give(running.job, running.placements)
            placements = pool.fit(job, job.placements, most_nodes=most)
            if placements is not None:
                return frozenset((p.partition, p.node) for p in placements), running.limit
        return frozenset(), now  # fits on no cluster of this size: it will never start

    def _cores_of(self, job: Job) -> int:
        if job.exclusive:
            return len(job.placements) * self._partitions[job.partition].cores
        return job.ranks * job.threads
