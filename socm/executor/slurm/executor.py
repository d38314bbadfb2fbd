"""The executor for SLURM.

PSI/J describes and submits the jobs. What becomes of them is read from their result files, squeue
and sacct.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from socm.engine.backend import Job, JobUpdate
from socm.engine.events import JobState
from socm.errors import BackendUnavailable, ConfigError, Problem
from socm.executor.machine import LOCAL
from socm.executor.script import job_script, option_lines, sbatch_options
from socm.executor.slurm.answers import Seen, is_id
from socm.executor.slurm.jobs import Slurm
from socm.executor.tracker import SETTLED, TICK, Tracked, Tracker
from socm.model.cluster import Cluster
from socm.model.plan import Plan

if TYPE_CHECKING:
    from socm.executor.slurm.submission import Submission

POLL_INTERVAL, LONGEST_INTERVAL, BACK_OFF = 30.0, 180.0, 1.5
"""Seconds between two questions to SLURM: at first, at most; and how it grows meanwhile."""
PER_SECOND = 40.0
"""The most submissions in a second."""
CONFIRM = 2.0
"""Seconds between two questions about a job whose end is in doubt."""
LOST = 120.0
"""Seconds after which a job is lost that SLURM does not know and that left no result."""


class SlurmExecutor(Tracker):
    """Runs each workflow as a SLURM job.

    Parameters
    ----------
    run, cluster, epoch
        As for a `Tracker`.
    poll_interval
        Seconds between two questions to SLURM; the interval grows while nothing changes.
    """

    def __init__(
        self, run: Path, cluster: Cluster, epoch: float, *, poll_interval: float | None = None
    ) -> None:
        super().__init__(run, cluster, epoch)
        self.slurm = Slurm()
        self._shortest = self._interval = poll_interval or POLL_INTERVAL
        self.tick = min(TICK, self._shortest)
        self._next_poll = time.monotonic() + self.tick
        self._last_poll = 0.0
        self._next_submission = 0.0

    @cached_property
    def _submission(self) -> Submission:
        from socm.executor.slurm.submission import Submission

        return Submission(self.run, self.slurm)

    @classmethod
    def why_not(cls, cluster: Cluster) -> str | None:
        """Say why what is planned for a cluster cannot run here; see `Executor.why_not`."""
        return "not for a cluster" if cluster.name == LOCAL else None

    def check(self, plan: Plan) -> None:
        """Refuse a plan for whose partitions there are none in this SLURM; see `Executor.check`."""
        if shutil.which("sbatch") is None:
            hint = (
                "log in to the cluster, or run it on this machine with --executor local; --dry-run "
                "writes the job scripts and submits nothing"
            )
            raise BackendUnavailable("there is no sbatch on this machine", hint=hint)
        present = self.slurm.partitions()
        by_name = plan.cluster.by_partition
        used = {by_name[w.partition].slurm_name or w.partition for w in plan.workflows}
        if missing := sorted(used - present):
            names = ", ".join(repr(name) for name in missing)
            message = (
                f"the campaign was planned for {plan.cluster.name}, but the SLURM here has no "
                f"partition {names}; it has {', '.join(sorted(present))}"
            )
            hint = "`socm plan CAMPAIGN --cluster CLUSTER --output PLAN.json` plans it again"
            raise ConfigError(Problem(message=message, hint=hint))

    def why_queued(self, native_ids: Collection[str]) -> Mapping[str, str]:
        """Ask SLURM why jobs wait, by native id; see `Executor.why_queued`."""
        listed = self.slurm.listed()
        return {i: listed[i].reason for i in native_ids if i in listed and listed[i].reason}

    def script(self, job: Job) -> str:
        """Return the script of a job."""
        folder = self.folder(job)
        options = option_lines(sbatch_options(job, self.cluster, folder))
        return job_script(job, folder, options=options)

    def submit(self, job: Job) -> str:
        """Submit a job; see `Backend.submit`."""
        folder = self.prepare(job)
        time.sleep(max(0.0, self._next_submission - time.monotonic()))
        self._next_submission = time.monotonic() + 1 / PER_SECOND
        native_id = self._submission.submit_script(job.name, folder.script)
        self.track(job, native_id)
        return native_id

    def attach(self, job: Job, native_id: str) -> None:
        """Follow a job; see `Backend.attach`."""
        self.track_queued(job, native_id)

    def find(self, job: Job) -> str | None:
        """Return a job's id by its name; see `Backend.find`."""
        started = self.folder(job).read_started()
        if started is not None and is_id(started.native_id):
            return started.native_id
        return self.slurm.find(job.name, self.epoch)

    def cancel(self, native_id: str) -> None:
        """Ask for the end of a job; see `Backend.cancel`."""
        self.slurm.cancel(native_id)
        self._next_poll = time.monotonic() + CONFIRM

    def poll(self) -> list[JobUpdate]:
        """Return what is new of the tracked jobs; asks SLURM when it is time."""
        updates: list[JobUpdate] = []
        for tracked in [t for t in self.tracked.values() if t.result is not None]:
            updates += self.end_well(tracked) or []
        if self._is_due():
            updates += self._ask()
        return updates

    def _is_due(self) -> bool:
        if not self.tracked:
            return False
        now = time.monotonic()
        doubtful = self.outage is None and any(t.result for t in self.tracked.values())
        return now >= self._next_poll or (doubtful and now >= self._last_poll + CONFIRM)

    def _ask(self) -> list[JobUpdate]:
        """Ask SLURM once about all jobs."""
        self._last_poll = time.monotonic()
        try:
            listed = self.slurm.listed()
            over = {i for i in self.tracked if i not in listed or listed[i].state.final}
            accounted = self.slurm.accounted(over)
        except BackendUnavailable as error:
            self.outage = error.message
            self._back_off()
            return []
        self.outage = None
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
        """Report what has become of one job, by all that is known of it."""
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
            # sacct is late, and squeue does not know of steps.
            tracked.ended = now if tracked.ended is None else tracked.ended
            return []
        if tracked.result is None:
            tracked.result = tracked.folder.read_result()
        if seen.state is JobState.COMPLETED:
            return self._judge_completed(tracked, now)
        if seen.state is JobState.FAILED and tracked.result is not None:
            return self.end_badly(tracked)
        return self.end(
            tracked,
            seen.state,
            seen.reason,
            exit_code=seen.exit_code,
            peak_memory=seen.peak_memory,
            moment=seen.end,
        )

    def _judge_completed(self, tracked: Tracked, now: float) -> list[JobUpdate]:
        """A script that ended well has written a result; the file may be on its way."""
        if tracked.result is not None:
            return self.end_well(tracked) or self.end_badly(tracked)
        tracked.ended = now if tracked.ended is None else tracked.ended
        if now - tracked.ended < SETTLED:
            return []
        return self.end(tracked, JobState.FAILED, "SLURM says COMPLETED, but it left no result")

    def _judge_unknown(self, tracked: Tracked, now: float) -> list[JobUpdate]:
        """A job that SLURM does not know has not therefore completed."""
        if tracked.result is not None:
            settled = not self.slurm.accounting or now - (tracked.ended or now) >= SETTLED
            return self.end_badly(tracked) if settled else []
        if tracked.missing_since is None:
            tracked.missing_since = now
        tracked.reason = "not known to SLURM"
        if now - tracked.missing_since < LOST:
            return []
        return self.end(tracked, JobState.FAILED, "SLURM does not know it, and it left no result")
