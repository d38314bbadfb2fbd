"""A budget of hours: what plans are charged, and what a run keeps in the queue."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import job
from strategies import exact, simulate

from sim.backend import SimBackend
from sim.montecarlo import simulate as simulated
from socm.config.campaign import load_campaign
from socm.engine.backend import Job
from socm.engine.driver import run_plan
from socm.engine.events import Ended, LeftOut
from socm.engine.journal import MemoryJournal
from socm.engine.state import CampaignState, Status
from socm.errors import ConfigError, Infeasible, InvalidPlan, SubmitError
from socm.exchange.campaign_file import campaign_file
from socm.model.campaign import Budget, Campaign
from socm.model.charge import Charge
from socm.model.check import check_plan
from socm.model.cluster import Cluster
from socm.model.document import plan_document, read_plan
from socm.model.partition import Partition
from socm.model.plan import Plan
from socm.model.qos import Qos
from socm.planner import plan_campaign
from socm.planner.bounds.proof import prove
from socm.planner.sizing.allocation import plan_allocation
from socm.planner.whynot import why_not
from socm.planner.whynot.changes import MoreHours
from socm.report.verdict import simulation_verdict
from socm.report.whynot import why_not_document

CPU = Partition(name="cpu", nodes=4, cores=8, memory=1000)
CLUSTER = Cluster(name="c", partitions=(CPU,))
QUICK = Cluster(
    name="q",
    partitions=(replace(CPU, nodes=1), replace(CPU, name="fast", speed=2.0)),
    qos=(
        Qos(name="usual", partitions=("cpu",)),
        Qos(name="premium", partitions=("fast",), charge=4.0),
    ),
)
"""Twice as fast costs twice as much."""


def hours(number: int, hours: float, **more: Any) -> Campaign:
    """A chain of jobs that take eight cores for an hour, and have two hours of walltime."""
    jobs = [
        job(f"w{k}", *[f"w{k - 1}"] * (k > 0), minutes=60, threads=8, walltime=7200)
        for k in range(number)
    ]
    return Campaign.of("hours", jobs, budget=Budget(core_hours=hours), **more)


def test_a_plan_that_is_charged_too_much_is_refused_with_what_would_fit() -> None:
    with pytest.raises(Infeasible) as caught:
        plan_campaign(hours(3, 20), CLUSTER)
    assert caught.value.reasons[0] == "at expected runtimes it is charged at least 24 core-hours"
    assert caught.value.remedies == ("[campaign.budget] core-hours = 24", "without w2")


def test_node_hours_are_those_of_whole_nodes() -> None:
    campaign = replace(hours(3, 1), budget=Budget(node_hours=3))
    assert plan_campaign(campaign, CLUSTER).charged_node_hours == pytest.approx(3)
    with pytest.raises(Infeasible):
        plan_campaign(replace(campaign, budget=Budget(node_hours=2.9)), CLUSTER)


@pytest.mark.parametrize(("most", "premium"), [(48, 3), (47, 2), (33, 1), (24, 0)])
def test_what_is_charged_too_much_is_moved_to_where_it_is_charged_less(
    most: float, premium: int
) -> None:
    plan = plan_campaign(hours(3, most), QUICK)
    assert plan.charged_core_hours <= most
    assert sum(w.qos == "premium" for w in plan.workflows) == premium


def test_the_check_finds_a_plan_that_is_charged_too_much() -> None:
    plan = plan_campaign(hours(3, 24), CLUSTER)
    check_plan(plan)
    less = replace(plan, campaign=replace(plan.campaign, budget=Budget(core_hours=23)))
    with pytest.raises(InvalidPlan) as caught:
        check_plan(less)
    assert caught.value.violations == ("budget: 24 core-hours are charged, not 23",)


def test_cp_sat_does_not_find_shorter_plans_that_are_charged_too_much() -> None:
    pytest.importorskip("ortools")
    plan = plan_campaign(hours(3, 33), QUICK)
    proof = prove(plan, seconds=20, workers=1)
    assert proof.optimal
    assert proof.plan.makespan == plan.makespan == 2 * 3600 + 1800


def test_a_campaign_that_is_late_because_of_it_is_told_how_many_hours_would_do() -> None:
    late = plan_campaign(hours(3, 24, deadline=2 * 3600), QUICK)
    why = why_not(late, plan_campaign)
    assert MoreHours(48) in [remedy.change for remedy in why.remedies]
    told = why_not_document(why)
    assert "the budget of 24 core-hours: done after 1 h 30 min with 48 core-hours" in [
        b["text"] for b in told["binding"]
    ]
    assert {"budget": {"core_hours": 48}} in [r["change"] for r in told["remedies"]]


def test_in_allocations_idle_cores_are_charged_too() -> None:
    shared = [job("a", minutes=60, threads=4), job("b", minutes=60, threads=8)]
    campaign = Campaign.of("idle", shared, budget=Budget(core_hours=16))
    assert plan_allocation(campaign, CLUSTER, plan_campaign).charged_core_hours == 16
    with pytest.raises(Infeasible):
        plan_allocation(replace(campaign, budget=Budget(core_hours=15)), CLUSTER, plan_campaign)


def test_a_job_counts_with_its_walltime_until_it_ends() -> None:
    """Two at once would be charged 32 core-hours at their walltimes."""
    jobs = [job(f"w{k}", minutes=60, threads=8, walltime=7200) for k in range(2)]
    plan = plan_campaign(Campaign.of("two", jobs, budget=Budget(core_hours=24)), CLUSTER)
    assert [w.start for w in plan.workflows] == [0, 0]
    assert plan.most_charged == Charge(32, 4)
    assert "up to 32 core-hours" in plan.warnings[0]
    world = simulate(plan, exact(plan))
    assert sorted(world.first_start.values()) == [0, 3600]


def test_of_a_budget_of_node_hours_the_most_is_in_node_hours() -> None:
    """Most core-hours are held at first, by a large node, and most node-hours later, by many."""
    large = Partition(name="large", nodes=1, cores=100, memory=1000)
    small = Partition(name="small", nodes=10, cores=1, memory=100)
    jobs = [
        job("a", minutes=60, threads=100, walltime=20 * 3600, partition="large"),
        job("b", "a", minutes=60, ranks=10, walltime=4 * 3600, partition="small"),
    ]
    campaign = Campaign.of("two", jobs, budget=Budget(node_hours=30))
    plan = plan_campaign(campaign, Cluster(name="c", partitions=(large, small)))
    assert plan.most_charged == Charge(140, 41)
    assert "up to 41 node-hours" in plan.warnings[0]


def carried_out(plan: Plan) -> tuple[CampaignState, MemoryJournal]:
    journal = MemoryJournal()
    backend = SimBackend.for_plan(plan, exact(plan))
    return run_plan(plan, backend, journal), journal


def test_what_has_no_room_is_left_out_with_all_that_depends_on_it() -> None:
    plan = plan_campaign(hours(4, 32), CLUSTER)
    state, journal = carried_out(plan)
    assert [state.workflows[f"w{k}"].status for k in range(4)] == [
        Status.COMPLETED, Status.COMPLETED, Status.COMPLETED, Status.SKIPPED,
    ]  # fmt: skip
    [left_out] = [e for e in journal.events if isinstance(e, LeftOut)]
    assert left_out.reason == (
        "its walltime is charged 16 core-hours; 8.0 core-hours of the budget are left"
    )
    assert state.charge == Charge(24, 3)
    assert [e.core_hours for e in journal.events if isinstance(e, Ended)] == [8, 8, 8]


class Refusing(SimBackend):
    """Refuses the first job for now."""

    refused: str | None = None

    def submit(self, job: Job) -> str:
        if self.refused is None:
            self.refused = job.workflow.name
            raise SubmitError("not now", transient=True)
        return super().submit(job)


def test_what_was_refused_for_now_is_left_out_if_nothing_is_left_for_it_later() -> None:
    """Nobody runs any more when it comes again, so that nothing else would end its wait."""
    cluster = replace(CLUSTER, qos=(Qos(name="a"), Qos(name="b")))
    both = [job(name, threads=8, runtime=20, walltime=60, qos=name) for name in ("a", "b")]
    budget = Budget(core_hours=600 / 3600)
    plan = plan_campaign(Campaign.of("two", both, budget=budget), cluster)
    backend = Refusing.for_plan(plan, exact(plan))
    state = run_plan(plan, backend)
    left_out = [name for name, p in state.workflows.items() if p.left_out]
    assert left_out == [backend.refused]


def test_a_run_that_left_something_out_has_ended() -> None:
    plan = plan_campaign(hours(4, 32), CLUSTER)
    state, journal = carried_out(plan)
    assert state.is_finished(plan)
    before = [*journal.events]
    backend = SimBackend.for_plan(plan, exact(plan))
    run_plan(plan, backend, journal, events=before)
    assert journal.events == before


def test_a_run_that_is_resumed_with_more_goes_on() -> None:
    plan = plan_campaign(hours(4, 32), CLUSTER)
    _, journal = carried_out(plan)
    more = replace(plan, campaign=replace(plan.campaign, budget=Budget(core_hours=40)))
    backend = SimBackend.for_plan(more, exact(more))
    state = run_plan(more, backend, journal, events=[*journal.events], retry_failed=True)
    assert all(p.status is Status.COMPLETED for p in state.workflows.values())
    assert state.charge == Charge(32, 4)


def test_a_simulation_says_what_is_left_out() -> None:
    simulation = simulated(plan_campaign(hours(4, 32), CLUSTER), replications=0)
    assert not simulation.feasible
    assert simulation_verdict(simulation) == (
        "Not completed: the budget of hours has no room for w3."
    )


FILE = """
campaign: {resource: tiger3, budget: {BUDGET}}
stages:
  spectra: {executable: x, resources: {threads: 4, memory: 4G, runtime: 1h}}
"""


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        ("core-hours: 50000", Budget(core_hours=50000)),
        ("node_hours: 12.5", Budget(node_hours=12.5)),
    ],
)
def test_a_file_says_it_and_a_plan_keeps_it(budget: str, expected: Budget, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(FILE.replace("BUDGET", budget))
    loaded = load_campaign(file)
    assert loaded.campaign.budget == expected
    file.write_text(campaign_file(loaded.campaign).text)
    assert load_campaign(file).campaign.budget == expected
    plan, path = plan_campaign(loaded.campaign, loaded.cluster), tmp_path / "plan.json"
    path.write_text(json.dumps(plan_document(plan)))
    read = read_plan(path)
    assert isinstance(read, Plan)
    assert read.campaign.budget == expected


@pytest.mark.parametrize(
    "bad",
    ["core-hours: 0", "core-hours: -1", "core-hours: true", "core-hours: .nan", "core-hour: 1",
     "core-hours: 1, node-hours: 1"],
)  # fmt: skip
def test_what_is_no_amount_of_hours_is_refused(bad: str, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(FILE.replace("BUDGET", bad))
    with pytest.raises(ConfigError):
        load_campaign(file)
