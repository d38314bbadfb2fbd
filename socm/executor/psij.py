"""The backend that hands jobs to SLURM, or to whatever else PSI/J has an executor for.

PSI/J describes, submits and cancels. What becomes of a job is not asked of it: 0.9.11 takes a job
that is not listed for one that has completed, and a controller that does not answer for the end of
all jobs. The truth is in each job's result file, in squeue and in sacct.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psij
from psij.executors.batch.slurm import SlurmExecutorConfig, SlurmJobExecutor

from socm.engine.backend import Job, JobUpdate
from socm.engine.events import JobState
from socm.errors import BackendUnavailable, ConfigError, Problem, SubmitError
from socm.executor.folder import JobFolder, Result
from socm.executor.script import job_script, option_lines, sbatch_options
from socm.executor.slurm import Seen, Slurm, digits
from socm.model.cluster import Cluster

TICK = 1.0
"""Seconds between two looks at the result files."""
POLL_INTERVAL, LONGEST_INTERVAL, BACK_OFF = 30.0, 180.0, 1.5
"""Seconds between two questions to SLURM: at first, at most; and how it grows meanwhile."""
PER_SECOND = 40.0
"""The most submissions in a second."""
CONFIRM = 2.0
"""Seconds between two questions about a job that says it ended badly."""
SETTLED = 20.0
"""After so many seconds such a job's own word counts, if SLURM has nothing to add."""
LOST = 120.0
"""After so many seconds a job is lost that nobody knows and that left no result."""


@dataclass
class Tracked:
    """A job that was handed in, and what is known of it."""

    job: Job
    native_id: str
    folder: JobFolder
    running: bool = False
    result: Result | None = None
    ended: float | None = None  # when its result was found
    missing_since: float | None = None
    reason: str = ""


@dataclass
class Tracker:
    """What all backends over result files have in common: time, and looking for marks.

    Parameters
    ----------
    run
        The folder of the run.
    epoch
        When the campaign started, in seconds of the epoch.
    """

    run: Path
    cluster: Cluster
    epoch: float
    tracked: dict[str, Tracked] = field(default_factory=dict)

    def now(self) -> float:
        """Seconds since the campaign's start."""
        return time.time() - self.epoch

    def since_start(self, moment: float) -> float:
        """Turn a moment that a node's clock told into campaign time: never in the future."""
        return min(max(0.0, moment - self.epoch), self.now())

    def look(self) -> list[JobUpdate]:
        """Look which jobs have begun, and which say how they ended, since the last time."""
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

    def begin(self, tracked: Tracked) -> list[JobUpdate]:
        """Say that a job runs, once."""
        if tracked.running:
            return []
        tracked.running, tracked.reason = True, ""
        started = tracked.folder.read_started()
        moment = self.since_start(started[1]) if started else self.now()
        return [JobUpdate(job=tracked.job, state=JobState.RUNNING, time=moment)]

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
        """Say that a job is over, and that it ran before where it did."""
        result, started = tracked.result, tracked.folder.read_started()
        updates = self.begin(tracked) if started else []
        if result is not None:
            moment = result.end
            exit_code = result.exit_code if exit_code is None else exit_code
            peak_memory = max(peak_memory or 0, result.peak_memory or 0) or None
        del self.tracked[tracked.native_id]
        update = JobUpdate(
            job=tracked.job,
            state=state,
            time=self.now() if moment is None else self.since_start(moment),
            exit_code=exit_code,
            reason=reason,
            peak_memory=peak_memory,
        )
        return [*updates, update]

    def end_well(self, tracked: Tracked, *, vouched: bool) -> list[JobUpdate] | None:
        """End a job by its own word if that is good; `None` if somebody else has to be asked.

        Unless somebody else has vouched for it, each of its ranks has to have said so: a launcher
        may end well after a node was lost.
        """
        result = tracked.result
        if result is None or result.exit_code != 0 or result.state:
            return None
        if not vouched and result.ranks_well < _ranks(tracked.job):
            return None
        if result.memory_kills:
            reason = f"{result.memory_kills} of its processes were killed for memory"
            return self.end(tracked, JobState.OUT_OF_MEMORY, reason)
        if missing := tracked.folder.missing_outputs(tracked.job.workflow):
            return self.end(tracked, JobState.FAILED, f"exit code 0, but no {', '.join(missing)}")
        return self.end(tracked, JobState.COMPLETED)

    def own_words(self, tracked: Tracked) -> list[JobUpdate]:
        """End a job that ended badly by its own word."""
        result = tracked.result
        assert result is not None
        states = {"timeout": JobState.TIMEOUT, "cancelled": JobState.CANCELLED}
        state = states.get(result.state, JobState.FAILED)
        if result.memory_kills:
            state = JobState.OUT_OF_MEMORY
        reason = result.reason or (f"exit code {result.exit_code}" if not result.state else "")
        if result.exit_code == 0:
            ranks = _ranks(tracked.job)
            reason = (
                f"exit code 0, but {result.ranks_well} of {ranks} ranks said that they ended well"
            )
        return self.end(tracked, state, reason)

    def waiting(self) -> dict[str, str]:
        """Return why workflows wait that were handed in, by name."""
        return {t.job.workflow.name: t.reason for t in self.tracked.values() if not t.running}


