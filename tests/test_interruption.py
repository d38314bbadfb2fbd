"""Wherever the process of a run dies, the run goes on and ends as if it had not died."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from builders import job, plan_of
from hypothesis import given
from hypothesis import strategies as st
from strategies import pairs, share
from test_driver import statuses

from socm.engine.backend import Job, JobUpdate
from socm.engine.driver import run_plan
from socm.engine.events import (
    CampaignEnded,
    CampaignResumed,
    Ended,
    Event,
    JobState,
    Retrying,
    Skipped,
)
from socm.engine.release import eager
from socm.engine.requests import Poll, Requests
from socm.engine.state import CampaignState
from socm.errors import BackendUnavailable, SubmitError
from socm.model.plan import Plan
from socm.planner import plan_campaign

GOOD, BAD, LOST = JobState.COMPLETED, JobState.FAILED, JobState.NODE_FAILED


@dataclass
class Site:
    """A cluster whose jobs go on while nobody follows them.

    Parameters
    ----------
    fates
        How the first attempts at a workflow go; later ones complete. "refused" is a refusal;
        "unanswered" gets no answer although the job is taken, "silence" although it is not.
    """

    fates: Mapping[str, Sequence[JobState | str]]
    time: float = 0.0
    ends: dict[str, tuple[float, JobState]] = field(default_factory=dict)
    submissions: list[str] = field(default_factory=list)

    def fate(self, job: Job) -> JobState | str:
        fates = self.fates.get(job.workflow.name, ())
        return fates[job.attempt - 1] if job.attempt <= len(fates) else GOOD


class Process:
    """The backend of one process; what it follows dies with it, the jobs do not."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.followed: dict[str, Job] = {}

    def now(self) -> float:
        return self.site.time

    def submit(self, job: Job) -> str:
        fate = self.site.fate(job)
        self.site.submissions.append(job.name)
        if fate == "refused":
            raise SubmitError("no", transient=False)
        if fate == "silence" and self.site.submissions.count(job.name) == 1:
            raise BackendUnavailable("no answer")
        state = fate if isinstance(fate, JobState) else GOOD
        self.site.ends[job.name] = (self.site.time + 1 + job.priority % 3, state)
        if fate == "unanswered":
            raise BackendUnavailable("no answer")
        self.followed[job.name] = job
        return job.name

    def attach(self, job: Job, native_id: str) -> None:
        self.followed[native_id] = job

    def find(self, job: Job) -> str | None:
        return job.name if job.name in self.site.ends else None

    def cancel(self, native_id: str) -> None:
        end, _ = self.site.ends[native_id]
        if end > self.site.time:
            self.site.ends[native_id] = (self.site.time, JobState.CANCELLED)

    def wait(self, until: float = math.inf) -> Sequence[JobUpdate]:
        ends = {name: self.site.ends[name] for name in self.followed}
        first = min((time for time, _ in ends.values()), default=math.inf)
        if first > until or first == math.inf:
            self.site.time = max(self.site.time, until) if until < math.inf else self.site.time
            return []
        self.site.time = max(self.site.time, first)
        return list(self._over(ends))

    def _over(self, ends: Mapping[str, tuple[float, JobState]]) -> Iterator[JobUpdate]:
        for name, (end, state) in ends.items():
            if end <= self.site.time:
                followed = self.followed.pop(name)
                yield JobUpdate(job=followed, state=JobState.RUNNING, time=end - 0.5)
                yield JobUpdate(job=followed, state=state, time=end)


class Killed(BaseException):
    """What happens to a process."""


