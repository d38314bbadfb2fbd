"""The executor that runs jobs on this machine, never more at once than it holds."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import signal
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import psutil

from socm.engine.backend import Job, JobUpdate
from socm.engine.events import JobState
from socm.errors import RunError
from socm.executor.folder import WAITS, Start, read_note
from socm.executor.processes import MARK, PYTHON, left_of, supervisors, works_elsewhere
from socm.executor.script import job_script
from socm.executor.tracker import Tracked, Tracker
from socm.model.cluster import Cluster
from socm.model.demand import Demand
from socm.model.machine import LOCAL, this_machine
from socm.model.placement import Placement
from socm.model.pool import NodePool
from socm.words import reason_of

ALIVE = 1.0
"""Seconds between two looks at which processes are alive."""
LEAST, BESIDE = 30, 8
"""MB that any job may use, as in SLURM's cgroups; MB for what runs beside each of its ranks."""
PATIENCE = 30.0
"""Seconds that are waited where no process can be started and none of this run is alive."""
GRACE = 5.0
"""Seconds that the processes of a job without a supervisor have between SIGTERM and SIGKILL."""


class LocalExecutor(Tracker):
    """Runs jobs on this machine.

    Each has a supervisor, a process that outlives this one: it ends the job, and all processes
    that the job started, at the walltime, and writes how it ended. Jobs for which there is no room
    wait here, and start in the order of the plan.
    """

    tick = 0.05

    def __init__(
        self, run: Path, cluster: Cluster, epoch: float, *, poll_interval: float | None = None
    ) -> None:
        super().__init__(run, cluster, epoch)
        self.pool = NodePool(cluster)
        self.queue: list[Tracked] = []
        self._allocated: dict[str, tuple[Placement, ...]] = {}
        self._children: set[int] = set()
        self._next_look = self._refused_since = 0.0
        self._refused: str | None = None  # why this process can start no supervisor
        self._held_up: str | None = None  # why a supervisor cannot start its job
        self._told: str | None = None  # which of them was told last

    @classmethod
    def cluster_for(cls, named: str | None) -> str | None:
        """Return this machine, or a file that describes a part of it."""
        return named if named and named.endswith(".toml") else LOCAL

    @classmethod
    def why_not(cls, cluster: Cluster) -> str | None:
        """Say why what is planned for a cluster cannot run here; see `Executor.why_not`."""
        [machine] = this_machine().partitions
        if cluster.name == LOCAL or len(cluster.partitions) == cluster.partitions[0].nodes == 1:
            [planned] = cluster.partitions
            fits = planned.cores <= machine.cores and planned.memory <= machine.memory
            return None if fits else "for a larger machine than this one"
        return "not for this machine"

    def script(self, job: Job) -> str:
        """Return the script of a job."""
        folder = self.folder(job)
        return job_script(job, folder, local=True, result=folder.path / "end.json")

    def nodes_of(self, started: Start | None) -> tuple[str, ...]:
        """Return the name of this machine; see `Tracker.nodes_of`."""
        return (started.node,) if started else ()

    def submit(self, job: Job) -> str:
        """Queue a job; see `Backend.submit`. It starts once there is room."""
        self.prepare(job)
        self.queue.append(self.track(job, job.name))
        return job.name

    def attach(self, job: Job, native_id: str) -> None:
        """Follow a job of an earlier process; one that never started is queued again."""
        if native_id in self.tracked:
            return
        tracked = self.take_over(job, native_id)
        folder = tracked.folder
        if folder.result.exists():
            return
        if self._has_begun(tracked):
            self._allocate(tracked, self.fit(job) or job.placements)
        else:
            self.prepare(job)
            self.queue.append(tracked)

    def find(self, job: Job) -> str | None:
        """Return a job's id if it waits here or has ever started; see `Backend.find`."""
        folder = self.folder(job)
        known = (
            job.name in self.tracked
            or folder.started.exists()
            or folder.result.exists()
            or job.name in supervisors()
        )
        return job.name if known else None

    def cancel(self, native_id: str) -> None:
        """End a job, and all processes that it started; see `Backend.cancel`."""
        tracked = self.tracked.get(native_id)
        if tracked is None:
            return
        if tracked in self.queue:
            self.queue.remove(tracked)
            tracked.reason = "cancelled"
        elif process := supervisors().get(native_id):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGTERM)

    def poll(self) -> list[JobUpdate]:
        """Report which jobs are over, and start those for which there is room."""
        updates = [update for t in [*self.tracked.values()] for update in self._judge(t)]
        if time.monotonic() >= self._next_look:
            updates += self._look_for_lost()
            self._reap()
            self._look_for_held_up()
            self._next_look = time.monotonic() + ALIVE
        updates += self._start_what_fits()
        if self._told != (self._refused or self._held_up):
            self.outage = self._told = self._refused or self._held_up
        return updates

    def waiting(self) -> Mapping[str, str]:
        """Return why workflows wait, by name; see `Executor.waiting`."""
        queued = {
            t.job.workflow.name: t.reason or "no room on this machine yet" for t in self.queue
        }
        return {**super().waiting(), **queued}

    def why_queued(self, native_ids: Collection[str]) -> Mapping[str, str]:
        """Return why jobs wait, as it was noted for all to read; see `Executor.why_queued`."""
        reasons = {}
        for path in self.run.glob(f"results/*{WAITS}"):
            native_id, _, why = read_note(path).partition(" ")
            if why and native_id in native_ids:
                reasons[native_id] = why
        return reasons

    def fit(self, job: Job) -> tuple[Placement, ...] | None:
        """Return where a job has room now; `None` if it has none."""
        return self.pool.fit(job.demand, job.partition)

    def environment(self, job: Job, placements: tuple[Placement, ...]) -> Mapping[str, str]:
        """Return the environment of the processes of a job."""
        return os.environ

    def memory_limit(self, demand: Demand) -> int:
        """Return the MB that all processes of a job may use here; 0 if that is not limited."""
        if demand.exclusive or not demand.memory:
            return 0
        return max(LEAST, demand.memory) + BESIDE * demand.ranks

    def end_leftovers(self, tracked: Tracked) -> bool:
        """Ask for the end of what is left of a job; return whether there is anything."""
        left = left_of(tracked.native_id)
        late = self.now() - (tracked.missing_since or math.inf) > GRACE
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL if late else signal.SIGTERM)
        return bool(left)

    def _start_what_fits(self) -> Iterator[JobUpdate]:
        """Start jobs in the order of the plan; a smaller one may overtake one without room."""
        for tracked in sorted(self.queue, key=lambda t: t.job.priority):
            placements = self.fit(tracked.job)
            if placements is None:
                continue
            try:
                self._launch(tracked, placements)
            except OSError as error:
                tracked.reason = f"it cannot be started: {reason_of(error)}"
                with contextlib.suppress(OSError):
                    tracked.folder.waits.write_text(f"{tracked.native_id} {tracked.reason}\n")
                if error.errno in (errno.EAGAIN, errno.ENOMEM):
                    self._wait_for_processes(reason_of(error))
                    return
                self.queue.remove(tracked)
                yield from self.end(tracked, JobState.FAILED, tracked.reason)
            else:
                self._refused = None
                self.queue.remove(tracked)
                self._allocate(tracked, placements)

    def _wait_for_processes(self, reason: str) -> None:
        """Note that the machine allows no more processes just now.

        Raises
        ------
        RunError
            If that has lasted, and no job is running whose end might change it.
        """
        if self._refused is None:
            self._refused_since = self.now()
        self._refused = f"no process can be started: {reason}"
        if not self._allocated and self.now() - self._refused_since > PATIENCE:
            raise RunError(
                f"no process can be started on this machine: {reason}",
                hint="`ulimit -u` says how many processes are allowed; `socm resume` continues",
            )

    def _launch(self, tracked: Tracked, placements: tuple[Placement, ...]) -> None:
        folder = tracked.folder
        result = folder.from_within(folder.result)
        limits = [str(tracked.job.walltime), str(self.memory_limit(tracked.job.demand))]
        arguments = [str(folder.path), tracked.native_id, result, *limits]
        null, copy = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0), os.POSIX_SPAWN_DUP2
        pid = os.posix_spawn(
            sys.executable,
            [*PYTHON, *arguments],
            {**self.environment(tracked.job, placements), MARK: tracked.native_id},
            file_actions=[null, (copy, 0, 1), (copy, 0, 2)],
            # Until the supervisor is ready for them: a Ctrl-C is for all processes of a terminal.
            setsigmask=[signal.SIGINT, signal.SIGTERM],
        )
        self._children.add(pid)

    def _reap(self) -> None:
        """Collect the exit codes of supervisors that have ended, which nobody needs."""
        for pid in [*self._children]:
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG) == (0, 0):
                    continue
            self._children.discard(pid)

    def _allocate(self, tracked: Tracked, placements: tuple[Placement, ...]) -> None:
        self.pool.allocate(tracked.job.demand, placements)
        self._allocated[tracked.native_id] = placements

    def _release(self, tracked: Tracked) -> None:
        placements = self._allocated.pop(tracked.native_id, None)
        if placements is not None:
            self.pool.release(tracked.job.demand, placements)

    def _judge(self, tracked: Tracked) -> list[JobUpdate]:
        if tracked.result is not None:
            updates = self.end_well(tracked) or self.end_badly(tracked)
        elif tracked.reason == "cancelled":
            updates = self.end(tracked, JobState.CANCELLED, "cancelled before it began")
        else:
            return []
        if updates:
            self._release(tracked)
        return updates

    def _has_begun(self, tracked: Tracked) -> bool:
        """Whether a job of an earlier process has begun.

        Raises
        ------
        RunError
            If it may be running where nothing can be learnt of it.
        """
        name, folder = tracked.job.workflow.name, tracked.folder
        begun = folder.read_started()
        if process := supervisors().get(tracked.native_id):
            if begun and works_elsewhere(process, folder.path):
                raise RunError(
                    f"{name} is still running in another folder, process {process.pid}",
                    hint=f"wait until it is over, or `kill {process.pid}` ends it; then resume",
                )
            return True
        if begun and begun.node != os.uname().nodename:
            raise RunError(
                f"{name} has started on {begun.node}, and this is {os.uname().nodename}",
                hint=f"resume on {begun.node}; if that is gone for good, remove {folder.started} "
                "first, and it starts again",
            )
        return folder.started.exists()

    def _look_for_held_up(self) -> None:
        """Read why jobs do not begin whose supervisors are there."""
        there = (t for t in self.tracked.values() if t.native_id in self._allocated)
        held_up = [t for t in there if not t.running]
        for tracked in held_up:
            tracked.reason = tracked.reason or read_note(tracked.folder.waits).partition(" ")[2]
        self._held_up = next((t.reason for t in held_up if t.reason), None)

    def _look_for_lost(self) -> Iterator[JobUpdate]:
        """Report the jobs whose supervisors are gone without a result, as after a reboot.

        What is left of such a job is ended first, so that no two attempts ever run at once.
        """
        running = [t for t in self.tracked.values() if t.native_id in self._allocated]
        alive = supervisors() if running else {}
        for tracked in running:
            if tracked.native_id in alive or tracked.folder.result.exists():
                tracked.missing_since = None
            elif tracked.missing_since is None:
                tracked.missing_since = self.now()  # it may have ended between the two looks
            elif not self.end_leftovers(tracked):
                yield from self.end(tracked, JobState.NODE_FAILED, "its process is gone")
                self._release(tracked)
