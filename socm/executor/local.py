"""The executor that runs jobs on this machine, never more at once than it holds."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from socm.engine.backend import Job, JobUpdate
from socm.engine.events import JobState
from socm.executor.machine import LOCAL, this_machine
from socm.executor.script import job_script
from socm.executor.tracker import Tracked, Tracker
from socm.model.cluster import Cluster
from socm.model.placement import Placement
from socm.model.pool import NodePool
from socm.words import reason_of

ALIVE = 1.0
"""Seconds between two looks at which processes are alive."""
SUPERVISOR = Path(__file__).with_name("supervisor.py")
_PYTHON = [sys.executable, "-I", "-S", str(SUPERVISOR)]


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
        self._pool = NodePool(cluster)
        self._queue: list[Tracked] = []
        self._allocated: dict[str, tuple[Placement, ...]] = {}
        self._children: set[int] = set()
        self._next_look = 0.0

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

    def submit(self, job: Job) -> str:
        """Queue a job; see `Backend.submit`. It starts once there is room."""
        self.prepare(job)
        self._queue.append(self.track(job, job.name))
        return job.name

    def attach(self, job: Job, native_id: str) -> None:
        """Follow a job of an earlier process; one that never started is queued again."""
        if native_id in self.tracked:
            return
        tracked = self.track(job, native_id)
        folder = tracked.folder
        if folder.result.exists():
            return
        if folder.started.exists() or str(folder.path) in _supervisors():
            self._allocate(tracked, self._pool.fit(job.demand, job.partition) or job.placements)
        else:
            self.prepare(job)
            self._queue.append(tracked)

    def find(self, job: Job) -> str | None:
        """Return a job's id if it waits here or has ever started; see `Backend.find`."""
        folder = self.folder(job)
        known = (
            job.name in self.tracked
            or folder.started.exists()
            or folder.result.exists()
            or str(folder.path) in _supervisors()
        )
        return job.name if known else None

    def cancel(self, native_id: str) -> None:
        """End a job, and all processes that it started; see `Backend.cancel`."""
        tracked = self.tracked.get(native_id)
        if tracked is None:
            return
        if tracked in self._queue:
            self._queue.remove(tracked)
            tracked.reason = "cancelled"
        elif process := _supervisors().get(str(tracked.folder.path)):
            process.send_signal(signal.SIGTERM)

    def poll(self) -> list[JobUpdate]:
        """Report which jobs are over, and start those for which there is room."""
        updates = [update for t in [*self.tracked.values()] for update in self._judge(t)]
        if time.monotonic() >= self._next_look:
            updates += self._look_for_lost()
            self._reap()
            self._next_look = time.monotonic() + ALIVE
        updates += self._start_what_fits()
        return updates

    def waiting(self) -> Mapping[str, str]:
        """Return why workflows wait, by name; see `Executor.waiting`."""
        return {t.job.workflow.name: t.reason or "no room on this machine yet" for t in self._queue}

    def _start_what_fits(self) -> Iterator[JobUpdate]:
        """Start jobs in the order of the plan; a smaller one may overtake one without room."""
        for tracked in sorted(self._queue, key=lambda t: t.job.priority):
            placements = self._pool.fit(tracked.job.demand, tracked.job.partition)
            if placements is None:
                continue
            try:
                self._launch(tracked)
            except OSError as error:
                tracked.reason = f"it cannot be started: {reason_of(error)}"
                if error.errno in (errno.EAGAIN, errno.ENOMEM):
                    return  # too many processes just now
                self._queue.remove(tracked)
                yield from self.end(tracked, JobState.FAILED, tracked.reason)
            else:
                self._queue.remove(tracked)
                self._allocate(tracked, placements)

    def _launch(self, tracked: Tracked) -> None:
        folder = tracked.folder
        arguments = [str(folder.path), str(folder.result), str(tracked.job.walltime)]
        null, copy = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0), os.POSIX_SPAWN_DUP2
        pid = os.posix_spawn(
            sys.executable,
            [*_PYTHON, *arguments],
            os.environ,
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
        self._pool.allocate(tracked.job.demand, placements)
        self._allocated[tracked.native_id] = placements

    def _release(self, tracked: Tracked) -> None:
        placements = self._allocated.pop(tracked.native_id, None)
        if placements is not None:
            self._pool.release(tracked.job.demand, placements)

    def _judge(self, tracked: Tracked) -> list[JobUpdate]:
        if tracked.result is not None:
            updates = self.end_well(tracked) or self.end_badly(tracked)
        elif tracked.reason == "cancelled":
            updates = self.end(tracked, JobState.CANCELLED, "cancelled before it began")
        else:
            return []
        self._release(tracked)
        return updates

    def _look_for_lost(self) -> Iterator[JobUpdate]:
        """Report the jobs whose processes are gone without a result, as after a reboot."""
        running = [t for t in self.tracked.values() if t.native_id in self._allocated]
        alive = _supervisors() if running else {}
        for tracked in running:
            if str(tracked.folder.path) in alive or tracked.folder.result.exists():
                tracked.missing_since = None
            elif tracked.missing_since is None:
                tracked.missing_since = self.now()  # it may have ended between the two looks
            else:
                yield from self.end(tracked, JobState.NODE_FAILED, "its process is gone")
                self._release(tracked)


def supervised_folder(command: Sequence[str]) -> str | None:
    """Return the folder of the job that a process supervises; `None` if it is another process.

    Parameters
    ----------
    command
        The command line of any process.

    Examples
    --------
    >>> supervised_folder([*_PYTHON, "/runs/jobs/a/1", "/runs/results/a.1.json", "60"])
    '/runs/jobs/a/1'
    >>> supervised_folder(["vim", str(SUPERVISOR)]) is None
    True
    """
    *python, folder, _, _ = command if len(command) > 3 else ("", "", "", "")
    return folder if python[1:] == _PYTHON[1:] else None


def _supervisors() -> dict[str, psutil.Process]:
    """Return the supervisors that are alive, by the folder of their job."""
    found = {}
    for process in psutil.process_iter(["cmdline", "status"]):
        folder = supervised_folder(process.info["cmdline"] or [])
        if folder is not None and process.info["status"] != psutil.STATUS_ZOMBIE:
            found[folder] = process
    return found
