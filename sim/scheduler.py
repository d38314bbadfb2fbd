"""The emulated SLURM controller: a queue by priority, backfill, QOS limits."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from socm.engine.backend import Job
from socm.errors import SubmitError
from socm.model.cluster import Cluster, Qos
from socm.model.plan import Placement, Reservation
from socm.model.pool import NodePool
from socm.units import format_walltime

BACKFILL_DEPTH = 100
"""How many waiting jobs one pass looks at: what SLURM calls bf_max_job_test."""


class Shape(NamedTuple):
    """What makes two jobs fit, or not, alike."""

    partition: str
    ranks: int
    threads: int
    memory: int
    gpus: int
    exclusive: bool
    most_nodes: int | None


class Waiting(NamedTuple):
    """A job in the queue; `cores` count against limits, where its QOS is `limited` at all."""

    job: Job
    qos: Qos
    cores: int
    shape: int  # its number: looked up faster
    limited: bool


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

    Parameters
    ----------
    cluster
        Its nodes, and the limits of its QOS.
    most_nodes
        The most distinct nodes with jobs at once, as an association's limit on nodes.
    """

    def __init__(self, cluster: Cluster, most_nodes: int | None = None) -> None:
        self._qos = cluster.by_qos
        self._partitions = cluster.by_partition
        self._pool = NodePool(cluster)
        self._empty = NodePool(cluster)
        self._shapes: dict[Shape, int] = {}
        self._possible: list[bool] = []
        self._most_nodes = most_nodes
        self._queue: list[tuple[int, int, Waiting]] = []
        self._arrivals = 0
        # What did not fit does not fit until something is given back.
        self._hopeless: set[int] = set()
        self._running: dict[str, Running] = {}
        self._jobs: Counter[str] = Counter()  # running, by QOS
        self._cores: Counter[str] = Counter()

    def submit(self, job: Job) -> None:
        """Queue a job, or refuse it as SLURM would."""
        qos = self._qos.get(job.qos or "")
        if qos is None or job.partition not in self._partitions:
            raise SubmitError(f"no partition {job.partition} with QOS {job.qos}", transient=False)
        for limit, owner in (
            (qos.walltime, f"QOS {qos.name}"),
            (self._partitions[job.partition].walltime, f"partition {job.partition}"),
        ):
            if limit is not None and job.walltime > limit:
                raise SubmitError(
                    f"walltime {format_walltime(job.walltime)} is over the "
                    f"{format_walltime(limit)} of {owner}",
                    transient=False,
                )
        self._arrivals += 1
        shape = self._number(
            Shape(
                job.partition, job.ranks, job.threads, job.memory, job.gpus, job.exclusive,
                qos.nodes_per_job,
            ),
            job,
        )  # fmt: skip
        if not self._possible[shape]:
            raise SubmitError(f"{job.name} fits on no nodes of {job.partition}", transient=False)
        limited = qos.running_jobs is not None or qos.cores is not None
        waiting = Waiting(job, qos, self._cores_of(job), shape, limited)
        insort(self._queue, (job.priority, self._arrivals, waiting))

    def _number(self, shape: Shape, job: Job) -> int:
        if shape not in self._shapes:
            self._shapes[shape] = len(self._possible)
            self._possible.append(self._fit(self._empty, job) is not None)
        return self._shapes[shape]

    def start(self, now: float) -> Iterator[Running]:
        """Start what can start now."""
        # Per partition: the nodes kept for the first job that does not fit, and until when.
        blocked: dict[str, Job] = {}
        kept: dict[str, tuple[frozenset[int], float]] = {}
        shut_out: set[int] = set()  # for want of the nodes that are kept
        for entry in self._queue[:BACKFILL_DEPTH]:
            job, qos, cores, shape, limited = entry[2]
            if limited and not self._within_limits(qos, cores):
                continue
            if shape in shut_out and now + job.walltime > kept[job.partition][1]:
                continue
            if shape in self._hopeless:
                if job.partition not in blocked:
                    blocked[job.partition] = job
                continue
            placements = self._fit(self._pool, job)
            if placements is None:
                self._hopeless.add(shape)
                blocked.setdefault(job.partition, job)
                continue
            if job.partition in blocked:
                if job.partition not in kept:
                    kept[job.partition] = self._keep(blocked[job.partition], now)
                barred, shadow = kept[job.partition]
                if now + job.walltime > shadow:
                    placements = self._fit(self._pool, job, barred)
            if placements is None:
                shut_out.add(shape)
                continue
            self._queue.remove(entry)
            yield self._place(job, placements, now)

    def _within_limits(self, qos: Qos, cores: int) -> bool:
        jobs, in_use = self._jobs[qos.name], self._cores[qos.name]
        return (qos.running_jobs is None or jobs < qos.running_jobs) and (
            qos.cores is None or in_use + cores <= qos.cores
        )

    def _fit(
        self, pool: NodePool, job: Job, barred: frozenset[int] = frozenset()
    ) -> tuple[Placement, ...] | None:
        idle = None if self._most_nodes is None else self._most_nodes - pool.busy
        most = self._qos[job.qos or ""].nodes_per_job
        return pool.fit(job, job.placements, barred, most, idle)

    def over(self, name: str) -> None:
        """Take the nodes of a job back."""
        self._hopeless.clear()
        running = self._running.pop(name)
        self._pool.give(running.job, running.placements)
        self._jobs[running.job.qos or ""] -= 1
        self._cores[running.job.qos or ""] -= self._cores_of(running.job)

    def reserve(self, reservation: Reservation, sign: int = 1) -> None:
        """Take what is reserved away, or give it back with a sign of -1."""
        self._hopeless.clear()
        self._pool.reserve(reservation, sign)

    def withdraw(self, name: str) -> bool:
        """Take a job out of the queue; whether it was in it."""
        before = len(self._queue)
        self._queue = [entry for entry in self._queue if entry[2].job.name != name]
        return len(self._queue) < before

    def _place(self, job: Job, placements: tuple[Placement, ...], now: float) -> Running:
        self._pool.take(job, placements)
        self._jobs[job.qos or ""] += 1
        self._cores[job.qos or ""] += self._cores_of(job)
        running = Running(job, placements, now + job.walltime)
        self._running[job.name] = running
        return running

    def _keep(self, job: Job, now: float) -> tuple[frozenset[int], float]:
        """Return the nodes to keep for a job that waits, and when it can have them."""
        pool = self._pool.copy()
        for running in sorted(self._running.values(), key=lambda r: r.limit):
            pool.give(running.job, running.placements)
            placements = self._fit(pool, job)
            if placements is not None:
                return frozenset(p.node for p in placements), running.limit
        return frozenset(), now  # what is reserved is in its way, not what runs

    def _cores_of(self, job: Job) -> int:
        if job.exclusive:
            return len(job.placements) * self._partitions[job.partition].cores
        return job.ranks * job.threads
