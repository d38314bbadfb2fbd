"""The backend that runs jobs on this machine, never more at once than it holds."""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psij
import psutil

from socm.engine.backend import Job, JobUpdate
from socm.engine.events import JobState
from socm.errors import SubmitError
from socm.executor.folder import JobFolder
from socm.executor.psij import Tracked, Tracker, refuse_what_cannot_run
from socm.executor.script import job_script
from socm.model.cluster import Cluster
from socm.model.plan import Placement
from socm.model.pool import NodePool

TICK = 0.05
"""Seconds between two looks at the result files."""
ALIVE = 1.0
"""Seconds between two looks at whether what runs is still there."""
SUPERVISOR = Path(__file__).with_name("supervisor.py")


class LocalBackend(Tracker):
    """Runs jobs on this machine.

    Each has a supervisor, a process of its own that outlives this one: it ends the job, and all
    that came of it, at its walltime, and writes how it ended. What does not fit waits here, and
    goes in the order of the plan.
    """

    def __init__(self, run: Path, cluster: Cluster, epoch: float) -> None:
        super().__init__(run.absolute(), cluster, epoch)
        self._executor = psij.JobExecutor.get_instance("local")
        self._pool = NodePool(cluster)
        self._queue: list[Tracked] = []
        self._taken: dict[str, tuple[Placement, ...]] = {}
        self._next_look = 0.0

    def script(self, job: Job) -> tuple[JobFolder, str]:
        """Return the script of a job, and where it belongs."""
        folder = JobFolder.of(self.run, job)
        return folder, job_script(job, folder, local=True, result=folder.path / "end.json")

    def submit(self, job: Job) -> str:
        """Take a job; see `Backend.submit`. It begins once there is room."""
        refuse_what_cannot_run(job)
        folder, script = self.script(job)
        folder.make(script, job.workflow.files)
        tracked = Tracked(job, job.name, folder)
        self.tracked[job.name] = tracked
        self._queue.append(tracked)
        return job.name

    def attach(self, job: Job, native_id: str) -> None:
        """Track a job of an earlier life: one that never began waits again for its turn."""
        folder = JobFolder.of(self.run, job)
        tracked = Tracked(job, native_id, folder)
        self.tracked[native_id] = tracked
        if folder.result.exists():
            return
        if self._supervisor(folder) or folder.started.exists():
            self._take(tracked, self._pool.fit(job.demand, job.partition) or job.placements)
        else:
            folder.make(self.script(job)[1], job.workflow.files)
            self._queue.append(tracked)

    def find(self, job: Job) -> str | None:
        """Return a job's id if it has ever begun; see `Backend.find`."""
        folder = JobFolder.of(self.run, job)
        begun = folder.started.exists() or folder.result.exists() or self._supervisor(folder)
        return job.name if begun else None

    def cancel(self, native_id: str) -> None:
        """End a job, and all that came of it."""
        tracked = self.tracked.get(native_id)
        if tracked is None:
            return
        if tracked in self._queue:
            self._queue.remove(tracked)
            tracked.reason = "cancelled"
        elif process := self._supervisor(tracked.folder):
            process.send_signal(signal.SIGTERM)

    def wait(self, until: float = math.inf) -> Sequence[JobUpdate]:
        """Let time pass to the next updates; see `Backend.wait`."""
        if not self.tracked and until == math.inf:
            return []
        while True:
            self._start_what_fits()
            updates = self.look()
            updates += [update for t in [*self.tracked.values()] for update in self._judge(t)]
            if time.monotonic() >= self._next_look:
                updates += self._miss()
                self._next_look = time.monotonic() + ALIVE
            if updates or self.now() >= until:
                return updates
            time.sleep(min(TICK, max(0.0, until - self.now())))

    def waiting(self) -> dict[str, str]:
        """Return why workflows wait that were handed in, by name."""
        return {t.job.workflow.name: "no room on this machine yet" for t in self._queue}

    def _start_what_fits(self) -> None:
        """Start jobs in the order of the plan; a smaller one may go before one that has no room."""
        for tracked in sorted(self._queue, key=lambda t: t.job.priority):
            placements = self._pool.fit(tracked.job.demand, tracked.job.partition)
            if placements is not None:
                self._queue.remove(tracked)
                self._take(tracked, placements)
                self._launch(tracked)

    def _take(self, tracked: Tracked, placements: tuple[Placement, ...]) -> None:
        self._pool.allocate(tracked.job.demand, placements)
        self._taken[tracked.native_id] = placements

    def _launch(self, tracked: Tracked) -> None:
        job, folder = tracked.job, tracked.folder
        spec = psij.JobSpec(
            name=job.name,
            executable=sys.executable,
            arguments=_supervising(folder, job.walltime),
            launcher="single",
        )
        # Ctrl-C on a terminal is for all its processes; this one has yet to leave it.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._executor.submit(psij.Job(spec))
        except psij.SubmitException as error:
            raise SubmitError(str(error), transient=False) from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _judge(self, tracked: Tracked) -> list[JobUpdate]:
        if tracked.result is not None:
            updates = self.end_well(tracked, vouched=True) or self.own_words(tracked)
        elif tracked.reason == "cancelled":
            updates = self.end(tracked, JobState.CANCELLED, "cancelled before it began")
        else:
            return []
        self._let_go(tracked)
        return updates

    def _let_go(self, tracked: Tracked) -> None:
        placements = self._taken.pop(tracked.native_id, None)
        if placements is not None:
            self._pool.release(tracked.job.demand, placements)

    def _miss(self) -> Iterator[JobUpdate]:
        """Say which jobs are gone without a word, as after a reboot."""
        running = [t for t in self.tracked.values() if t.native_id in self._taken]
        alive = _supervised() if running else {}
        for tracked in running:
            if str(tracked.folder.path) in alive or tracked.folder.result.exists():
                tracked.missing_since = None
            elif tracked.missing_since is None:
                tracked.missing_since = self.now()  # it may have ended between the two looks
            else:
                yield from self.end(tracked, JobState.NODE_FAILED, "its process is gone")
                self._let_go(tracked)

    def _supervisor(self, folder: JobFolder) -> psutil.Process | None:
        return _supervised().get(str(folder.path))


def _supervising(folder: JobFolder, walltime: int) -> list[str]:
    return ["-I", "-S", str(SUPERVISOR), str(folder.path), str(folder.result), str(walltime)]


def _supervised() -> dict[str, psutil.Process]:
    """Return the supervisors that live, by the folder of their job."""
    found = {}
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if str(SUPERVISOR) in words and process.info["status"] != psutil.STATUS_ZOMBIE:
            found[words[words.index(str(SUPERVISOR)) + 1]] = process
    return found
