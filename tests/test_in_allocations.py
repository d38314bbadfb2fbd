"""A campaign carried out in allocations on the emulated cluster: what ends with one of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import pairs
from test_allocation import allocated

from sim.allocations import run_in_allocations
from sim.backend import SimBackend
from sim.montecarlo import simulate
from socm.engine.driver import run_plan
from socm.engine.events import CampaignStarted, Ended, Event, JobState, Retrying, Started
from socm.engine.journal import MemoryJournal
from socm.engine.release import hand_over_or_due
from socm.engine.state import CampaignState
from socm.errors import ConfigError
from socm.model.allocation import AllocationPlan, of_steps
from socm.model.campaign import Campaign, ResourceRequest, Workflow
from socm.model.check import check_plan
from socm.model.cluster import Cluster
from socm.model.partition import Partition
from socm.model.plan import Plan
from socm.model.qos import Qos
from socm.planner import plan_campaign
from socm.planner.sizing.allocation import plan_allocation

MINUTE = 60
NODE = Partition(name="cpu", nodes=1, cores=8, memory=1000)


def step(name: str, minutes: int, *depends: str, threads: int = 8) -> Workflow:
    request = ResourceRequest(threads=threads, runtime=minutes * MINUTE)
    return Workflow(name=name, request=request, depends=depends)


def planned(*workflows: Workflow, walltime: int, **campaign: Any) -> AllocationPlan:
    """Plan workflows in allocations of one node that last so many minutes."""
    short = Qos(name="short", walltime=walltime * MINUTE)
    cluster = Cluster(name="c", partitions=(NODE,), qos=(short,))
    return plan_allocation(Campaign.of("c", workflows, **campaign), cluster, plan_campaign)


def carried_out(plan: AllocationPlan, **minutes: float) -> tuple[CampaignState, list[Event]]:
    """Carry a plan out; workflows that are not named take what is expected of them."""
    steps, journal = of_steps(plan), MemoryJournal()
    gates = hand_over_or_due(steps)
    state = run_in_allocations(
        plan,
        steps,
        gates,
        lambda job: MINUTE * minutes.get(job.workflow.name, job.duration / MINUTE),
        journal,
    )
    return state, journal.events


def spans(events: list[Event]) -> list[tuple[str, float, float, JobState]]:
    """Return of each attempt that ran its workflow, start, end in minutes, and how it ended."""
    started: dict[str, float] = {}
    found = []
    for event in events:
        if isinstance(event, Started):
            started[event.workflow] = event.time
        elif isinstance(event, Ended):
            name = event.workflow
            found.append((name, started[name] / MINUTE, event.time / MINUTE, event.state))
    return found


@given(pairs(), st.integers(0, 2**16))
def test_whatever_is_planned_in_allocations_is_completed_in_them(
    pair: tuple[Campaign, Cluster], seed: int
) -> None:
    plan = allocated(pair)
    check_plan(of_steps(plan))
    simulation = simulate(plan, replications=2, seed=seed)
    assert simulation.exact.completed
    assert all(w.attempts == 1 for w in simulation.exact.workflows)
    if len(plan.allocations) == 1:
        assert simulation.exact.makespan == plan.makespan


def test_what_the_end_of_an_allocation_cuts_runs_again_in_the_next_one() -> None:
    """It is no failure of the workflow, of which none is allowed here."""
    plan = planned(*(step(name, 20) for name in "abc"), walltime=60, retries=0)
    state, events = carried_out(plan, c=25)
    assert spans(events) == [
        ("a", 0, 20, JobState.COMPLETED),
        ("b", 20, 40, JobState.COMPLETED),
        ("c", 40, 60, JobState.ALLOCATION_ENDED),
        ("c", 60, 85, JobState.COMPLETED),
    ]
    assert state.workflows["c"].excused == 1


def test_nothing_starts_that_is_expected_to_last_longer_than_the_allocation() -> None:
    plan = planned(*(step(name, 25) for name in "abc"), walltime=60)
    assert [a.walltime for a in plan.allocations] == [38 * MINUTE] * 3
    _, events = carried_out(plan)
    assert spans(events) == [
        ("a", 0, 25, JobState.COMPLETED),
        ("b", 25, 50, JobState.COMPLETED),
        ("c", 50, 75, JobState.COMPLETED),
    ]
    assert sum(isinstance(event, CampaignStarted) for event in events) == 1


def test_what_waits_for_room_when_no_time_is_left_was_not_tried() -> None:
    """It was submitted in time, but what runs before it is late."""
    plan = planned(step("a", 30), step("b", 28), walltime=60)
    state, events = carried_out(plan, a=40)
    assert spans(events) == [("a", 0, 40, JobState.COMPLETED), ("b", 40, 68, JobState.COMPLETED)]
    assert state.workflows["b"].attempt == 1
    assert not [e for e in events if isinstance(e, Retrying) and e.attempt > 1]


def test_allocations_in_which_nothing_is_completed_are_not_asked_for_for_ever() -> None:
    """It takes longer than any of them."""
    plan = planned(step("long", 50), step("after", 5, "long"), walltime=60, retries=1)
    state, events = carried_out(plan, long=70)
    assert [how for *_, how in spans(events)] == [JobState.ALLOCATION_ENDED] * 2
    assert {p.status.value for p in state.workflows.values()} == {"pending"}


def test_what_is_left_at_the_end_has_failed_in_a_simulation() -> None:
    long = ResourceRequest(threads=8, runtime=59 * MINUTE, spread=3.0)
    plan = planned(Workflow(name="long", request=long), walltime=60, retries=0)
    simulation = simulate(plan, replications=20)
    assert 0 < simulation.lost["long"] < 1


def test_a_walltime_of_a_step_is_its_own_and_not_that_of_the_allocation() -> None:
    plan = planned(step("a", 30), step("b", 30), walltime=60)
    assert [w.walltime for w in plan.workflows] == [45 * MINUTE, 30 * MINUTE]
    assert [w.walltime for w in of_steps(plan).workflows] == [45 * MINUTE, 45 * MINUTE]


def test_allocations_of_different_nodes_are_not_one_cluster() -> None:
    plan = planned(*(step(name, 25) for name in "abc"), walltime=60)
    first, second, _ = plan.allocations
    with pytest.raises(ConfigError, match="the same number of nodes"):
        of_steps(replace(plan, allocations=(first, replace(second, nodes=2))))


@pytest.mark.parametrize("runtime", [60.0, 59.0])
def test_what_ends_in_the_second_of_the_end_has_ended(runtime: float) -> None:
    plan = plan_campaign(
        Campaign.of("c", [Workflow(name="a", request=ResourceRequest(runtime=50))]),
        Cluster(name="c", partitions=(NODE,)),
    )
    state = run_until(plan, runtime, 60.0)
    assert state.workflows["a"].status.value == "completed"
    assert run_until(plan, 60.5, 60.0).ended is None


def run_until(plan: Plan, runtime: float, closes: float) -> CampaignState:
    backend = SimBackend(plan.cluster, lambda _: runtime, closes=closes)
    return run_plan(plan, backend, closes=lambda: closes)