class SlurmBackend(Tracker):
    """Hands jobs to SLURM.

    Parameters
    ----------
    run, cluster, epoch
        As for a `Tracker`.
    poll_interval
        Seconds between two questions to SLURM; they grow rarer while nothing changes.
    """

    def __init__(
        self,
        run: Path,
        cluster: Cluster,
        epoch: float,
        *,
        poll_interval: float = POLL_INTERVAL,
        slurm: Slurm | None = None,
    ) -> None:
        super().__init__(run.absolute(), cluster, epoch)
        self.slurm = slurm or Slurm()
        self.silent: str | None = None
        """What SLURM said when it last gave no answer; `None` while it does."""
        self._executor = _SlurmExecutor(self.run, self.slurm)
        self._shortest = poll_interval
        self._interval = poll_interval
        self._next_poll = time.monotonic() + min(poll_interval, TICK)
        self._last_poll = 0.0
        self._next_submission = 0.0
        self._to_cancel: set[str] = set()

    def script(self, job: Job) -> tuple[JobFolder, str]:
        """Return the script of a job, and where it belongs."""
        folder = JobFolder.of(self.run, job)
        options = option_lines(sbatch_options(job, self.cluster, folder))
        return folder, job_script(job, folder, options=options)

    def submit(self, job: Job) -> str:
        """Hand in a job; see `Backend.submit`."""
        refuse_what_cannot_run(job)
        folder, script = self.script(job)
        folder.make(script, job.workflow.files)
        time.sleep(max(0.0, self._next_submission - time.monotonic()))
        self._next_submission = time.monotonic() + 1 / PER_SECOND
        native_id = self._executor.submit_script(job, folder, script)
        self.attach(job, native_id)
        return native_id

    def attach(self, job: Job, native_id: str) -> None:
        """Track a job; see `Backend.attach`."""
        self.tracked[native_id] = Tracked(job, native_id, JobFolder.of(self.run, job))

    def find(self, job: Job) -> str | None:
        """Return a job's id by its name; see `Backend.find`."""
        started = JobFolder.of(self.run, job).read_started()
        if started is not None and started[0].isdigit():
            return started[0]
        return self.slurm.find(job.name, self.epoch)

    def cancel(self, native_id: str) -> None:
        """End a job; tried again later if SLURM does not answer."""
        try:
            self.slurm.cancel(native_id)
            self._next_poll = time.monotonic() + CONFIRM
        except BackendUnavailable:
            self._to_cancel.add(native_id)

    def wait(self, until: float = math.inf) -> Sequence[JobUpdate]:
        """Let time pass to the next updates; see `Backend.wait`."""
        if not self.tracked and until == math.inf:
            return []
        while True:
            updates = self.look()
            for tracked in [t for t in self.tracked.values() if t.result is not None]:
                updates += self.end_well(tracked, vouched=False) or []
            if self._poll_is_due():
                updates += self._poll()
            if updates or self.now() >= until:
                return updates
            time.sleep(min(TICK, self._shortest, max(0.0, until - self.now())))

    def _poll_is_due(self) -> bool:
        if not self.tracked:
            return False
        now = time.monotonic()
        doubtful = self.silent is None and any(t.result for t in self.tracked.values())
        return now >= self._next_poll or (doubtful and now >= self._last_poll + CONFIRM)

    def _poll(self) -> list[JobUpdate]:
        """Ask SLURM once about all jobs."""
        self._last_poll = time.monotonic()
        try:
            for native_id in sorted(self._to_cancel):
                self.slurm.cancel(native_id)
                self._to_cancel.discard(native_id)
            listed = self.slurm.listed()
            over = {i for i in self.tracked if i not in listed or listed[i].state.final}
            accounted = self.slurm.accounted(over)
        except BackendUnavailable as error:
            self.silent = error.message
            self._back_off()
            return []
        self.silent = None
        updates = []
        for native_id, tracked in [*self.tracked.items()]:
            updates += self._judge(tracked, listed.get(native_id), accounted.get(native_id))
        self._back_off(reset=bool(updates))
        return updates

    def _back_off(self, *, reset: bool = False) -> None:
        longest = max(LONGEST_INTERVAL, self._shortest)
        self._interval = self._shortest if reset else min(longest, self._interval * BACK_OFF)
        self._next_poll = time.monotonic() + self._interval

    def _judge(
        self, tracked: Tracked, listed: Seen | None, accounted: Seen | None
    ) -> list[JobUpdate]:
        """Say what has become of one job, by all that is known of it."""
        # Of a job that is over, sacct knows more; of one that is not, squeue knows sooner.
        seen = accounted if accounted is not None and accounted.state.final else listed
        if seen is None:
            seen = accounted
        now = self.now()
        if seen is None:
            return self._judge_unknown(tracked, now)
        tracked.missing_since = None
        if seen.state is JobState.QUEUED:
            tracked.reason = seen.reason
            return []
        if seen.state is JobState.RUNNING:
            return self.begin(tracked)
        if listed is seen and self.slurm.accounting and now - (tracked.ended or now) < SETTLED:
            # sacct is late, and squeue does not tell of steps.
            tracked.ended = now if tracked.ended is None else tracked.ended
            return []
        if tracked.result is None:
            tracked.result = tracked.folder.read_result()
        if seen.state is JobState.COMPLETED:
            return self._judge_completed(tracked, now)
        if seen.state is JobState.FAILED and tracked.result is not None:
            return self.own_words(tracked)
        return self.end(
            tracked,
            seen.state,
            seen.reason,
            exit_code=seen.exit_code,
            peak_memory=seen.peak_memory,
            moment=seen.end,
        )

    def _judge_completed(self, tracked: Tracked, now: float) -> list[JobUpdate]:
        """A job whose script ended well has written how; its file may be on its way."""
        if tracked.result is not None:
            return self.end_well(tracked, vouched=True) or self.own_words(tracked)
        tracked.ended = now if tracked.ended is None else tracked.ended
        if now - tracked.ended < SETTLED:
            return []
        return self.end(tracked, JobState.FAILED, "SLURM says COMPLETED, but it left no result")

    def _judge_unknown(self, tracked: Tracked, now: float) -> list[JobUpdate]:
        """A job that SLURM does not know has not therefore completed."""
        if tracked.result is not None:
            settled = not self.slurm.accounting or now - (tracked.ended or now) >= SETTLED
            return self.own_words(tracked) if settled else []
        if tracked.missing_since is None:
            tracked.missing_since = now
        tracked.reason = "not known to SLURM"
        if now - tracked.missing_since < LOST:
            return []
        return self.end(tracked, JobState.FAILED, "SLURM does not know it, and it left no result")


