"""What an edit in mid-run changes, and what it leaves as it is."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import builders
import pytest

from sim.backend import SimBackend
from socm.engine.attempts import job_of
from socm.engine.driver import run_plan
from socm.engine.edits import Edit, NewPlan, prepare
from socm.engine.events import (
    CampaignStarted,
    CancelRequested,
    Ended,
    Event,
    JobState,
    Replanned,
    Started,
    Submitted,
    Submitting,
    Withdrawing,
)
from socm.engine.journal import MemoryJournal
from socm.engine.state import CampaignState, Status
from socm.errors import Infeasible, InvalidPlan
from socm.model.campaign import Budget, Campaign, Workflow
from socm.model.cluster import Cluster
from socm.model.partition import Partition
from socm.model.placement import Reservation
from socm.model.plan import Plan
from socm.model.qos import Qos
from socm.planner import plan_campaign

CLUSTER = Cluster(
    name="known",
    partitions=(Partition(name="cpu", nodes=4, cores=8, memory=1000),),
    qos=(Qos(name="short", running_jobs=1, walltime=600), Qos(name="long")),
)


job = partial(builders.job, minutes=5, threads=8, memory=100)


def planned(*workflows: Workflow, budget: Budget | None = None) -> Plan:
    return plan_campaign(Campaign.of("known", workflows, budget=budget, retries=2), CLUSTER)


def submitted(name: str) -> list[Event]:
    """Return the events of a workflow that waits in the queue."""
    return [
        Submitting(time=0.0, workflow=name, attempt=1, job=f"run-{name}-1"),
        Submitted(time=0.0, workflow=name, attempt=1, native_id=f"run-{name}-1"),
    ]


def ended(name: str, state: JobState, time: float) -> list[Event]:
    """Return the events of a workflow whose first attempt is over."""
    return [
        *submitted(name),
        Started(time=0.0, workflow=name, attempt=1),
        Ended(time=time, workflow=name, attempt=1, state=state),
    ]


def begun(plan: Plan, *events: Event) -> list[Event]:
    """Return the events of a run."""
    return [CampaignStarted(time=0.0, fingerprint=plan.campaign.fingerprint), *events]


def resumed(
    plan: Plan, events: list[Event], *, retry_failed: bool
) -> tuple[CampaignState, list[Event]]:
    """Carry a run on to its end; return its state then, and what has happened since."""
    journal = MemoryJournal()
    state = run_plan(
        plan,
        SimBackend(CLUSTER, lambda job: 30.0, start=60.0),
        journal,
        job_prefix="run",
        events=events,
        retry_failed=retry_failed,
    )
    return state, journal.events


def edit(plan: Plan, events: list[Event], *workflows: Workflow, now: int = 60) -> Plan:
    """Edit some workflows of a run, and plan it again."""
    campaign = replace(
        plan.campaign, workflows=plan.campaign.workflows | {w.name: w for w in workflows}
    )
    kept = CampaignState.of(plan, events).kept(plan, now)
    after = plan_campaign(campaign, CLUSTER, start=now, fixed=kept)
    names = tuple(w.name for w in workflows)
    events.append(
        Replanned(time=now, fingerprint=campaign.fingerprint, plan="plan-2.json", edited=names)
    )
    return after


@pytest.mark.parametrize("retry_failed", [False, True])
def test_what_was_edited_after_it_failed_is_tried_again_only_if_that_is_asked_for(
    retry_failed: bool,
) -> None:
    """The cause of its end says nothing of what it asks for now: here it has no more memory."""
    plan = planned(job("a"), job("b"))
    events = begun(plan, *ended("a", JobState.OUT_OF_MEMORY, 5.0))
    after = edit(plan, events, job("a", memory=300))
    state, since = resumed(after, events, retry_failed=retry_failed)
    attempts = [e.attempt for e in since if isinstance(e, Submitting) and e.workflow == "a"]
    assert attempts == ([2] if retry_failed else [])
    assert state.workflows["a"].memory == 300
    assert state.workflows["a"].status is (Status.COMPLETED if retry_failed else Status.FAILED)


def test_what_failed_and_now_depends_on_another_waits_for_it() -> None:
    plan = planned(job("a"), job("b"))
    events = begun(plan, *ended("b", JobState.OUT_OF_MEMORY, 5.0))
    after = edit(plan, events, job("b", "a", memory=300))
    _, since = resumed(after, events, retry_failed=True)
    first = [e.workflow for e in since if isinstance(e, Submitting | Ended)]
    assert first == ["a", "a", "b", "b"]


def test_a_job_that_is_there_counts_where_it_was_submitted() -> None:
    """Its QOS admits one job: whatever else the new plan does, it knows of that one."""
    plan = planned(job("a"), job("b", runtime=500))
    events = begun(plan, *submitted("a"))
    after = edit(plan, events, job("b", runtime=200), job("c", runtime=100))
    a = after.by_name["a"]
    assert a == replace(plan.by_name["a"], fixed=True)
    state = CampaignState.of(after, events)
    assert state.workflows["a"].qos == a.qos


def test_what_is_over_needs_its_place_no_longer() -> None:
    plan = planned(*(job(name) for name in "abcd"), budget=Budget(nodes=4))
    done = [event for name in "abc" for event in ended(name, JobState.COMPLETED, 50.0)]
    events = begun(plan, *done)
    kept = CampaignState.of(plan, events).kept(plan, 60)
    smaller = replace(plan.campaign, budget=Budget(nodes=1))
    after = plan_campaign(smaller, CLUSTER, start=60, fixed=kept)
    assert {w.name for w in after.workflows if w.fixed} == {*"abc"}
    assert all(w.finish <= 60 for w in after.workflows if w.fixed)
    assert after.by_name["d"].start == 60


def test_a_budget_cannot_become_smaller_than_what_has_jobs() -> None:
    plan = planned(*(job(name) for name in "ab"), budget=Budget(nodes=2))
    events = begun(plan, *submitted("a"), *submitted("b"))
    kept = CampaignState.of(plan, events).kept(plan, 60)
    smaller = replace(plan.campaign, budget=Budget(nodes=1))
    with pytest.raises(InvalidPlan, match="budget: 2 nodes in use at once, not 1"):
        plan_campaign(smaller, CLUSTER, start=60, fixed=kept)


class Notes(MemoryJournal):
    """A journal that goes on with what has happened."""

    def __init__(self, events: list[Event]) -> None:
        super().__init__()
        self.events = events


def busy(plan: Plan, events: list[Event], *, free: int) -> SimBackend:
    """Return a cluster with the jobs of a run, of which only so many nodes are not reserved."""
    backend = SimBackend(
        CLUSTER,
        lambda job: 300.0,
        reservations=[
            Reservation(partition="cpu", node=node, start=0, finish=3600) for node in range(free, 4)
        ],
    )
    state = CampaignState.of(plan, events)
    for position, w in enumerate(plan.workflows):
        if state.workflows[w.name].native_id:
            backend.submit(job_of(plan, w.name, state.workflows[w.name], "run", position))
    backend.wait(1.0)  # what has room begins
    return backend


def prepared(
    plan: Plan, events: list[Event], backend: SimBackend, *workflows: Workflow, without: str = ""
) -> NewPlan:
    """Change some workflows of a run, and take others out."""
    before = plan.campaign.workflows
    after = before | {w.name: w for w in workflows}
    left = {name: workflow for name, workflow in after.items() if name not in without}
    campaign = replace(plan.campaign, workflows=left)
    return prepare(
        Edit(plan, campaign, frozenset({*(w.name for w in workflows), *without} & before.keys())),
        backend,
        Notes(events),
        lambda campaign, now, kept: plan_campaign(campaign, CLUSTER, start=now, fixed=kept),
        events=[*events],
        job_prefix="run",
    )


def carried_on(
    plan: Plan, events: list[Event], backend: SimBackend
) -> tuple[CampaignState, list[Submitting]]:
    """Carry a run on to its end; return what was submitted meanwhile."""
    number = len(events)
    journal = Notes(events)
    state = run_plan(plan, backend, journal, job_prefix="run", events=[*events])
    return state, [e for e in journal.events[number:] if isinstance(e, Submitting)]


def as_edited(plan: Plan, events: list[Event], new: NewPlan) -> Plan:
    """Note in the journal that a new plan counts from now on."""
    assert new.plan is not None
    fingerprint, edited = new.plan.campaign.fingerprint, tuple(sorted(new.edit.changed))
    events.append(
        Replanned(time=new.time, fingerprint=fingerprint, plan="plan-2.json", edited=edited)
    )
    return new.plan


def test_a_job_that_waits_is_withdrawn_and_submitted_as_edited() -> None:
    plan = planned(job("a"), job("b"))
    events = begun(plan, *submitted("a"), *submitted("b"))
    backend = busy(plan, events, free=1)
    new = prepared(plan, events, backend, job("b", memory=300), job("c"))
    assert not new.begun
    assert new.edit.changed == {"b"}
    state, since = carried_on(as_edited(plan, events, new), events, backend)
    assert [(e.workflow, e.attempt) for e in since] == [("b", 2), ("c", 1)]
    assert {p.status for p in state.workflows.values()} == {Status.COMPLETED}
    assert state.workflows["b"].memory == 300
    assert state.workflows["b"].excused == 1


def test_a_job_that_waits_of_what_was_taken_out_is_withdrawn() -> None:
    plan = planned(job("a"), job("b"))
    events = begun(plan, *submitted("a"), *submitted("b"))
    backend = busy(plan, events, free=1)
    new = prepared(plan, events, backend, without="b")
    state, since = carried_on(as_edited(plan, events, new), events, backend)
    assert since == []
    assert {n: p.status for n, p in state.workflows.items()} == {"a": Status.COMPLETED}


def test_what_began_meanwhile_stays_as_it_was_and_the_rest_is_edited() -> None:
    plan = planned(job("a"), job("b"))
    events = begun(plan, *submitted("a"), *submitted("b"))
    backend = busy(plan, events, free=1)
    new = prepared(plan, events, backend, job("a", memory=300), job("b", memory=300))
    assert (new.begun, new.edit.changed) == ({"a"}, {"b"})
    after = as_edited(plan, events, new)
    assert after.campaign.workflows["a"] == plan.campaign.workflows["a"]
    state, since = carried_on(after, events, backend)
    assert [(e.workflow, e.attempt) for e in since] == [("b", 2)]
    assert {n: p.memory for n, p in state.workflows.items()} == {"a": 100, "b": 300}


def test_what_began_meanwhile_stays_although_it_was_taken_out() -> None:
    plan = planned(job("a"), job("b"))
    events = begun(plan, *submitted("a"), *submitted("b"))
    backend = busy(plan, events, free=1)
    after = as_edited(plan, events, prepared(plan, events, backend, without="ab"))
    state, _ = carried_on(after, events, backend)
    assert {n: p.status for n, p in state.workflows.items()} == {"a": Status.COMPLETED}


def test_where_all_began_meanwhile_nothing_is_changed() -> None:
    plan = planned(job("a"), job("b"))
    events = begun(plan, *submitted("a"))
    backend = busy(plan, events, free=1)
    new = prepared(plan, events, backend, job("a", memory=300), job("b", memory=300))
    assert (new.plan, new.begun) == (None, {"a"})
    state, since = carried_on(plan, events, backend)
    assert [e.workflow for e in since] == ["b"]
    assert {p.status for p in state.workflows.values()} == {Status.COMPLETED}


def test_an_edit_that_fits_nowhere_withdraws_nothing() -> None:
    plan = planned(job("a"), job("b"))
    events = begun(plan, *submitted("a"), *submitted("b"))
    backend, before = busy(plan, events, free=1), [*events]
    with pytest.raises(Infeasible):
        prepared(plan, events, backend, job("b", memory=5000))
    assert events == before
    _, since = carried_on(plan, events, backend)
    assert since == []


@pytest.mark.parametrize("heard", [False, True])
@pytest.mark.parametrize("fail_fast", [False, True])
def test_where_the_edit_is_given_up_what_was_withdrawn_is_submitted_as_it_was(
    heard: bool, fail_fast: bool
) -> None:
    """Its process ended once the journal had it: before or after the cluster had heard of it."""
    plan = planned(job("a"), job("b", "a"))
    events = begun(plan, *submitted("a"), Withdrawing(time=0.0, workflow="a"))
    backend = busy(plan, events, free=0)
    if heard:
        backend.withdraw("run-a-1")
    journal = Notes(events)
    number = len(events)
    state = run_plan(
        plan, backend, journal, job_prefix="run", events=[*events], fail_fast=fail_fast
    )
    again = [(e.workflow, e.attempt) for e in events[number:] if isinstance(e, Submitting)]
    assert again == ([("a", 2)] if heard else []) + [("b", 1)]
    assert {p.status for p in state.workflows.values()} == {Status.COMPLETED}


def test_a_job_that_was_withdrawn_is_no_try() -> None:
    plan = planned(job("a"))
    events = begun(plan, *submitted("a"), Withdrawing(time=0.0, workflow="a"))
    events.append(Ended(time=1.0, workflow="a", attempt=1, state=JobState.CANCELLED))
    for attempt in (2, 3):
        native_id = f"run-a-{attempt}"
        events += [
            Submitting(time=2.0, workflow="a", attempt=attempt, job=native_id),
            Submitted(time=2.0, workflow="a", attempt=attempt, native_id=native_id),
            Started(time=2.0, workflow="a", attempt=attempt),
            Ended(time=3.0, workflow="a", attempt=attempt, state=JobState.NODE_FAILED),
        ]
    state, since = resumed(plan, events, retry_failed=False)
    attempts = [e.attempt for e in since if isinstance(e, Submitting)]
    assert attempts == [4], "the third of three tries"
    assert state.workflows["a"].status is Status.COMPLETED


@pytest.mark.parametrize(
    ("started", "end", "pending"),
    [
        (False, JobState.CANCELLED, True),
        (False, JobState.NODE_FAILED, True),
        (True, JobState.CANCELLED, True),
        (True, JobState.NODE_FAILED, False),
        (True, JobState.FAILED, False),
        (True, JobState.COMPLETED, False),
    ],
)
@pytest.mark.parametrize("cancelling", [False, True])
def test_what_was_withdrawn_is_pending_once_its_job_is_over(
    started: bool, end: JobState, pending: bool, cancelling: bool
) -> None:
    """Unless it began and ended by itself, or the user wants its end."""
    plan = planned(job("a"))
    events = begun(plan, *submitted("a"), Withdrawing(time=0.0, workflow="a"))
    if cancelling:
        events.append(CancelRequested(time=0.0, workflow="a"))
    if started:
        events.append(Started(time=1.0, workflow="a", attempt=1))
    events.append(Ended(time=2.0, workflow="a", attempt=1, state=end))
    progress = CampaignState.of(plan, events).workflows["a"]
    assert (progress.status is Status.PENDING) == (pending and not cancelling)
    assert progress.attempt == 1 + (pending and not cancelling)
