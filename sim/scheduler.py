"""The emulated SLURM controller: a queue by priority, backfill, QOS limits."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from socm.engine.backend import Job
from socm.engine.limits import InUse
from socm.errors import SubmitError
from socm.model.allowance import KINDS
from socm.model.cluster import Cluster
from socm.model.demand import Demand
from socm.model.mode import longest
from socm.model.placement import Placement, Reservation
from socm.model.pool import NodePool
from socm.units import format_walltime

BACKFILL_DEPTH = 100
"""How many waiting jobs one pass looks at: what SLURM calls bf_max_job_test."""


class Waiting(NamedTuple):
    """A job in the queue, and whether its QOS has limits at all.

    Jobs of one *class* (partition, demand, number and names of nodes) fit alike; classes have
    numbers, which are looked up faster.
    """

    job: Job
    number: int
    limited: bool


@dataclass(frozen=True, slots=True)
class Running:
    """A job on its nodes; `limit` is when its walltime is over."""

    job: Job
    placements: tuple[Placement, ...]
    limit: float

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of its nodes."""
        return tuple(f"{p.partition}/{p.node}" for p in self.placements)


class Scheduler:
    """Decides which waiting job starts where, as SLURM's backfill scheduler does.

    Jobs start in order of priority. The first that does not fit on its partition gets a *shadow*:
    the nodes on which it can start soonest, by the walltimes of what runs, and the time at which
    it can. Jobs behind it start on other nodes, or if their own walltime ends before that time. A
    job that only a limit of its QOS holds back gets none.

    Parameters
    ----------
    cluster
        Its nodes, and the limits of its QOS.
    maintenance
        No job starts that could still run when it begins.
    """

    def __init__(self, cluster: Cluster, maintenance: Iterable[Reservation] = ()) -> None:
        self._maintenance = tuple(maintenance)
        self._cluster = cluster
        self._qos = cluster.by_qos
        self._partitions = cluster.by_partition
        self._pool = NodePool(cluster)
        self._empty = NodePool(cluster)
        self._classes: dict[tuple[str, Demand, int, tuple[str, ...]], int] = {}
        self._possible: list[bool] = []  # whether an empty cluster has room for a class
        self._queue: list[tuple[int, int, Waiting]] = []
        self._arrivals = 0
        self._without_room: set[int] = set()  # classes, until something is freed
        self._running: dict[str, Running] = {}
        self._in_use, self._submitted = InUse(cluster), InUse(cluster)

    def submit(self, job: Job) -> None:
        """Queue a job, or refuse it as SLURM does.

        Raises
        ------
        SubmitError
            If the cluster has no such partition and QOS, the job is over their limits, or the
            nodes of the partition have no room for the job even when they are empty; for now if
            there are as many jobs as may be submitted.
        """
        known = self._qos.get(job.qos or "")
        partition = self._partitions.get(job.partition)
        if known is None or partition is None:
            raise SubmitError(f"no partition {job.partition} with QOS {job.qos}", transient=False)
        qos = self._cluster.under(partition, known)
        most = longest(partition, qos)
        if job.walltime > most:
            where = f"QOS {qos.name} on {partition.name}" if qos.name else partition.name
            raise SubmitError(
                f"walltime {format_walltime(job.walltime)} is over the "
                f"{format_walltime(int(most))} of {where}",
                transient=False,
            )
        if refused := next(
            qos.refusals(partition, nodes=len(job.placements), cores=job.cores), None
        ):
            raise SubmitError(f"{job.name} {refused}", transient=False)
        if any(full.what == "submit_jobs" for full in self._submitted.full_for(job)):
            raise SubmitError("there are as many jobs as may be submitted", transient=True)
        number = self._class_of(job)
        if not self._possible[number]:
            raise SubmitError(f"{job.name} fits on no nodes of {job.partition}", transient=False)
        self._arrivals += 1
        limited = any(getattr(qos, kind) is not None for kind in KINDS)
        self._submitted.add(job)
        insort(self._queue, (job.priority, self._arrivals, Waiting(job, number, limited)))

    def _class_of(self, job: Job) -> int:
        key = job.partition, job.demand, len(job.placements), job.nodes
        if key not in self._classes:
            self._classes[key] = len(self._possible)
            self._possible.append(self._fit(self._empty, job) is not None)
        return self._classes[key]

    def start(self, now: float) -> Iterator[Running]:
        """Start what can start now."""
        blocked: dict[str, Job] = {}  # the first job of each set of nodes that does not fit
        shadows: dict[str, tuple[frozenset[int], float]] = {}
        shadowed: set[int] = set()  # classes that fit only on the nodes of a shadow
        for entry in self._queue[:BACKFILL_DEPTH]:
            job, number, limited = entry[2]
            if limited and self._in_use.full_for(job):
                continue
            home = self._partitions[job.partition].home
            if number in shadowed and now + job.walltime > shadows[home][1]:
                continue
            if number in self._without_room:
                if home not in blocked:
                    blocked[home] = job
                continue
            closed = self._closed(job, now) if self._maintenance else frozenset()
            placements = self._fit(self._pool, job, closed)
            if placements is None and closed:
                continue
            if placements is None:
                self._without_room.add(number)
                blocked.setdefault(home, job)
                continue
            if home in blocked:
                if home not in shadows:
                    shadows[home] = self._shadow(blocked[home], now)
                nodes, until = shadows[home]
                if now + job.walltime > until:
                    placements = self._fit(self._pool, job, nodes | closed)
            if placements is None:
                shadowed.add(number)
                continue
            self._queue.remove(entry)
            yield self._allocate(job, placements, now)

    def _closed(self, job: Job, now: float) -> frozenset[int]:
        """Return the nodes whose maintenance begins before the walltime of a job would end."""
        home = self._partitions[job.partition].home
        return frozenset(
            node
            for r in self._maintenance
            if now < r.finish and r.start < now + job.walltime
            for under in [self._partitions[r.partition]]
            if under.home == home
            for node in (under.numbers if r.node is None else (r.node,))
        )

    def _fit(
        self, pool: NodePool, job: Job, barred: frozenset[int] = frozenset()
    ) -> tuple[Placement, ...] | None:
        named = frozenset(int(name.rpartition("/")[2]) for name in job.nodes)
        most = len(job.placements)
        return pool.fit(job.demand, job.partition, job.placements, barred, most, named)

    def _allocate(self, job: Job, placements: tuple[Placement, ...], now: float) -> Running:
        self._pool.allocate(job.demand, placements)
        self._in_use.add(job)
        running = Running(job, placements, now + job.walltime)
        self._running[job.name] = running
        return running

    def release(self, name: str) -> None:
        """Free the nodes of a job that is over."""
        self._without_room.clear()
        running = self._running.pop(name)
        self._pool.release(running.job.demand, running.placements)
        self._in_use.remove(running.job)
        self._submitted.remove(running.job)

    def reserve(self, reservation: Reservation, sign: int = 1) -> None:
        """Reserve capacity; with a sign of -1, free it again."""
        self._without_room.clear()
        self._pool.reserve(reservation, sign)

    def withdraw(self, name: str) -> bool:
        """Remove a job from the queue; return whether it was there."""
        withdrawn = [entry[2].job for entry in self._queue if entry[2].job.name == name]
        self._queue = [entry for entry in self._queue if entry[2].job.name != name]
        for job in withdrawn:
            self._submitted.remove(job)
        return bool(withdrawn)

    def _shadow(self, job: Job, now: float) -> tuple[frozenset[int], float]:
        """Return the nodes on which a blocked job can start soonest, and when."""
        pool = self._pool.copy()
        for running in sorted(self._running.values(), key=lambda r: r.limit):
            pool.release(running.job.demand, running.placements)
            placements = self._fit(pool, job)
            if placements is not None:
                return frozenset(p.node for p in placements), running.limit
        return frozenset(), now  # a reservation is in its way, not what runs
