"""What executors share: they follow jobs by the files that these leave in the folder of the run."""

from __future__ import annotations

import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from socm.engine.backend import Job, JobUpdate
from socm.engine.events import JobState
from socm.errors import RunError, SubmitError
from socm.executor.folder import JobFolder, Result, Start
from socm.executor.script import ranks_started
from socm.model.cluster import Cluster
from socm.model.plan import Plan

TICK = 1.0
"""Seconds between two looks at the result files."""
SETTLED = 20.0
"""Seconds after which a result file alone decides, if the cluster has nothing to add."""


@dataclass
class Tracked:
    """A job that was submitted or attached, and what is known of it."""

    job: Job
    native_id: str
    folder: JobFolder
    running: bool = False
    nodes: tuple[str, ...] = ()  # on which it runs, where they are known
    latest: float = 0.0  # the time of its last update
    result: Result | None = None
    ended: float | None = None  # when its result was found
    missing_since: float | None = None
    reason: str = ""


class Tracker(ABC):
    """The common part of executors that keep `socm.executor.Executor`.

    A subclass submits, attaches, finds and cancels jobs, writes their `script`, and says in `poll`
    what it learnt of those in `tracked`.

    Parameters
    ----------
    run
        Folder of the run.
    cluster
        Where the jobs run, as the plan describes it.
    epoch
        When the campaign started, in seconds of the epoch.
    poll_interval
        Seconds between two questions to the cluster; `None` leaves it to the executor.
    """

    tick = TICK

    def __init__(
        self, run: Path, cluster: Cluster, epoch: float, *, poll_interval: float | None = None
    ) -> None:
        self.run = run.absolute()
        self.cluster = cluster
        self.epoch = epoch
        self.tracked: dict[str, Tracked] = {}
        self.outage: str | None = None
        self._before = time.time() - epoch - time.monotonic()

    @classmethod
    def cluster_for(cls, named: str | None) -> str | None:
        """Return the cluster to plan for; see `Executor.cluster_for`."""
        return named

    @classmethod
    def why_not(cls, cluster: Cluster) -> str | None:
        """Say why what is planned for a cluster cannot run here; see `Executor.why_not`."""
        return None

    def check(self, plan: Plan) -> None:  # noqa: B027 - most have nothing to ask
        """Refuse a plan that cannot run here just now; see `Executor.check`."""

    def closes(self) -> float:
        """Return when the cluster ends; see `Executor.closes`."""
        return math.inf

    def waiting(self) -> Mapping[str, str]:
        """Return why workflows wait, by name; see `Executor.waiting`."""
        return {t.job.workflow.name: t.reason for t in self.tracked.values() if not t.running}

    def why_queued(self, native_ids: Collection[str]) -> Mapping[str, str]:
        """Ask why jobs wait, by native id; see `Executor.why_queued`."""
        return {}

    @abstractmethod
    def script(self, job: Job) -> str:
        """Return the script of a job."""

    @abstractmethod
    def cancel(self, native_id: str) -> None:
        """Ask for the end of a job; see `Backend.cancel`."""

    def withdraw(self, native_id: str) -> None:
        """Ask for the end of a job that waits; see `Backend.withdraw`."""
        tracked = self.tracked.get(native_id)
        if tracked is not None and not tracked.folder.started.exists():
            self.cancel(native_id)

    @abstractmethod
    def poll(self) -> list[JobUpdate]:
        """Return what is new of the tracked jobs, apart from what their files say."""

    def write_script(self, job: Job) -> Path:
        """Write the script of a job, and submit nothing; return its path."""
        folder = self.folder(job)
        folder.make(self.script(job), {})
        return folder.script

    def prepare(self, job: Job) -> JobFolder:
        """Make the folder of a job, its script and its files.

        Raises
        ------
        SubmitError
            If the job cannot run.
        RunError
            If the folder cannot be written.
        """
        refuse_what_cannot_run(job)
        folder = self.folder(job)
        folder.make(self.script(job), job.workflow.files)
        return folder

    def folder(self, job: Job) -> JobFolder:
        """Return the folder of a job."""
        return JobFolder(self.run, job.workflow.name, job.attempt)

    def track(self, job: Job, native_id: str) -> Tracked:
        """Follow a job from now on."""
        return self.tracked.setdefault(native_id, Tracked(job, native_id, self.folder(job)))

    def take_over(self, job: Job, native_id: str, *, queued: bool = False) -> Tracked:
        """Follow a job of an earlier process.

        Parameters
        ----------
        queued
            Whether it may wait in the queue of a cluster, which has its script.

        Raises
        ------
        RunError
            If it belongs to another run, of which this one is a copy; or would not find its files
            when it begins.
        """
        name, folder = job.workflow.name, self.folder(job)
        origin = folder.origin()
        if origin is not None and not folder.result.exists():
            here, there = quote(str(self.run)), quote(str(origin))
            if origin.exists():
                raise RunError(
                    f"{name} belongs to the run in {origin}, of which {self.run} is a copy",
                    hint=f"`socm resume {there}` continues it",
                )
            if queued and not folder.started.exists():
                raise RunError(
                    f"{name} waits in the queue and will need the folder of the run, {self.run}, "
                    f"under its former name {origin}",
                    hint=f"move it back, or `ln -s {here} {there}`; then resume",
                )
        return self.track(job, native_id)

    def now(self) -> float:
        """Seconds since the campaign's start: a clock that is set back does not set this back."""
        return time.monotonic() + self._before

    def since_start(self, moment: float) -> float:
        """Turn a time of a node's clock into campaign time: never in the future."""
        return min(max(0.0, moment - self.epoch), self.now())

    def wait(self, until: float = math.inf) -> Sequence[JobUpdate]:
        """Let time pass to the next updates; see `Backend.wait`."""
        if not self.tracked and until == math.inf:
            return []
        while True:
            updates = [*self._look(), *self.poll()]
            if updates or self.now() >= until:
                return updates
            time.sleep(min(self.tick, max(0.0, until - self.now())))

    def _look(self) -> list[JobUpdate]:
        """Report the jobs that started since the last look; read the results that are new."""
        try:
            marks = set(os.listdir(self.run / "results"))
        except OSError:
            return []  # not made yet, or not there just now
        updates = []
        for tracked in self.tracked.values():
            folder = tracked.folder
            if not tracked.running and folder.started.name in marks:
                updates += self.begin(tracked)
            if tracked.result is None and folder.result.name in marks:
                tracked.result = folder.read_result()
                if tracked.result is not None:
                    tracked.ended = self.now()
        return updates

    def begin(self, tracked: Tracked, nodes: tuple[str, ...] = ()) -> list[JobUpdate]:
        """Report that a job runs, once, and on which nodes if they are known."""
        if tracked.running:
            return []
        tracked.running, tracked.reason = True, ""
        started = tracked.folder.read_started()
        moment = started.time if started else tracked.result.start if tracked.result else None
        tracked.latest = self.now() if moment is None else self.since_start(moment)
        tracked.nodes = nodes or self.nodes_of(started)
        return [
            JobUpdate(
                job=tracked.job,
                state=JobState.RUNNING,
                time=tracked.latest,
                nodes=tracked.nodes,
            )
        ]

    def nodes_of(self, started: Start | None) -> tuple[str, ...]:
        """Return the names of the nodes of a job, if the mark of its start tells them."""
        return ()

    def end(
        self,
        tracked: Tracked,
        state: JobState,
        reason: str = "",
        *,
        exit_code: int | None = None,
        peak_memory: int | None = None,
        moment: float | None = None,
    ) -> list[JobUpdate]:
        """Report that a job is over, and first that it ran if it did."""
        result = tracked.result
        ran = result is not None or tracked.folder.read_started() is not None
        updates = self.begin(tracked) if ran else []
        if result is not None:
            moment = result.end
            exit_code = result.exit_code if exit_code is None else exit_code
            peak_memory = max(peak_memory or 0, result.peak_memory or 0) or None
        del self.tracked[tracked.native_id]
        update = JobUpdate(
            job=tracked.job,
            state=state,
            # Clocks differ, and SLURM's times are whole seconds: no end is before its start.
            time=max(tracked.latest, self.now() if moment is None else self.since_start(moment)),
            exit_code=exit_code,
            reason=reason,
            peak_memory=peak_memory,
        )
        return [*updates, update]

    def end_well(self, tracked: Tracked) -> list[JobUpdate] | None:
        """Report a job that ended well by its own result file; `None` if that does not say so.

        Each rank has to have noted that it ended well, whatever others say: a launcher may end
        well after a node was lost, and a script without having reached its command.
        """
        result = tracked.result
        if result is None or result.exit_code != 0 or result.state:
            return None
        if result.ranks_well < ranks_started(tracked.job):
            return None
        if result.memory_kills:
            reason = f"{result.memory_kills} of its processes were killed for memory"
            return self.end(tracked, JobState.OUT_OF_MEMORY, reason)
        if missing := tracked.folder.missing_outputs(tracked.job.workflow):
            return self.end(tracked, JobState.FAILED, f"exit code 0, but no {', '.join(missing)}")
        return self.end(tracked, JobState.COMPLETED)

    def end_badly(self, tracked: Tracked) -> list[JobUpdate]:
        """Report a failed job from its own result file."""
        result = tracked.result
        assert result is not None
        states = {
            "timeout": JobState.TIMEOUT,
            "cancelled": JobState.CANCELLED,
            "out of memory": JobState.OUT_OF_MEMORY,
        }
        state = states.get(result.state, JobState.FAILED)
        if result.memory_kills:
            state = JobState.OUT_OF_MEMORY
        reason = result.reason
        if not reason and not result.state:
            reason = f"exit code {result.exit_code}"
            if result.ranks_begun == 0:
                reason += ", and its command did not run"
            elif result.exit_code == 0:
                ranks = ranks_started(tracked.job)
                reason += f", but only {result.ranks_well} of {ranks} ranks ended well"
        return self.end(tracked, state, reason)


def refuse_what_cannot_run(job: Job) -> None:
    """Raise `SubmitError` for what would only fail later, where it is harder to find."""
    workflow = job.workflow
    if not workflow.command:
        raise SubmitError("it has no command", transient=False)
    if workflow.directory and not Path(workflow.directory).is_dir():
        raise SubmitError(f"there is no folder {workflow.directory}", transient=False)
    for name in workflow.environment:
        if not name.isidentifier() or not name.isascii():
            raise SubmitError(f"{name!r} is not a valid name of a variable", transient=False)
    for part in (*workflow.command, *workflow.environment.values(), *workflow.setup):
        if "\0" in part:
            raise SubmitError(
                "no argument, value or setup can hold a NUL character", transient=False
            )
        try:
            part.encode(errors="surrogateescape")
        except UnicodeEncodeError:
            raise SubmitError(f"{part!r} has half a character", transient=False) from None
