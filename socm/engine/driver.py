"""The driver, which carries out a plan: it releases, submits, waits, records and retries.

One driver for both worlds: it is synchronous, does one thing at a time and never reads a clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

from socm.engine.attempts import Attempts, job_of, same_again
from socm.engine.backend import Backend, Job, JobUpdate
from socm.engine.cancellations import Cancellations
from socm.engine.events import (
    CampaignEnded,
    CampaignResumed,
    CampaignStarted,
    Event,
    LeftOut,
    Retrying,
    Reused,
    Skipped,
)
from socm.engine.gates import Gates
from socm.engine.journal import Journal, MemoryJournal
from socm.engine.limits import InUse
from socm.engine.refused import Place, Refused
from socm.engine.release import Release, hand_over_or_due
from socm.engine.reporter import Reporter
from socm.engine.requests import POLL_INTERVAL, Poll
from socm.engine.retry import RetryPolicy
from socm.engine.stalled import why_stalled
from socm.engine.state import CampaignState, Status, apply
from socm.errors import Stalled
from socm.model.campaign import Workflow
from socm.model.limits import Limited
from socm.model.plan import Plan


def run_plan(
    plan: Plan,
    backend: Backend,
    journal: Journal | None = None,
    *,
    release: Release = hand_over_or_due,
    retry: RetryPolicy | None = None,
    job_prefix: str = "socm",
    events: Iterable[Event] = (),
    retry_failed: bool = False,
    fail_fast: bool = False,
    reusable: Callable[[Workflow], bool] = lambda workflow: False,
    closes: Callable[[], float] = lambda: math.inf,
    requests: Poll | None = None,
    reporter: Reporter | None = None,
) -> CampaignState:
    """Carry out a plan until every workflow is in a final state.

    If a workflow fails permanently, those that depend on it are skipped; the rest goes on. Where
    the cluster is an allocation that ends, no job is submitted that is expected to last longer.

    Parameters
    ----------
    plan
        What to run, and in which order.
    backend
        Where to run it; time is the backend's.
    journal
        Where each event is written before the next thing is done (default: in memory).
    release
        The rule that says when a workflow may be submitted.
    retry
        What a failed workflow asks for next (default: as often as the campaign allows).
    job_prefix
        What the names of all jobs begin with, unique to this run.
    events
        What has happened so far, to resume a run.
    retry_failed
        Whether workflows that did not complete are tried again when a run is resumed.
    fail_fast
        Whether the first permanent failure skips whatever is not submitted.
    reusable
        Whether the outputs of a workflow make it unnecessary to run it.
    closes
        Returns the time at which the allocation ends in which all this happens.
    requests
        Returns what the user asks; it is called at least once a second.
    reporter
        Reports events and progress to the user.

    Returns
    -------
    CampaignState
        With every workflow in a final state, unless the user stopped the run or the allocation has
        no time left for another workflow. A run that had ended, and in which nothing is left to do,
        is returned as it was: nothing is written.

    Raises
    ------
    Stalled
        If workflows remain and nothing will ever happen again; says what waits for what.
    """
    driver = _Driver(
        plan,
        backend,
        MemoryJournal() if journal is None else journal,
        CampaignState.of(plan, events),
        Gates(plan, release(plan)),
        retry=retry or RetryPolicy(attempts=plan.campaign.retries + 1),
        job_prefix=job_prefix,
        fail_fast=fail_fast,
        reusable=reusable,
        closes=closes,
        requests=requests,
        reporter=reporter,
    )
    return driver.run(retry_failed=retry_failed)


class _Driver:
    """The consequences of all that happens; see `run_plan` for what it is made of."""

    def __init__(
        self,
        plan: Plan,
        backend: Backend,
        journal: Journal,
        state: CampaignState,
        gates: Gates,
        *,
        retry: RetryPolicy,
        job_prefix: str,
        fail_fast: bool,
        reusable: Callable[[Workflow], bool],
        closes: Callable[[], float],
        requests: Poll | None,
        reporter: Reporter | None,
    ) -> None:
        self._plan = plan
        self._backend = backend
        self._journal = journal
        self._state = state
        self._gates = gates
        self._retry = retry
        self._job_prefix = job_prefix
        self._fail_fast = fail_fast
        self._reusable = reusable
        self._closes = closes
        self._requests = requests
        self._reporter = reporter
        self._in_use = InUse(plan.cluster, plan.campaign, state.charge)
        self._attempts = Attempts(backend, self._in_use, state, self._record)
        self._cancellations = Cancellations(backend, state, self._record)
        self._refused = Refused()
        self._open = {w.name: None for w in plan.workflows}  # not over, in the order of the plan
        self._late = False  # the allocation has no time left for some that are ready
        self._halted: str | None = None  # failed under fail_fast: nothing more is submitted

    def run(self, *, retry_failed: bool) -> CampaignState:
        now, state = self._backend.now(), self._state
        if state.started is None:
            self._record(CampaignStarted(time=now, fingerprint=self._plan.campaign.fingerprint))
        elif state.is_finished(self._plan, retry_failed=retry_failed, fail_fast=self._fail_fast):
            return state
        else:
            self._record(CampaignResumed(time=now, retry_failed=retry_failed))
            self._pick_up()
        self._gates.start(now)
        while self._open:
            for name in self._attempts.look_up():
                self._try_again(name)
            paused = stop = False
            if self._requests is not None:
                requests = self._requests(state)
                self._cancellations.request(requests.cancel)
                paused, stop = requests.pause, requests.stop
            for name in self._cancellations.carry_out():
                self._end(name)
            if stop and self._open:
                return state
            if not paused:
                self._submit_ready()
            if self._open and self._nothing_more():
                return state
            if self._open:
                self._wait(paused=paused)
        last = state.last_end
        self._record(CampaignEnded(time=self._backend.now() if last is None else last))
        return state

    def _nothing_more(self) -> bool:
        """Whether nothing runs, and the allocation ends before anything more may start."""
        next_time, closes = min(self._gates.next_time, self._refused.next_time), self._closes()
        waits = self._late or next_time < math.inf
        return waits and not self._attempts and closes < math.inf and next_time >= closes

    def _in_time(self, job: Job) -> bool:
        """Whether a job is expected to be over when the allocation ends."""
        return self._backend.now() + job.duration <= self._closes()

    def _wait(self, *, paused: bool) -> None:
        """Let time pass to the next thing to do."""
        if self._reporter is not None:
            self._reporter.refresh(self._state)
        until = min(self._gates.next_time, self._attempts.next_time, self._cancellations.next_time)
        if not paused and not self._attempts.are_silent:
            until = min(until, self._refused.next_time)
        attended = self._requests is not None or self._reporter is not None
        if attended and (self._attempts or until < math.inf or paused):
            until = min(until, self._backend.now() + POLL_INTERVAL)
        updates = self._backend.wait(until)
        if not updates and until == math.inf:
            raise Stalled(why_stalled(self._open, self._gates, self._attempts, self._state))
        for update in updates:
            if self._attempts.update(update):
                self._refused.open((update.job.partition, update.job.qos))
                self._settle(update.job.workflow.name)
        self._gates.advance(self._backend.now())

    def _pick_up(self) -> None:
        """Go on where an earlier process ended.

        What follows from an event is worked out from the state, for that process may have died
        before it had written all of it.
        """
        workflows = self._state.workflows
        self._cancellations.resume()
        names = [*self._open]
        if self._fail_fast:
            failed = (n for n in names if workflows[n].status is Status.FAILED)
            self._halted = next((n for n in failed if self._next_attempt(n) is None), None)
        for name in names:
            match workflows[name].status:
                case Status.COMPLETED | Status.FAILED | Status.CANCELLED:
                    self._settle(name)
                case Status.SUBMITTING | Status.QUEUED | Status.RUNNING:
                    self._attempts.resume(self._job(name))
        for name in [n for n in self._open if workflows[n].status is Status.SKIPPED]:
            why = "nothing that it depends on has failed any more"
            why = "the budget may have room for it now" if workflows[name].left_out else why
            self._record(same_again(self._job(name), self._backend.now(), why))

    def _submit_ready(self) -> None:
        """Submit in the order of the plan, as far as the limits admit.

        Nothing overtakes a workflow that waits for the budget: it could wait for ever. One that
        waits for its QOS or for a counted resource delays only those of the same QOS, or that use
        the same resource; and one that waits to know its node delays none. Where a submission
        had no answer, nothing else is submitted for a while: the cluster may not answer at all.
        """
        full: set[Limited] = set()
        waiting = []
        self._late = False
        now = self._backend.now()
        while not self._attempts.are_silent and (name := self._gates.ready()) is not None:
            progress = self._state.workflows[name]
            if progress.status is not Status.PENDING:
                self._gates.pop()
                continue
            closed = self._refused.is_closed(self._place(name), now)
            workflow, w = self._plan.campaign.workflows[name], self._plan.by_name[name]
            counts = self._in_use.counted(workflow, w.partition, progress.qos, w.cores)
            job = self._job(name) if not closed and full.isdisjoint(counts) else None
            if job is not None and (no_room := self._in_use.full_for(job)):
                full |= no_room
                job = None
            if job is not None and not self._in_time(job):
                self._late = True
                job = None
            if job is None or self._in_use.must_wait(job):
                waiting.append(name)
                self._gates.pop()
                continue
            if (too_much := self._in_use.beyond_hours(job)) is not None:
                self._gates.pop()
                self._leave_out(name, too_much)
                continue
            if not self._in_use.budget_admits(job):
                break
            self._gates.pop()
            self._submit(job)
        if waiting:
            self._gates.put_back(waiting)
        while not self._attempts.are_silent and (name := self._refused.pop(now)) is not None:
            if self._state.workflows[name].status is not Status.PENDING:
                continue
            job = self._job(name)
            if (too_much := self._in_use.beyond_hours(job)) is not None:
                self._leave_out(name, too_much)
            elif self._in_use.admits(job) and self._in_time(job):
                self._submit(job)
            else:
                self._gates.open(name)

    def _submit(self, job: Job) -> None:
        name = job.workflow.name
        if job.workflow.skip_if_outputs_exist and self._reusable(job.workflow):
            self._record(Reused(time=self._backend.now(), workflow=name))
            self._end(name)
            return
        status = self._attempts.submit(replace(job, nodes=self._in_use.pins(job)))
        if status is Status.QUEUED:
            self._refused.accept(self._place(name))
        elif status is Status.PENDING:
            self._refused.add(name, self._place(name), self._backend.now())
        elif status is Status.FAILED:
            self._end(name)

    def _leave_out(self, name: str, reason: str) -> None:
        self._record(LeftOut(time=self._backend.now(), workflow=name, reason=reason))
        self._end(name)

    def _place(self, name: str) -> Place:
        return self._plan.by_name[name].partition, self._state.workflows[name].qos

    def _job(self, name: str) -> Job:
        progress, position = self._state.workflows[name], self._gates.position[name]
        return job_of(self._plan, name, progress, self._job_prefix, position)

    # What follows from the end of an attempt

    def _settle(self, name: str) -> None:
        """Go on after an attempt that is over: with the next one, or with those that waited."""
        if self._state.workflows[name].status is Status.PENDING:  # its job was no try
            if self._halted is None:
                self._gates.open(name)
            else:
                self._skip([(name, self._halted)])
            return
        again = self._next_attempt(name)
        if again is None:
            self._end(name)
        else:
            self._record(again)
            self._gates.open(name)

    def _next_attempt(self, name: str) -> Retrying | None:
        progress = self._state.workflows[name]
        if progress.outcome is None or progress.ended is None:
            return None  # it was refused, or never tried
        if progress.edited:
            return None  # what led to its end is not what it asks for now
        if progress.status is Status.COMPLETED or progress.cancelling or self._halted:
            return None
        update = JobUpdate(
            job=self._job(name),
            state=progress.outcome,
            time=progress.ended,
            exit_code=progress.exit_code,
            reason=progress.reason,
            peak_memory=progress.peak_memory,
        )
        budget = self._plan.campaign.budget
        return self._retry.after(update, self._plan.cluster, budget, excused=progress.excused)

    def _try_again(self, name: str) -> None:
        """Submit a workflow whose job was not submitted, unless nothing more is."""
        if self._halted is None:
            self._refused.add(name, self._place(name), self._backend.now(), first_pause=0.0)
        else:
            self._skip([(name, self._halted)])

    def _end(self, name: str) -> None:
        """Count a workflow as over; if it has not completed, skip those that depend on it."""
        self._open.pop(name)
        now = self._backend.now()
        status = self._state.workflows[name].status
        if status is Status.COMPLETED:
            self._gates.complete(name, now)
            return
        lost = [(child, name) for child in self._plan.campaign.children[name]]
        if self._fail_fast and status is Status.FAILED:
            self._halted = self._halted or name
            lost += [(other, name) for other in self._open]
        self._skip(lost)
        self._gates.end(name, now)

    def _skip(self, lost: list[tuple[str, str]]) -> None:
        """Skip workflows, each because of another, and all that depend on them.

        Those that an earlier process has skipped are counted, too, but not written again.
        """
        workflows, children = self._state.workflows, self._plan.campaign.children
        while lost:
            name, because = lost.pop()
            waits = workflows[name].status in (Status.PENDING, Status.SKIPPED)
            if name not in self._open or not waits:
                continue
            now = self._backend.now()
            if workflows[name].status is Status.PENDING:
                self._record(Skipped(time=now, workflow=name, because=because))
            self._open.pop(name)
            self._gates.skip(name, now)
            lost += [(child, name) for child in children[name]]

    def _record(self, event: Event) -> None:
        self._journal.write(event)
        apply(self._state, event)
        if self._reporter is not None:
            self._reporter.report(event, self._state)
