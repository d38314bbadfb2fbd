"""The life of an attempt: submitted, looked for where there was no answer, followed to its end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from socm.engine.backend import Backend, Job, JobUpdate
from socm.engine.events import (
    Ended,
    Event,
    JobState,
    Retrying,
    Started,
    SubmitRefused,
    Submitted,
    Submitting,
)
from socm.engine.limits import NOTHING, InUse
from socm.engine.state import CampaignState, Progress, Status
from socm.errors import BackendUnavailable, SubmitError
from socm.model.charge import Charge
from socm.model.plan import Plan

LOOK_UP_DELAY = 10.0
"""Seconds before a submission without an answer is looked for."""
LONGEST_SILENCE = 600.0
"""The most seconds for which nothing else is submitted where there was no answer."""


class Attempts:
    """The attempts that are submitted and not over.

    Parameters
    ----------
    backend
        Where they run.
    in_use
        The limits against which they count, whether they run or wait.
    state
        Where the campaign stands; changed only by what is recorded.
    record
        Writes an event and applies it to the state.
    """

    def __init__(
        self,
        backend: Backend,
        in_use: InUse,
        state: CampaignState,
        record: Callable[[Event], None],
    ) -> None:
        self._backend = backend
        self._in_use = in_use
        self._state = state
        self._record = record
        self._jobs: dict[str, Job] = {}
        # Of those: when to look for the job, and what there was instead of an answer.
        self._unanswered: dict[str, tuple[float, str]] = {}
        self._silent_until = -math.inf
        self._pause = LOOK_UP_DELAY  # the next time that there is no answer

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def __contains__(self, name: str) -> bool:
        return name in self._jobs

    @property
    def next_time(self) -> float:
        """When the next submission without an answer is looked for; infinite if there is none."""
        return min((when for when, _ in self._unanswered.values()), default=math.inf)

    @property
    def are_silent(self) -> bool:
        """Whether nothing more is to be submitted for now, because there was no answer."""
        return bool(self._unanswered) and self._backend.now() < self._silent_until

    def _hear(self) -> None:
        """Take note of an answer."""
        self._silent_until, self._pause = -math.inf, LOOK_UP_DELAY

    def _hear_nothing(self) -> None:
        """Take note that there was no answer; each time in a row, for longer."""
        self._silent_until = self._backend.now() + self._pause
        self._pause = min(2 * self._pause, LONGEST_SILENCE)

    def submit(self, job: Job) -> Status:
        """Submit a job; return what its workflow is then.

        Submitting if there was no answer, pending if it was refused for now, failed if it was
        refused permanently, queued otherwise.
        """
        name, attempt, now = job.workflow.name, job.attempt, self._backend.now()
        self._record(
            Submitting(time=now, workflow=name, attempt=attempt, job=job.name, nodes=job.nodes)
        )
        try:
            native_id = self._backend.submit(job)
        except BackendUnavailable as error:
            # There may be a job all the same: it is looked for before anything else is done.
            self._follow(job)
            self._unanswered[name] = self._backend.now() + LOOK_UP_DELAY, error.message
            self._hear_nothing()
        except SubmitError as error:
            self._hear()
            if error.transient:
                self._record(same_again(job, now, error.message))
            else:
                reason = error.message
                self._record(SubmitRefused(time=now, workflow=name, attempt=attempt, reason=reason))
        else:
            self._record(Submitted(time=now, workflow=name, attempt=attempt, native_id=native_id))
            self._follow(job)
            self._hear()
        return self._state.workflows[name].status

    def resume(self, job: Job) -> None:
        """Follow a job that an earlier process submitted, or tried to."""
        self._follow(job)
        progress = self._state.workflows[job.workflow.name]
        native_id = progress.native_id
        if progress.status is Status.RUNNING:
            self._in_use.place(job, progress.nodes)
        if native_id is None:
            self._unanswered[job.workflow.name] = self._backend.now(), "socm had ended"
            self._silent_until = self._backend.now() + LOOK_UP_DELAY
        else:
            self._backend.attach(job, native_id)

    def look_up(self) -> list[str]:
        """Look for the jobs whose submission had no answer; return those that were not submitted.

        Their workflows are pending again.
        """
        if not self._unanswered:
            return []
        absent = []
        now = self._backend.now()
        for name, (_, why) in [u for u in self._unanswered.items() if u[1][0] <= now]:
            job = self._jobs[name]
            try:
                native_id = self._backend.find(job)
            except BackendUnavailable:
                self._unanswered[name] = self._backend.now() + LOOK_UP_DELAY, why
                continue
            del self._unanswered[name]
            self._hear()
            time, attempt = self._backend.now(), job.attempt
            if native_id is None:
                self._forget(name)
                self._record(same_again(job, time, f"it was not submitted: {why}"))
                absent.append(name)
            else:
                self._backend.attach(job, native_id)
                self._record(
                    Submitted(time=time, workflow=name, attempt=attempt, native_id=native_id)
                )
        return absent

    def update(self, update: JobUpdate) -> bool:
        """Record what a backend reports; return whether the attempt is over.

        Reports of an attempt that is over change nothing: polls and callbacks may cross.
        """
        name, attempt = update.job.workflow.name, update.job.attempt
        job = self._jobs.get(name)
        if job is None or job.attempt != attempt:
            return False
        progress = self._state.workflows[name]
        # An earlier process may have had a clock that was ahead: nothing ends before it starts.
        earliest = progress.started or self._state.started or 0.0
        time = max(update.time, earliest)
        if update.state is JobState.RUNNING:
            if progress.status is Status.QUEUED:
                nodes = update.nodes
                self._record(Started(time=time, workflow=name, attempt=attempt, nodes=nodes))
                self._in_use.place(job, nodes)
        elif update.state is JobState.ALLOCATION_ENDED and progress.started is None:
            self._record(same_again(job, time, "no time was left in the allocation"))
            self._forget(name)
            return True
        elif update.state.final:
            ran = 0.0 if progress.started is None else time - progress.started
            charge = self._in_use.charge(job, ran)
            cut = update.state is JobState.ALLOCATION_ENDED and progress.cancelling
            state = JobState.CANCELLED if cut else update.state
            self._record(
                Ended(
                    time=time,
                    workflow=name,
                    attempt=attempt,
                    state=state,
                    exit_code=update.exit_code,
                    reason=update.reason,
                    peak_memory=update.peak_memory,
                    core_hours=charge.core_hours,
                    node_hours=charge.node_hours,
                )
            )
            self._forget(name, charge)
            return True
        return False

    def _follow(self, job: Job) -> None:
        self._jobs[job.workflow.name] = job
        self._in_use.add(job)

    def _forget(self, name: str, charge: Charge = NOTHING) -> None:
        self._in_use.remove(self._jobs.pop(name), charge)


def job_of(plan: Plan, name: str, progress: Progress, prefix: str, position: int) -> Job:
    """Return the job of the current attempt at a workflow.

    Parameters
    ----------
    progress
        Its attempt, and what that asks for.
    prefix
        What the job's name begins with, unique to the run.
    position
        Of the workflow in the plan.
    """
    planned, workflow = plan.by_name[name], plan.campaign.workflows[name]
    demand = plan.demand(planned, progress.memory)
    partition = plan.cluster.by_partition[planned.partition]
    failed = tuple(dict.fromkeys(progress.failed_nodes))
    return Job(
        name=f"{prefix}-{name}-{progress.attempt}",
        workflow=workflow,
        attempt=progress.attempt,
        partition=planned.partition,
        qos=progress.qos,
        walltime=progress.walltime,
        demand=demand,
        cores=demand.cores(len(planned.placements), partition.node),
        placements=planned.placements,
        priority=position,
        duration=planned.duration,
        nodes=progress.nodes,
        # Where all nodes have failed, any may be well again.
        avoid=failed if len(failed) + len(planned.placements) <= partition.nodes else (),
    )


def first_attempts(plan: Plan) -> Iterator[Job]:
    """Yield the job of each first attempt, to look at before there is a run."""
    state = CampaignState.of(plan)
    for position, planned in enumerate(plan.workflows):
        yield job_of(plan, planned.name, state.workflows[planned.name], "dry-run", position)


def same_again(job: Job, now: float, reason: str) -> Retrying:
    """Return the event after which a workflow is pending and asks for what this job asked for."""
    return Retrying(
        time=now,
        workflow=job.workflow.name,
        attempt=job.attempt,
        qos=job.qos,
        walltime=job.walltime,
        memory=job.demand.memory,
        reason=reason,
    )
