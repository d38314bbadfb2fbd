"""The loop that carries out a plan: release, submit, wait, record, retry.

One driver for both worlds: it is synchronous, does one thing at a time and never reads a clock.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from heapq import heappop, heappush
from typing import Protocol

from socm.engine.backend import Backend, Job, JobUpdate
from socm.engine.events import (
    CampaignEnded,
    CampaignResumed,
    CampaignStarted,
    Cancelled,
    Ended,
    Event,
    JobState,
    Retrying,
    Reused,
    Skipped,
    Started,
    SubmitRefused,
    Submitted,
    Submitting,
)
from socm.engine.journal import Journal, MemoryJournal
from socm.engine.limits import InUse
from socm.engine.release import Release, hand_over_or_due
from socm.engine.retry import RetryPolicy
from socm.engine.state import CampaignState, Progress, Status, apply
from socm.errors import BackendUnavailable, Stalled, SubmitError
from socm.model.campaign import Workflow
from socm.model.plan import Plan

RESUBMIT_DELAY = 60.0
"""Seconds before a submission that was refused for now is tried again."""
MOST_REFUSALS = 60
"""So many times a workflow may be refused."""
LOOK_UP_DELAY = 10.0
"""Seconds before a submission without an answer is looked for."""
LISTEN = 1.0
"""Seconds between two looks at what somebody wants of a run."""


class Control(Protocol):
    """What somebody wants of a run while it goes on."""

    def stopped(self) -> bool:
        """Whether to end now, and to leave what is submitted as it is."""
        ...

    def paused(self) -> bool:
        """Whether nothing more is to be submitted."""
        ...

    def cancelled(self) -> Collection[str]:
        """Names of the workflows that are to be cancelled, each told once."""
        ...


def run_plan(
    plan: Plan,
    backend: Backend,
    journal: Journal | None = None,
    *,
    release: Release = hand_over_or_due,
    retry: RetryPolicy | None = None,
    run: str = "socm",
    events: Iterable[Event] = (),
    retry_failed: bool = False,
    fail_fast: bool = False,
    reusable: Callable[[Workflow], bool] = lambda workflow: False,
    control: Control | None = None,
) -> CampaignState:
    """Carry a plan out until every workflow is in a final state.

    A workflow that fails for good takes those that depend on it with it; the rest goes on.

    Parameters
    ----------
    plan
        What to run, in which order.
    backend
        Where; it also tells the time.
    journal
        Each event is in it before the next thing is done; kept in memory if not given.
    release
        The rule that says when a workflow may be submitted.
    retry
        What a failed workflow gets next.
    run
        Prefix of job names, unique to this run.
    events
        What has happened in an earlier life of this run: it goes on from there.
    retry_failed
        Whether those that failed in an earlier life get another attempt.
    fail_fast
        Whether the first failure for good skips whatever is not submitted.
    reusable
        Whether a workflow's outputs make a run of it needless.
    control
        Is asked now and then what somebody wants.

    Returns
    -------
    CampaignState
        With every workflow in a final state, unless `control` stopped it.

    Raises
    ------
    Stalled
        If workflows remain and nothing will ever happen again; says what waits for what.
    """
    driver = _Driver(
        plan,
        backend,
        MemoryJournal() if journal is None else journal,
        release=release,
        retry=retry or RetryPolicy(attempts=plan.campaign.retries + 1),
        run=run,
        events=events,
        retry_failed=retry_failed,
        fail_fast=fail_fast,
        reusable=reusable,
        control=control,
    )
    return driver.run()


def job_of(plan: Plan, name: str, progress: Progress, run: str, priority: int) -> Job:
    """Return the job that the current attempt at a workflow is."""
    planned, workflow = plan.by_name[name], plan.campaign.workflows[name]
    return Job(
        name=f"{run}-{name}-{progress.attempt}",
        workflow=workflow,
        attempt=progress.attempt,
        partition=planned.partition,
        qos=progress.qos,
        walltime=progress.walltime,
        demand=plan.demand(planned)._replace(memory=progress.memory),
        cores=planned.cores,
        placements=planned.placements,
        priority=priority,
    )


class _Driver:
    def __init__(
        self,
        plan: Plan,
        backend: Backend,
        journal: Journal,
        *,
        release: Release,
        retry: RetryPolicy,
        run: str,
        events: Iterable[Event],
        retry_failed: bool,
        fail_fast: bool,
        reusable: Callable[[Workflow], bool],
        control: Control | None,
    ) -> None:
        self._plan = plan
        self._backend = backend
        self._journal = journal
        self._retry = retry
        self._run = run
        self._retry_failed = retry_failed
        self._fail_fast = fail_fast
        self._reusable = reusable
        self._control = control
        self._state = CampaignState.of(plan, events)
        self._priority = {w.name: k for k, w in enumerate(plan.workflows)}
        self._names = [w.name for w in plan.workflows]
        workflows = plan.campaign.workflows
        self._gates = release(plan)
        # What each still waits for, and who waits for it.
        self._parents = {name: set(workflows[name].depends) for name in self._names}
        self._before = {name: set(self._gates[name].after) for name in self._names}
        self._successors: dict[str, list[str]] = {name: [] for name in self._names}
        for name, before in self._before.items():
            for other in before:
                self._successors[other].append(name)
        self._left = len(self._names)
        self._timers: list[tuple[float, int]] = []  # when to look again at whom
        self._ready: list[int] = []  # may be submitted, by priority
        self._refusals = Counter[str]()
        self._held: dict[str, Job] = {}  # submitted and not over
        self._to_cancel: set[str] = set()
        self._in_doubt: dict[str, float] = {}  # of those, without an answer: when to look
        self._in_use = InUse(plan.cluster, plan.campaign.budget)  # whether it runs or waits

    def run(self) -> CampaignState:
        if self._state.started is None:
            fingerprint = self._plan.campaign.fingerprint
            self._record(CampaignStarted(time=self._backend.now(), fingerprint=fingerprint))
        else:
            self._record(CampaignResumed(time=self._backend.now()))
            self._pick_up()
        for name in self._names:
            if not self._parents[name]:
                self._consider(name)
        while True:
            if self._control is not None and self._stopped(self._control):
                return self._state
            self._look_up()
            self._submit_ready()
            if not self._left:
                break
            until = min(
                [*(t for t, _ in self._timers[:1]), *self._in_doubt.values()], default=math.inf
            )
            if self._control is not None and (self._held or until < math.inf or self._paused()):
                until = min(until, self._backend.now() + LISTEN)
            updates = self._backend.wait(until)
            if not updates and until == math.inf:
                raise Stalled(self._why_stalled())
            for update in updates:
                self._take(update)
            self._ring()
        self._record(CampaignEnded(time=self._backend.now()))
        return self._state

    def _pick_up(self) -> None:
        """Go on where an earlier life of this run ended."""
        workflows = self._state.workflows
        if self._retry_failed:
            for name in self._names:
                self._revive(name)
        for name in [n for n in self._names if workflows[n].status is Status.SKIPPED]:
            self._left -= 1
            self._hand_down_place(name)
        for name in self._names:
            match workflows[name].status:
                case Status.COMPLETED | Status.FAILED | Status.CANCELLED:
                    self._settle(name)
                case Status.SUBMITTING:
                    self._hold(self._job(name))
                    self._in_doubt[name] = self._backend.now()
                case Status.QUEUED | Status.RUNNING:
                    job, native_id = self._job(name), workflows[name].native_id
                    assert native_id is not None
                    self._backend.attach(job, native_id)
                    self._hold(job)

    def _revive(self, name: str) -> None:
        """Give a workflow that did not complete another attempt, as if it had not been tried."""
        progress = self._state.workflows[name]
        if progress.status in (Status.FAILED, Status.SKIPPED, Status.CANCELLED):
            job = self._job(name)
            tried = progress.status is Status.FAILED or progress.native_id is not None
            again = self._same_again(job, self._backend.now(), "asked for")
            self._record(replace(again, attempt=job.attempt + 1) if tried else again)

    def _paused(self) -> bool:
        return self._control is not None and self._control.paused()

    def _stopped(self, control: Control) -> bool:
        """Do what somebody wants; say whether that is to end now."""
        self._to_cancel.update(control.cancelled())
        for name in sorted(self._to_cancel):
            progress = self._state.workflows[name]
            if progress.status is Status.SUBMITTING:
                continue  # whether there is a job is not known yet
            self._to_cancel.discard(name)
            if progress.status is Status.PENDING:
                self._record(Cancelled(time=self._backend.now(), workflow=name, reason="cancelled"))
                self._over(name, completed=False)
            elif progress.native_id is not None and not progress.status.final:
                try:
                    self._backend.cancel(progress.native_id)
                except BackendUnavailable:
                    self._to_cancel.add(name)  # asked for again at the next look
                    break
        return control.stopped()

    # Release

    def _consider(self, name: str) -> None:
        """Let a workflow whose dependencies are met go when its gate opens."""
        gate = self._gates[name]
        opens = gate.not_before if not self._before[name] else max(gate.due, gate.not_before)
        if opens <= self._backend.now():
            heappush(self._ready, self._priority[name])
        elif opens < math.inf:
            heappush(self._timers, (opens, self._priority[name]))

    def _ring(self) -> None:
        """Look again at those whose time has come."""
        now = self._backend.now()
        while self._timers and self._timers[0][0] <= now:
            _, priority = heappop(self._timers)
            heappush(self._ready, priority)

    def _submit_ready(self) -> None:
        """Submit in the order of the plan, as far as the budget goes.

        Nobody overtakes one that waits for the budget: it would wait for ever. One that waits for
        a place in its QOS holds up only those of the same.
        """
        full: set[str | None] = set()
        waiting = []
        while self._ready and not self._paused():
            priority = self._ready[0]
            name = self._names[priority]
            progress = self._state.workflows[name]
            if progress.status is not Status.PENDING:
                heappop(self._ready)  # it came by two ways: its time, and its turn
                continue
            if progress.qos in full:
                waiting.append(heappop(self._ready))
                continue
            job = self._job(name)
            if not self._in_use.qos_admits(job):
                full.add(job.qos)
                waiting.append(heappop(self._ready))
                continue
            if not self._in_use.budget_admits(job):
                break
            heappop(self._ready)
            if job.workflow.skip_if_outputs_exist and self._reusable(job.workflow):
                self._record(Reused(time=self._backend.now(), workflow=name))
                self._over(name, completed=True)
            else:
                self._submit(job)
        for priority in waiting:
            heappush(self._ready, priority)

    def _job(self, name: str) -> Job:
        progress = self._state.workflows[name]
        return job_of(self._plan, name, progress, self._run, self._priority[name])

    def _submit(self, job: Job) -> None:
        name, attempt, now = job.workflow.name, job.attempt, self._backend.now()
        self._record(Submitting(time=now, workflow=name, attempt=attempt, job=job.name))
        try:
            native_id = self._backend.submit(job)
        except BackendUnavailable:
            # It may have been taken all the same: it is looked for before anything else is done.
            self._hold(job)
            self._in_doubt[name] = now + LOOK_UP_DELAY
            return
        except SubmitError as error:
            self._refusals[name] += 1
            if error.transient and self._refusals[name] < MOST_REFUSALS:
                self._record(self._same_again(job, now, error.message))
                heappush(self._timers, (now + RESUBMIT_DELAY, job.priority))
            else:
                self._record(
                    SubmitRefused(time=now, workflow=name, attempt=attempt, reason=error.message)
                )
                self._over(name, completed=False)
            return
        self._record(Submitted(time=now, workflow=name, attempt=attempt, native_id=native_id))
        self._hold(job)

    def _look_up(self) -> None:
        """Look for the jobs whose submission had no answer."""
        now = self._backend.now()
        for name in [n for n, when in self._in_doubt.items() if when <= now]:
            job = self._held[name]
            try:
                native_id = self._backend.find(job)
            except BackendUnavailable:
                self._in_doubt[name] = self._backend.now() + LOOK_UP_DELAY
                continue
            del self._in_doubt[name]
            if native_id is None:
                self._let_go(name)
                self._record(self._same_again(job, self._backend.now(), "it was not submitted"))
                heappush(self._ready, job.priority)
            else:
                self._backend.attach(job, native_id)
                self._record(
                    Submitted(
                        time=self._backend.now(),
                        workflow=name,
                        attempt=job.attempt,
                        native_id=native_id,
                    )
                )

    def _same_again(self, job: Job, now: float, reason: str) -> Retrying:
        return Retrying(
            time=now,
            workflow=job.workflow.name,
            attempt=job.attempt,
            qos=job.qos,
            walltime=job.walltime,
            memory=job.demand.memory,
            reason=reason,
        )

    def _hold(self, job: Job) -> None:
        self._held[job.workflow.name] = job
        self._in_use.add(job)

    def _let_go(self, name: str) -> None:
        self._in_use.remove(self._held.pop(name))

    # What comes back

    def _take(self, update: JobUpdate) -> None:
        name, attempt = update.job.workflow.name, update.job.attempt
        if name not in self._held or self._held[name].attempt != attempt:
            return  # of a job that is over: polls and callbacks may cross
        if update.state is JobState.RUNNING:
            if self._state.workflows[name].status is Status.QUEUED:
                self._record(Started(time=update.time, workflow=name, attempt=attempt))
        elif update.state.final:
            self._record(
                Ended(
                    time=update.time,
                    workflow=name,
                    attempt=attempt,
                    state=update.state,
                    exit_code=update.exit_code,
                    reason=update.reason,
                    peak_memory=update.peak_memory,
                )
            )
            self._let_go(name)
            self._settle(name)

    def _settle(self, name: str) -> None:
        """Go on after an attempt that is over: with the next one, or with whoever waited."""
        progress = self._state.workflows[name]
        if progress.status is Status.COMPLETED:
            self._over(name, completed=True)
        elif again := self._next_attempt(name):
            self._record(again)
            heappush(self._ready, self._priority[name])
        else:
            self._over(name, completed=False)

    def _next_attempt(self, name: str) -> Retrying | None:
        progress = self._state.workflows[name]
        if progress.outcome is None or progress.ended is None:
            return None  # it was refused, or never tried
        update = JobUpdate(
            job=self._job(name),
            state=progress.outcome,
            time=progress.ended,
            exit_code=progress.exit_code,
            reason=progress.reason,
            peak_memory=progress.peak_memory,
        )
        return self._retry.after(update, self._plan.cluster)

    def _over(self, name: str, *, completed: bool) -> None:
        """Let those go on that waited for this one; without it, its dependants are skipped."""
        self._left -= 1
        children = self._plan.campaign.children
        if completed:
            for child in children[name]:
                self._parents[child].discard(name)
                if not self._parents[child]:
                    self._consider(child)
        else:
            lost = [(child, name) for child in children[name]]
            if self._fail_fast:
                lost += [(other, name) for other in self._names]
            while lost:
                child, because = lost.pop()
                if self._state.workflows[child].status is Status.PENDING:
                    self._record(Skipped(time=self._backend.now(), workflow=child, because=because))
                    self._left -= 1
                    self._hand_down_place(child)
                    lost += [(grandchild, child) for grandchild in children[child]]
        self._give_place(name)

    def _hand_down_place(self, skipped: str) -> None:
        """Let those behind a skipped workflow wait for those that it would have waited for."""
        for other in self._successors[skipped]:
            self._before[other] |= self._before[skipped]
            for earlier in self._before[skipped]:
                self._successors[earlier].append(other)
        self._give_place(skipped)

    def _give_place(self, name: str) -> None:
        """Let those go on that waited for the place of one that is over."""
        for other in self._successors[name]:
            self._before[other].discard(name)
            pending = self._state.workflows[other].status is Status.PENDING
            if pending and not self._before[other] and not self._parents[other]:
                self._consider(other)

    def _record(self, event: Event) -> None:
        self._journal.write(event)
        apply(self._state, event)

    def _why_stalled(self) -> str:
        lines = []
        for name in self._names:
            status = self._state.workflows[name].status
            if status.final:
                continue
            if name in self._held:
                lines.append(f"{name} is {status.value}; the cluster never reports it over")
            elif self._parents[name]:
                lines.append(f"{name} waits for {', '.join(sorted(self._parents[name]))}")
            elif self._before[name]:
                lines.append(
                    f"{name} waits for the place of {', '.join(sorted(self._before[name]))}"
                )
            else:
                lines.append(f"{name} waits for the budget")
        return "nothing runs and nothing may start:\n" + "\n".join(f"  {line}" for line in lines)
