"""The emulated cluster as a backend of the engine: SimPy is its clock."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import simpy

from sim.scheduler import Running, Scheduler
from socm.engine.backend import Job, JobUpdate
from socm.engine.events import JobState
from socm.model.cluster import Cluster
from socm.model.placement import Reservation
from socm.model.plan import Plan


class SimBackend:
    """An emulated cluster; its time passes only while its driver waits.

    Parameters
    ----------
    cluster
        What to emulate.
    runtime
        Returns the seconds that a job takes if no walltime ends it.
    start
        The time at which the emulation starts, in seconds since the campaign's start.
    closes
        When it ends, if it is the inside of an allocation; so do all jobs then.
    reservations
        Capacity that the campaign may not use; jobs that run there when one begins end first.
    """

    def __init__(
        self,
        cluster: Cluster,
        runtime: Callable[[Job], float],
        *,
        start: float = 0.0,
        closes: float = math.inf,
        reservations: Iterable[Reservation] = (),
    ) -> None:
        self._env = simpy.Environment(initial_time=start)
        self._runtime = runtime
        self._closes = closes
        reservations = tuple(reservations)
        self._scheduler = Scheduler(cluster, (r for r in reservations if r.maintenance))
        self._jobs: dict[str, Job] = {}  # all that were ever submitted, by native id
        self._running: set[str] = set()
        self._updates: list[JobUpdate] = []  # not yet returned by `wait`
        self._reported: list[JobUpdate] = []  # all of them
        self._changed = False  # something arrived or ended since the controller last looked
        if closes < math.inf:
            # What ends in the same instant has ended before: its timeout was there earlier.
            self._after(closes - start, lambda _: self._after(0, self._close))
        for reservation in reservations:
            if reservation.finish > start:
                self._at(reservation.start, reservation, 1)
                self._at(reservation.finish, reservation, -1)

    @classmethod
    def for_plan(cls, plan: Plan, runtime: Callable[[Job], float]) -> SimBackend:
        """Return the cluster that a plan was made for, as it is when the plan begins."""
        return cls(
            plan.cluster,
            runtime,
            start=plan.start,
            reservations=plan.reservations,
        )

    def _at(self, time: float, reservation: Reservation, sign: int) -> None:
        """Reserve or free capacity at a time; at once if it has passed."""

        def change(_: object) -> None:
            self._scheduler.reserve(reservation, sign)
            self._changed = True

        if time <= self.now():
            change(None)
        else:
            self._after(time - self.now(), change)

    def _after(self, seconds: float, action: Callable[[object], None]) -> None:
        timeout = self._env.timeout(seconds)
        assert timeout.callbacks is not None
        timeout.callbacks.append(action)

    def now(self) -> float:
        """Seconds since the campaign's start."""
        return float(self._env.now)

    def submit(self, job: Job) -> str:
        """Queue a job; the controller considers it at the next `wait`."""
        self._scheduler.submit(job)
        self._jobs[job.name] = job
        self._changed = True
        return job.name

    def attach(self, job: Job, native_id: str) -> None:
        """Follow a job: what was reported of it is reported again. An unknown one has failed."""
        if native_id not in self._jobs:
            self._report(job, JobState.FAILED)
            return
        others = [update for update in self._updates if update.job.name != native_id]
        self._updates = [u for u in self._reported if u.job.name == native_id] + others

    def find(self, job: Job) -> str | None:
        """Return the native id of a job, which here is its name."""
        return job.name if job.name in self._jobs else None

    def cancel(self, native_id: str) -> None:
        """End a job; one that is over or unknown is left alone."""
        job = self._jobs.get(native_id)
        if job is None:
            return
        if self._scheduler.withdraw(native_id) or native_id in self._running:
            self._end(job, JobState.CANCELLED)

    def withdraw(self, native_id: str) -> None:
        """End a job that waits; any other is left alone."""
        if self._scheduler.withdraw(native_id):
            self._end(self._jobs[native_id], JobState.CANCELLED)

    def wait(self, until: float = math.inf) -> Sequence[JobUpdate]:
        """Step to the next instant at which something is reported, but not beyond `until`.

        The ends of an instant are returned before anything starts in it, so that a job can take
        over the nodes of another in the second in which that ends.
        """
        env = self._env
        while not self._updates:
            if self._changed:
                self._changed = False
                for running in self._scheduler.start(self.now()):
                    self._start(running)
                continue
            moment = env.peek()
            if moment > until or moment == math.inf:
                break
            while env.peek() == moment:
                env.step()
        if not self._updates and self.now() < until < math.inf:
            env.run(until=until)
        updates, self._updates = self._updates, []
        return updates

    def _start(self, running: Running) -> None:
        job = running.job
        self._running.add(job.name)
        if self.now() + job.duration > self._closes:
            self._end(job, JobState.ALLOCATION_ENDED)
            return
        self._report(job, JobState.RUNNING, nodes=running.nodes)
        runtime = self._runtime(job)
        state = JobState.COMPLETED if runtime <= job.walltime else JobState.TIMEOUT
        self._after(min(runtime, job.walltime), lambda _: self._end(job, state))

    def _end(self, job: Job, state: JobState) -> None:
        if job.name in self._running:
            self._running.remove(job.name)
            self._scheduler.release(job.name)
        elif state is not JobState.CANCELLED:
            return  # it was cancelled while it ran
        self._changed = True
        self._report(job, state, exit_code=0 if state is JobState.COMPLETED else None)

    def _close(self, _: object) -> None:
        """End all jobs, for the allocation has ended."""
        over = {update.job.name for update in self._reported if update.state.final}
        for name, job in self._jobs.items():
            if name not in over and (self._scheduler.withdraw(name) or name in self._running):
                self._running.discard(name)
                self._report(job, JobState.ALLOCATION_ENDED)

    def _report(
        self,
        job: Job,
        state: JobState,
        exit_code: int | None = None,
        nodes: tuple[str, ...] = (),
    ) -> None:
        update = JobUpdate(job=job, state=state, time=self.now(), exit_code=exit_code, nodes=nodes)
        self._updates.append(update)
        self._reported.append(update)
