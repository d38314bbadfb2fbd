"""The executor for SLURM.

PSI/J describes and submits the jobs. What becomes of them is read from their result files, squeue
and sacct.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from socm.engine.attempts import first_attempts
from socm.engine.backend import Job, JobUpdate
from socm.engine.events import JobState
from socm.errors import BackendUnavailable, ConfigError, Problem
from socm.executor.folder import JobFolder, Start
from socm.executor.script import job_script, option_lines, sbatch_options
from socm.executor.slurm.answers import Seen, is_id, node_names
from socm.executor.slurm.client import sbatch_at_work
from socm.executor.slurm.identity import Identity
from socm.executor.slurm.jobs import Slurm
from socm.executor.slurm.preflight import refuse_what_slurm_would
from socm.executor.tracker import SETTLED, TICK, Tracked, Tracker
from socm.model.cluster import Cluster
from socm.model.machine import LOCAL
from socm.model.plan import Plan

if TYPE_CHECKING:
    from socm.executor.slurm.submission import Submission

POLL_INTERVAL, LONGEST_INTERVAL, BACK_OFF = 30.0, 180.0, 1.5
"""Seconds between two questions to SLURM: at first, at most; and how it grows meanwhile."""
PER_SECOND = 40.0
"""The most submissions in a second."""
FRESH = 1.0
"""Seconds for which a list of jobs is good enough to cancel by it."""
CONFIRM = 2.0
"""Seconds between two questions about a job whose end is in doubt."""
LOST, RECORDED = 120.0, 600.0
"""Seconds after which a job is lost that the controller does not know and that left no result;
and one that is open by the accounting."""
OVERDUE = 120.0
"""Seconds after its walltime within which SLURM ends a job."""
MISSES = 4
"""How many answers have to miss a job: one may be cut."""
DROPPED = "CANCELLED"
"""What sacct says of jobs that a controller has lost; of others it says by whom."""
REQUEUED = "requeued by SLURM"
NOT_AVAILABLE = "ReqNodeNotAvail"
"""How the reason begins for which a job waits whose nodes are drained or down."""


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
        self._listed: tuple[float, dict[str, Seen]] = (-math.inf, {})
        self._identities: dict[str, Identity] = {}
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
        """Refuse a plan of which this SLURM would refuse a job; see `Executor.check`."""
        if shutil.which("sbatch") is None:
            hint = (
                "log in to the cluster, or run it on this machine with --executor local; --dry-run "
                "writes the job scripts and submits nothing"
            )
            raise BackendUnavailable("there is no sbatch on this machine", hint=hint)
        present = self.slurm.partitions()
        by_name = plan.cluster.by_partition
        named = {w.partition for w in plan.workflows if by_name[w.partition].send}
        used = {by_name[name].slurm_name or name for name in named}
        if missing := sorted(used - present):
            names = ", ".join(repr(name) for name in missing)
            message = (
                f"the campaign was planned for {plan.cluster.name}, but the SLURM here has no "
                f"partition {names}; it has {', '.join(sorted(present))}"
            )
            hint = "`socm plan CAMPAIGN --cluster CLUSTER --output PLAN.json` plans it again"
            raise ConfigError(Problem(message=message, hint=hint))
        for job in first_attempts(plan):
            self.script(job)  # what SLURM does not accept in it is refused now
        refuse_what_slurm_would(plan, self.cluster, self.slurm)

    def why_queued(self, native_ids: Collection[str]) -> Mapping[str, str]:
        """Ask SLURM why jobs wait, by native id; see `Executor.why_queued`."""
        ours = {i: j for i, j in self.slurm.listed().items() if self.run in Path(j.script).parents}
        return {i: ours[i].reason for i in native_ids if i in ours and ours[i].reason}

    def waiting(self) -> Mapping[str, str]:
        """Return why workflows wait, or are suspended, by name; see `Executor.waiting`."""
        return {t.job.workflow.name: t.reason for t in self.tracked.values()}

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
        # A SLURM that has lost its jobs counts their ids from one again.
        again = sum(t.native_id.partition("-")[0] == native_id for t in self.tracked.values())
        native_id = f"{native_id}-{again + 1}" if again else native_id
        self.track(job, native_id)
        return native_id

    def attach(self, job: Job, native_id: str) -> None:
        """Follow a job; see `Backend.attach`."""
        self.take_over(job, native_id, queued=True)

    def track(self, job: Job, native_id: str) -> Tracked:
        """Follow a job from now on, and no other that SLURM may have under its id."""
        if native_id not in self.tracked:
            number, script = native_id.partition("-")[0], str(self.folder(job).script)
            self._identities[native_id] = Identity(number, job.name, script)
        return super().track(job, native_id)

    def find(self, job: Job) -> str | None:
        """Return a job's id: by the mark of its start, or by its name; see `Backend.find`."""
        folder = self.folder(job)
        if native_id := _starter(folder):
            return native_id
        if process := sbatch_at_work(folder.script):
            message = f"sbatch, process {process}, is still submitting {job.name}"
            raise BackendUnavailable(message)
        try:
            submitted = folder.script.stat().st_mtime
        except OSError:
            submitted = self.epoch
        try:
            found = self.slurm.find(job.name, submitted)
        finally:
            self._tell_silence()
        return _starter(folder) or found

    def cancel(self, native_id: str) -> None:
        """Ask for the end of a job; see `Backend.cancel`."""
        if native_id in self.tracked:
            self.slurm.cancel([i for i, s in self._ours(native_id) if not s.state.final])
            self._is_to_end(native_id)

    def withdraw(self, native_id: str) -> None:
        """Ask for the end of a job that waits; see `Backend.withdraw`."""
        if native_id not in self.tracked:
            return
        if waiting := [i for i, s in self._ours(native_id) if s.state is JobState.QUEUED]:
            self.slurm.cancel(waiting, "--state=PENDING")
            self._is_to_end(native_id)

    def _ours(self, native_id: str) -> Iterable[tuple[str, Seen]]:
        """Return the jobs that SLURM lists of one that we follow, by id."""
        if time.monotonic() > self._listed[0] + FRESH:
            self._listed = (time.monotonic(), self.slurm.listed())
        return self._identities[native_id].among(self._listed[1]).items()

    def _is_to_end(self, native_id: str) -> None:
        self._identities[native_id].withdrawn = True
        self._next_poll = time.monotonic() + CONFIRM

    def nodes_of(self, started: Start | None) -> tuple[str, ...]:
        """Return the names of the nodes of a job; see `Tracker.nodes_of`."""
        return node_names(started.nodes) if started else ()

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
        now, doubt = time.monotonic(), self.now() - 2 * SETTLED
        soon = any(t.ended is not None and t.ended > doubt for t in self.tracked.values())
        soon = soon and "squeue" not in self.slurm.silent
        return now >= self._next_poll or (soon and now >= self._last_poll + CONFIRM)

    def _ask(self) -> list[JobUpdate]:
        """Ask SLURM once about all jobs: squeue, and sacct about those that are over.

        Where one of them does not answer, the other one still tells.
        """
        self._last_poll = time.monotonic()
        listed = accounted = None
        with suppress(BackendUnavailable):
            listed = self.slurm.listed()
        live = {i: self._recognise(t, listed or {}) for i, t in self.tracked.items()}
        over = {
            self._identities[i].native_id for i, s in live.items() if s is None or s.state.final
        }
        wanted = ",".join(sorted(filter(is_id, over)))
        with suppress(BackendUnavailable):
            accounted = self.slurm.accounted("-j", wanted) if wanted else {}
        self._tell_silence()
        if listed is None and accounted is None:
            self._back_off()
            return []
        updates = []
        for native_id, tracked in [*self.tracked.items()]:
            identity = self._identities[native_id]
            records = identity.of((accounted or {}).get(identity.native_id, ()))
            updates += self._judge(tracked, live[native_id], records, answered=listed is not None)
        missing = any(t.missing_since is not None for t in self.tracked.values())
        self._back_off(reset=bool(updates) or missing)
        return updates

    def _tell_silence(self) -> None:
        self.outage = "; ".join(self.slurm.silent.values()) or None

    def _back_off(self, *, reset: bool = False) -> None:
        longest = max(LONGEST_INTERVAL, self._shortest)
        self._interval = self._shortest if reset else min(longest, self._interval * BACK_OFF)
        self._next_poll = time.monotonic() + self._interval

    def _recognise(self, tracked: Tracked, listed: Mapping[str, Seen]) -> Seen | None:
        """Return the job among those that squeue lists; `None` if it is not there.

        Of several of its name, that is the one that has started; it is the only one that ever runs
        its command, and the others are cancelled.
        """
        identity = self._identities[tracked.native_id]
        if identity.start is None and tracked.running:
            identity.start = tracked.folder.read_started()
        ours = identity.among(listed)
        open_ones = [i for i, seen in ours.items() if not seen.state.final]
        if identity.starter is not None:
            identity.native_id = identity.starter
            with suppress(BackendUnavailable):
                self.slurm.cancel([i for i in open_ones if i != identity.native_id])
        elif open_ones and identity.native_id not in open_ones:
            identity.native_id = open_ones[0]
        seen = ours.get(identity.native_id)
        if seen is not None:
            identity.misses = 0
            identity.submitted = seen.submitted
            identity.first_submitted = identity.first_submitted or seen.submitted
        return seen

    def _judge(
        self, tracked: Tracked, live: Seen | None, records: Sequence[Seen], *, answered: bool
    ) -> list[JobUpdate]:
        """Report what has become of one job, by all that is known of it.

        Parameters
        ----------
        live
            What squeue says; `None` if it does not list the job, or has not `answered`.
        records
            What sacct says; more than one if SLURM has requeued the job.
        """
        record = records[-1] if records else None
        if live is None and (record is None or not record.state.final or record.reason == DROPPED):
            if answered:
                return self._judge_gone(tracked, record)
            return self._judge_open(tracked, record) if record and not record.state.final else []
        tracked.missing_since = None
        # Of a job that is over, sacct knows more; of one that is not, squeue knows sooner.
        seen = record if record is not None and record.state.final else live
        assert seen is not None
        if not seen.state.final:
            return self._judge_open(tracked, seen)
        tracked.ended = self.now() if tracked.ended is None else tracked.ended
        if seen is live and self.slurm.accounting and self.now() - tracked.ended < SETTLED:
            return []  # sacct is late, and squeue does not know of steps
        if tracked.result is None:
            tracked.result = tracked.folder.read_result()
        identity = self._identities[tracked.native_id]
        result, state = tracked.result, seen.state
        if state is JobState.COMPLETED:
            return self._judge_completed(tracked)
        if state is JobState.FAILED:
            killed = result is None or result.exit_code >= 128
            if killed and (len(records) > 1 or identity.was_requeued(seen)):
                return self.end(tracked, JobState.PREEMPTED, REQUEUED)
            if result is not None:
                return self.end_badly(tracked)
        return self.end(
            tracked,
            state,
            seen.reason,
            exit_code=seen.exit_code,
            peak_memory=seen.peak_memory,
            moment=seen.end,
        )

    def _judge_open(self, tracked: Tracked, seen: Seen) -> list[JobUpdate]:
        """A job waits or runs; or it has run, and SLURM has put it back into its queue."""
        tracked.reason = seen.reason
        if seen.state is JobState.RUNNING:
            updates = self.begin(tracked, seen.nodes)
            tracked.reason = seen.reason
            return updates
        identity = self._identities[tracked.native_id]
        requeued = identity.was_requeued(seen)
        if requeued or self._waits_in_vain(tracked, seen):
            with suppress(BackendUnavailable):
                self.slurm.cancel([identity.native_id])  # an attempt runs only once
                if requeued:
                    return self.end(tracked, JobState.PREEMPTED, REQUEUED)
                return self.end(tracked, JobState.NODE_FAILED, seen.reason)
        return []

    def _waits_in_vain(self, tracked: Tracked, seen: Seen) -> bool:
        """Whether a job waits for a node that is not available, and that it needs no longer.

        It was to share that node with others, so that the campaign has no more nodes than its
        budget. Once they are over, any other node will do.
        """
        if not tracked.job.nodes or not seen.reason.startswith(NOT_AVAILABLE):
            return False
        busy = {node for other in self.tracked.values() for node in other.nodes}
        return not busy & {*tracked.job.nodes}

    def _judge_completed(self, tracked: Tracked) -> list[JobUpdate]:
        """A script that ended well has written a result; the file may be on its way."""
        if tracked.result is not None:
            return self.end_well(tracked) or self.end_badly(tracked)
        if self.now() - (tracked.ended or 0.0) < SETTLED:
            return []
        return self.end(tracked, JobState.FAILED, "SLURM says COMPLETED, but it left no result")

    def _judge_gone(self, tracked: Tracked, record: Seen | None) -> list[JobUpdate]:
        """A job that the controller does not know has not therefore completed.

        A controller may have forgotten it, as it forgets jobs that are over; or it has lost all
        jobs, of which the nodes end those that run, and the accounting drops those that are open.
        """
        now, result = self.now(), tracked.result
        identity = self._identities[tracked.native_id]
        identity.misses += 1
        if tracked.missing_since is None:
            tracked.missing_since = now
        tracked.reason = "not known to SLURM"
        dropped = record is not None and record.state.final
        patience = SETTLED if dropped else LOST if record is None else RECORDED
        lost = now - tracked.missing_since >= patience and identity.misses >= MISSES
        if result is not None and result.exit_code < 128:
            late = self.slurm.accounting and now - (tracked.ended or now) < SETTLED
            return [] if late else self.end_badly(tracked)
        if not lost:
            return []
        if identity.withdrawn:
            return self.end(tracked, JobState.CANCELLED, "cancelled")
        if result is None:
            reason = "SLURM does not know it, and it left no result"
            return self.end(tracked, JobState.NODE_FAILED, reason)
        if record is None and 0 <= result.end - result.start - tracked.job.walltime < OVERDUE:
            return self.end(tracked, JobState.TIMEOUT, "it was killed when its walltime was over")
        return self.end(tracked, JobState.NODE_FAILED, "it was killed, and SLURM does not know why")


def _starter(folder: JobFolder) -> str | None:
    """Return the id of the job that has started an attempt, by the mark that it made."""
    started = folder.read_started()
    return started.native_id if started is not None and is_id(started.native_id) else None
