"""The other executors of PSI/J: flux, lsf, pbs and whatever else it knows."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import psij

from socm.engine.backend import Job, JobUpdate
from socm.engine.events import JobState
from socm.errors import BackendUnavailable, SubmitError
from socm.executor.script import job_script
from socm.executor.tracker import SETTLED, Tracked, Tracker
from socm.model.cluster import Cluster


def psij_names() -> set[str]:
    """Return the names of PSI/J's executors."""
    return set(psij.JobExecutor.get_executor_names())


def psij_type(psij_name: str) -> type[PsijExecutor]:
    """Return the executor that submits through the one of PSI/J that has this name."""

    class Named(PsijExecutor):
        name = psij_name

    return Named


class PsijExecutor(Tracker):
    """Submits jobs through PSI/J, which follows their states; result files say the rest.

    A subclass has the `name` that PSI/J gives to its executor.
    """

    name: ClassVar[str]

    def __init__(
        self, run: Path, cluster: Cluster, epoch: float, *, poll_interval: float | None = None
    ) -> None:
        super().__init__(run, cluster, epoch)
        self._executor = psij.JobExecutor.get_instance(self.name)
        self._jobs: dict[str, psij.Job] = {}

    def script(self, job: Job) -> str:
        """Return the script of a job."""
        return job_script(job, self.folder(job), local=True)

    def submit(self, job: Job) -> str:
        """Submit a job; see `Backend.submit`."""
        folder = self.prepare(job)
        spec = psij.JobSpec(
            name=job.name,
            executable="/bin/bash",
            arguments=[str(folder.script)],
            directory=folder.path,
            stdout_path=folder.stdout,
            stderr_path=folder.stderr,
            launcher="single",
            resources=psij.ResourceSpecV1(
                process_count=1,
                cpu_cores_per_process=job.demand.ranks * job.demand.threads,
                memory=job.demand.memory * 2**20 or None,
            ),
            attributes=psij.JobAttributes(
                duration=timedelta(seconds=job.walltime), queue_name=job.partition
            ),
        )
        submitted = psij.Job(spec)
        try:
            self._executor.submit(submitted)
        except (psij.SubmitException, psij.InvalidJobException) as error:
            raise SubmitError(str(error), transient=False) from error
        native_id = str(submitted.native_id)
        self._jobs[native_id] = submitted
        self.track(job, native_id)
        return native_id

    def attach(self, job: Job, native_id: str) -> None:
        """Follow a job; see `Backend.attach`."""
        self.take_over(job, native_id, queued=True)
        if native_id not in self._jobs:
            attached = psij.Job(psij.JobSpec(executable="/bin/bash"))
            try:
                self._executor.attach(attached, native_id)
            except (psij.SubmitException, psij.InvalidJobException):
                return  # it is over: its result says how
            self._jobs[native_id] = attached

    def find(self, job: Job) -> str | None:
        """Return a job's id by the mark that it made; without one it cannot be told."""
        started = self.folder(job).read_started()
        if started is None:
            raise BackendUnavailable(f"this executor cannot look for {job.name}")
        return started.native_id

    def cancel(self, native_id: str) -> None:
        """Ask for the end of a job; see `Backend.cancel`."""
        if native_id in self.tracked and native_id in self._jobs:
            self._executor.cancel(self._jobs[native_id])

    def poll(self) -> list[JobUpdate]:
        """Return what is new of the tracked jobs."""
        return [update for t in [*self.tracked.values()] for update in self._judge(t)]

    def _judge(self, tracked: Tracked) -> list[JobUpdate]:
        if tracked.result is not None:
            return self.end_well(tracked) or self.end_badly(tracked)
        job = self._jobs.get(tracked.native_id)
        status = None if job is None else job.status
        if status is not None and not status.state.final:
            return []
        cancelled = status is not None and status.state is psij.JobState.CANCELED
        now = self.now()
        if tracked.ended is None:
            tracked.ended = now
        if now - tracked.ended < SETTLED and not cancelled:
            return []
        reason = (status.message if status else None) or "it left no result"
        return self.end(tracked, JobState.CANCELLED if cancelled else JobState.FAILED, reason)