class Journal:
    """Outlives its processes; kills one when it has so many events."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.most: float = math.inf

    def write(self, event: Event) -> None:
        if len(self.events) >= self.most:
            raise Killed
        self.events.append(event)


def carry_on(
    plan: Plan,
    site: Site,
    journal: Journal,
    *,
    kill_at: float = math.inf,
    retry_failed: bool = False,
    fail_fast: bool = False,
    requests: Poll | None = None,
) -> CampaignState | None:
    """Start or resume a run, by a process of its own; `None` if it is killed."""
    journal.most = kill_at
    try:
        state = run_plan(
            plan,
            Process(site),
            journal,
            job_prefix="run",
            events=[*journal.events],
            retry_failed=retry_failed,
            fail_fast=fail_fast,
            requests=requests,
        )
    except Killed:
        return None
    assert CampaignState.of(plan, journal.events) == state
    taken = [name for name in site.submissions if name in site.ends]
    silent = [f"run-{n}-{k}" for n, f in site.fates.items() for k in range(4) if "silence" in f]
    assert all(taken.count(name) == 1 for name in taken if name not in silent), "submitted twice"
    return state


def consistent(plan: Plan, state: CampaignState, *, fail_fast: bool = False) -> bool:
    """Whether exactly those are skipped that depend on what has not completed."""
    now = statuses(state)
    failed = "failed" in now.values()
    for name, workflow in plan.campaign.workflows.items():
        without = any(now[parent] != "completed" for parent in workflow.depends)
        if without and now[name] not in ("skipped", "cancelled"):
            return False
        if now[name] == "skipped" and not without and not (fail_fast and failed):
            return False
    return True


@st.composite
def runs(draw: st.DrawFn) -> tuple[Plan, dict[str, list[JobState | str]]]:
    """Make a plan, and the fate of each attempt."""
    campaign, cluster = draw(pairs(most=6))
    fates = draw(
        st.dictionaries(
            st.sampled_from(sorted(campaign.workflows)),
            st.lists(
                st.sampled_from([GOOD, BAD, LOST, LOST, "refused", "unanswered", "silence"]),
                min_size=1,
                max_size=3,
            ),
        )
    )
    return plan_campaign(campaign, cluster), fates


@share(0.5)
@given(runs(), st.integers(1, 4), st.sampled_from([0.0, 0.3, 5.0]))
def test_killed_after_any_event_and_again_a_run_ends_as_it_would_have(
    run: tuple[Plan, dict[str, list[JobState | str]]], again: int, pause: float
) -> None:
    plan, fates = run
    whole = Journal()
    expected = carry_on(plan, Site(fates), whole)
    assert expected is not None
    assert consistent(plan, expected)
    for cut in range(1, len(whole.events)):
        site, journal = Site(fates), Journal()
        assert carry_on(plan, site, journal, kill_at=cut) is None
        site.time += pause
        carry_on(plan, site, journal, kill_at=len(journal.events) + again)
        state = carry_on(plan, site, journal)
        assert state is not None
        assert statuses(state) == statuses(expected)


@share(0.5)
@given(runs(), st.booleans())
def test_killed_while_it_retries_what_failed_a_run_ends_as_it_would_have(
    run: tuple[Plan, dict[str, list[JobState | str]]], asked_again: bool
) -> None:
    plan, fates = run

    def first() -> tuple[Site, Journal, dict[str, str]]:
        site, journal = Site(fates), Journal()
        state = carry_on(plan, site, journal)
        assert state is not None
        return site, journal, statuses(state)

    site, journal, before = first()
    begun = len(journal.events)
    expected = carry_on(plan, site, journal, retry_failed=True)
    assert expected is not None
    assert consistent(plan, expected)
    for cut in range(begun, len(journal.events)):
        site, cut_short, _ = first()
        assert carry_on(plan, site, cut_short, kill_at=cut, retry_failed=True) is None
        state = carry_on(plan, site, cut_short, retry_failed=asked_again and cut == begun)
        assert state is not None
        nothing_yet = cut == begun and not asked_again
        assert statuses(state) == (before if nothing_yet else statuses(expected))


def cancelling(names: Iterable[str], after: int) -> Poll:
    """Return requests of which one, after so many, cancels workflows."""
    polls = chain([Requests()] * after, [Requests(cancel=frozenset(names))])
    return lambda state: next(polls, Requests())


@share(0.5)
@given(runs(), st.booleans(), st.data())
def test_killed_among_the_consequences_of_a_failure_or_of_a_cancellation_a_run_still_ends(
    run: tuple[Plan, dict[str, list[JobState | str]]], fail_fast: bool, data: st.DataObject
) -> None:
    """How it ends may depend on the time of the kill; that it is consistent may not."""
    plan, fates = run
    names = data.draw(st.sets(st.sampled_from(sorted(plan.campaign.workflows))), label="cancelled")
    after = data.draw(st.integers(0, 4), label="after polls")
    whole = Journal()
    state = carry_on(
        plan, Site(fates), whole, fail_fast=fail_fast, requests=cancelling(names, after)
    )
    assert state is not None
    assert consistent(plan, state, fail_fast=fail_fast)
    for cut in range(1, len(whole.events)):
        site, journal = Site(fates), Journal()
        requests = cancelling(names, after)
        carry_on(plan, site, journal, kill_at=cut, fail_fast=fail_fast, requests=requests)
        state = carry_on(plan, site, journal, fail_fast=fail_fast)
        assert state is not None
        assert consistent(plan, state, fail_fast=fail_fast)
        assert all(progress.status.final for progress in state.workflows.values())


@share(0.5)
@given(runs(), st.booleans())
def test_to_resume_a_run_that_has_ended_writes_nothing(
    run: tuple[Plan, dict[str, list[JobState | str]]], fail_fast: bool
) -> None:
    plan, fates = run
    site, journal = Site(fates), Journal()
    ended = carry_on(plan, site, journal, fail_fast=fail_fast)
    assert ended is not None
    site.time += 3600
    good = {*statuses(ended).values()} <= {"completed"}
    again = carry_on(
        plan, site, journal, fail_fast=fail_fast, retry_failed=good, kill_at=len(journal.events)
    )
    assert again == ended


def test_a_run_ends_when_its_last_attempt_does_even_if_that_is_noticed_later() -> None:
    plan = plan_of([job("a")])
    whole = Journal()
    carry_on(plan, Site({}), whole)
    for cut in range(3, len(whole.events)):
        site, journal = Site({}), Journal()
        carry_on(plan, site, journal, kill_at=cut)
        site.time += 3600
        state = carry_on(plan, site, journal)
        assert state is not None
        assert state.ended == 1.0


def test_a_journal_in_which_only_some_were_told_to_try_again_is_gone_on_with() -> None:
    """As a version wrote it that told one after the other."""
    plan = plan_of([job("a"), job("b", "a"), job("c", "b")])
    site, journal = Site({"a": [BAD]}), Journal()
    carry_on(plan, site, journal)
    asked = plan.by_name["a"]
    journal.events += [
        CampaignResumed(time=9.0),
        Retrying(
            time=9.0,
            workflow="a",
            attempt=2,
            qos=asked.qos,
            walltime=asked.walltime,
            memory=0,
            reason="asked for",
        ),
    ]
    state = carry_on(plan, site, journal)
    assert state is not None
    assert set(statuses(state).values()) == {"completed"}


def test_what_was_left_skipped_although_its_parent_completed_is_run_at_the_next_resume() -> None:
    plan = plan_of([job("a"), job("b", "a")])
    site, journal = Site({}), Journal()
    carry_on(plan, site, journal)
    journal.events = [e for e in journal.events if getattr(e, "workflow", "a") == "a"]
    journal.events.insert(-1, Skipped(time=1.0, workflow="b", because="a"))
    site.ends.clear()
    site.submissions.clear()
    assert isinstance(journal.events[-1], CampaignEnded)
    state = carry_on(plan, site, journal)
    assert state is not None
    assert statuses(state) == {"a": "completed", "b": "completed"}


def test_what_was_cancelled_is_not_retried_however_its_job_ends() -> None:
    """The node may fail before the cluster has ended the job."""
    plan = plan_of([job("long", minutes=60), job("a"), job("b", "a")])
    assert plan.workflows[1].name == "a", "so it runs for two seconds"
    site, journal = Site({"a": [LOST]}), Journal()

    class Slow(Process):
        def cancel(self, native_id: str) -> None:
            assert native_id == "run-a-1"

    state = run_plan(
        plan,
        Slow(site),
        journal,
        release=eager,
        job_prefix="run",
        requests=cancelling(["a"], after=1),
    )
    assert statuses(state) == {"long": "completed", "a": "failed", "b": "skipped"}
    assert [e.state for e in journal.events if isinstance(e, Ended)] == [GOOD, LOST]


def test_a_cancellation_that_the_cluster_did_not_hear_is_asked_for_again() -> None:
    plan = plan_of([job("a", minutes=10)])
    site, journal = Site({}), Journal()

    class Away(Process):
        asked = 0

        def cancel(self, native_id: str) -> None:
            self.asked += 1
            if self.asked < 3:
                raise BackendUnavailable("no answer")
            super().cancel(native_id)

    site.ends["run-a-1"] = (100.0, GOOD)
    backend = Away(site)
    backend.submit = lambda job: backend.attach(job, job.name) or job.name  # type: ignore[func-returns-value,method-assign]
    state = run_plan(plan, backend, journal, job_prefix="run", requests=cancelling(["a"], after=1))
    assert backend.asked == 3
    assert statuses(state) == {"a": "cancelled"}
    assert state.ended is not None
    assert state.ended < 100