class _SlurmExecutor(SlurmJobExecutor):
    """PSI/J's executor with a script of ours, commands that cannot hang, and without its thread."""

    _NAME_ = "slurm"  # PSI/J gives it to the executors that it knows
    _VERSION_ = "0.0.2"

    def __init__(self, run: Path, slurm: Slurm) -> None:
        config = SlurmExecutorConfig(work_directory=run / "psij")
        super().__init__(config=config)
        self._slurm = slurm
        self._scripts: dict[str, tuple[JobFolder, str]] = {}

    def submit_script(self, job: Job, folder: JobFolder, script: str) -> str:
        """Hand in a script; return the native id."""
        handed = psij.Job(psij.JobSpec(name=job.name, executable="/bin/bash", launcher="single"))
        self._scripts[handed.id] = (folder, script)
        try:
            self.submit(handed)
        finally:
            del self._scripts[handed.id]
        return str(handed.native_id)

    def _start_queue_poll_thread(self) -> Any:
        class Nobody:
            def register_job(self, job: psij.Job) -> None:
                """Jobs are tracked by whoever drives this executor."""

        return Nobody()

    def _run_command(self, command: list[str]) -> str:
        return self._slurm.sbatch(*command[1:])

    def generate_submit_script(
        self, job: psij.Job, context: dict[str, object], submit_file: IO[str]
    ) -> None:
        submit_file.write(self._scripts[job.id][1])

    def get_submit_command(self, job: psij.Job, submit_file_path: Path) -> list[str]:
        script = self._scripts[job.id][0].script
        submit_file_path.replace(script)
        return ["sbatch", "--parsable", str(script)]

    def job_id_from_submit_output(self, out: str) -> str:
        return digits(out)


