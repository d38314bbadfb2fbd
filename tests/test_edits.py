"""What an edit in mid-run changes, and what it leaves as it is."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import builders
import pytest

from sim.backend import SimBackend
from socm.engine.driver import run_plan
from socm.engine.events import (
    CampaignStarted,
    Ended,
    Event,
    JobState,
    Replanned,
    Started,
    Submitted,
    Submitting,
)
from socm.engine.journal import MemoryJournal
from socm.engine.state import CampaignState, Status
from socm.errors import InvalidPlan
from socm.model.campaign import Budget, Campaign, Workflow
from socm.model.cluster import Cluster
from socm.model.partition import Partition
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