def _ranks(job: Job) -> int:
    """How many ranks the job's script starts."""
    return 1 if job.workflow.launcher == "none" else job.demand.ranks


def refuse_what_cannot_run(job: Job) -> None:
    """Raise `SubmitError` for what would only fail later, and there be hard to find."""
    workflow = job.workflow
    if not workflow.command:
        raise SubmitError("it has no command", transient=False)
    if workflow.directory and not Path(workflow.directory).is_dir():
        raise SubmitError(f"there is no folder {workflow.directory}", transient=False)
    for name in workflow.environment:
        if not name.isidentifier() or not name.isascii():
            raise SubmitError(f"{name!r} is no name of a variable", transient=False)
    text = (*workflow.command, *workflow.environment.values())
    if any("\0" in part for part in text):
        raise SubmitError("no argument or value can hold a NUL character", transient=False)


class OtherBackend(Tracker):
    """Hands jobs to another executor of PSI/J; it sees to their states, result files to the rest.

    Parameters
    ----------
    name
        Of the executor, as PSI/J knows it.
    """

    def __init__(self, run: Path, cluster: Cluster, epoch: float, *, name: str) -> None:
        super().__init__(run.absolute(), cluster, epoch)
        try:
            self._executor = psij.JobExecutor.get_instance(name)
        except ValueError as error:
            known: Collection[str] = psij.JobExecutor.get_executor_names()
            hint = f"known are {', '.join(sorted(known))}"
            raise ConfigError(Problem(message=f"no executor {name!r}", hint=hint)) from error
        self._jobs: dict[str, psij.Job] = {}

    def script(self, job: Job) -> tuple[JobFolder, str]:
        """Return the script of a job, and where it belongs."""
        folder = JobFolder.of(self.run, job)
        return folder, job_script(job, folder, local=True)

    def submit(self, job: Job) -> str:
        """Hand in a job; see `Backend.submit`."""
        from datetime import timedelta

        refuse_what_cannot_run(job)
        folder, script = self.script(job)
        folder.make(script, job.workflow.files)
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
        handed = psij.Job(spec)
        try:
            self._executor.submit(handed)
        except (psij.SubmitException, psij.InvalidJobException) as error:
            raise SubmitError(str(error), transient=False) from error
        native_id = str(handed.native_id)
        self._jobs[native_id] = handed
        self.attach(job, native_id)
        return native_id

    def attach(self, job: Job, native_id: str) -> None:
        """Track a job; see `Backend.attach`."""
        self.tracked[native_id] = Tracked(job, native_id, JobFolder.of(self.run, job))
        if native_id not in self._jobs:
            handed = psij.Job(psij.JobSpec(executable="/bin/bash"))
            try:
                self._executor.attach(handed, native_id)
            except (psij.SubmitException, psij.InvalidJobException):
                return  # it is over: its result says how
            self._jobs[native_id] = handed

    def find(self, job: Job) -> str | None:
        """Return a job's id by the mark that it made; without one nobody can tell."""
        started = JobFolder.of(self.run, job).read_started()
        if started is None:
            raise BackendUnavailable(f"this executor cannot look for {job.name}")
        return started[0]

    def cancel(self, native_id: str) -> None:
        """End a job."""
        if native_id in self._jobs:
            self._executor.cancel(self._jobs[native_id])

    def wait(self, until: float = math.inf) -> Sequence[JobUpdate]:
        """Let time pass to the next updates; see `Backend.wait`."""
        if not self.tracked and until == math.inf:
            return []
        while True:
            updates = self.look()
            for native_id, tracked in [*self.tracked.items()]:
                updates += self._judge(tracked, self._jobs.get(native_id))
            if updates or self.now() >= until:
                return updates
            time.sleep(min(TICK, max(0.0, until - self.now())))

    def _judge(self, tracked: Tracked, handed: psij.Job | None) -> list[JobUpdate]:
        if tracked.result is not None:
            return self.end_well(tracked, vouched=True) or self.own_words(tracked)
        if handed is None or not handed.status.state.final:
            return []
        state = handed.status.state
        now = self.now()
        if tracked.ended is None:
            tracked.ended = now
        if now - tracked.ended < SETTLED and state is not psij.JobState.CANCELED:
            return []
        cancelled = state is psij.JobState.CANCELED
        reason = handed.status.message or "it left no result"
        return self.end(tracked, JobState.CANCELLED if cancelled else JobState.FAILED, reason)
