"""A campaign carried out in allocations on the emulated cluster: what ends with one of them."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import pairs
from test_allocation import allocated
from test_cli import socm

from sim.allocations import run_in_allocations
from sim.backend import SimBackend
from sim.montecarlo import simulate
from socm.cli.allocated import locked, plan_of_jobs
from socm.engine.allocations import UNFINISHED, NextAllocation
from socm.engine.allocations import fruitful as count_fruitful
from socm.engine.attempts import first_attempts
from socm.engine.backend import JobUpdate
from socm.engine.driver import run_plan
from socm.engine.events import CampaignStarted, Ended, Event, JobState, Retrying, Started
from socm.engine.journal import MemoryJournal
from socm.engine.release import hand_over_or_due
from socm.engine.run import Run, RunSettings
from socm.engine.state import CampaignState
from socm.errors import ConfigError, RunError
from socm.executor import STEPS
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


# An outer run, whose jobs are the allocations

BATCH = """
campaign: {name: c, resource: c.toml, execution_schema: batch, modules: [], constraint: fast}
stages:
  a: {executable: "true", depends: null, resources: {threads: 8, memory: 1G, runtime: 20m}}
  b: {executable: "true", depends: [a], resources: {threads: 8, memory: 1G, runtime: 20m}}
"""
CLUSTER = """
name = "c"
[[partitions]]
name = "cpu"
nodes = 4
cores-per-node = 8
memory-per-node = 4000
threads-per-core = 2
gpus-per-node = 2
"""


def test_an_allocation_is_one_job_of_whole_nodes_that_carries_the_inner_run_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.toml").write_text(CLUSTER)
    (tmp_path / "c.yaml").write_text(BATCH)
    done = socm("run", "c.yaml", "--executor", "slurm", "--dry-run", "--run-dir", "run")
    assert done.returncode == 0, done.stderr
    assert "1 allocation, in which 2 workflows run as steps" in " ".join(done.stdout.split())
    script = (tmp_path / "run/jobs/allocation/1/script.sh").read_text()
    options = {line.removeprefix("#SBATCH --") for line in script.splitlines() if "#SBATCH" in line}
    assert options >= {
        "nodes=1",
        "ntasks=1",
        "cpus-per-task=16",
        "mem-per-cpu=250M",
        "gpus-per-task=2",
        "time=0-01:00:00",
        "partition=cpu",
        "constraint=fast",
    }
    assert "-m socm resume ../../../inside" in script


def test_the_folder_of_a_run_in_allocations_has_the_run_within_them(tmp_path: Path) -> None:
    plan = planned(*(step(name, 25) for name in "abc"), walltime=60)
    settings = RunSettings(executor="slurm", file="c.yaml", poll_interval=7.0)
    run = Run.create(
        plan_of_jobs(plan), settings, tmp_path / "run", allocations=plan, executor_inside="steps"
    )
    again = Run(run.path)
    assert again.allocations == plan
    assert [w.name for w in again.plan.workflows] == ["allocation"]
    inside = again.inside
    assert inside is not None
    assert inside.plan == of_steps(plan)
    assert inside.settings.executor == "steps"
    assert inside.is_inside
    assert not again.is_inside
    assert inside.inside is None


@pytest.mark.parametrize(
    ("state", "exit_code", "follows"),
    [
        (JobState.FAILED, UNFINISHED, True),
        (JobState.FAILED, 137, True),
        (JobState.FAILED, 5, True),
        (JobState.FAILED, 1, False),
        (JobState.OUT_OF_MEMORY, 1, False),
        (JobState.FAILED, 2, False),
        (JobState.TIMEOUT, 130, True),
        (JobState.NODE_FAILED, None, True),
        (JobState.PREEMPTED, None, True),
        (JobState.CANCELLED, None, False),
    ],
)
def test_another_allocation_follows_if_it_may_do_more(
    state: JobState, exit_code: int | None, follows: bool
) -> None:
    plan = planned(*(step(name, 25) for name in "abc"), walltime=60, retries=1)
    jobs = plan_of_jobs(plan)
    job = next(first_attempts(jobs))
    update = JobUpdate(job=job, state=state, time=100.0, exit_code=exit_code)
    policy = NextAllocation(attempts=2, plan=plan, fruitful=lambda: 0)
    following = policy.after(update, plan.cluster)
    assert (following is not None) is follows
    if following is not None:
        assert (following.attempt, following.walltime) == (2, plan.allocations[1].walltime)


@pytest.mark.parametrize(("attempt", "fruitful", "follows"), [(2, 0, False), (2, 1, True)])
def test_only_allocations_that_led_to_nothing_count(
    attempt: int, fruitful: int, follows: bool
) -> None:
    plan = planned(*(step(name, 25) for name in "abc"), walltime=60, retries=1)
    job = replace(next(first_attempts(plan_of_jobs(plan))), attempt=attempt)
    update = JobUpdate(job=job, state=JobState.TIMEOUT, time=100.0)
    policy = NextAllocation(attempts=2, plan=plan, fruitful=lambda: fruitful)
    assert (policy.after(update, plan.cluster) is not None) is follows


def test_a_life_counts_once_however_much_was_completed_in_it() -> None:
    plan = planned(*(step(name, 20) for name in "abc"), walltime=60, retries=0)
    _, events = carried_out(plan, c=25)
    assert count_fruitful(events) == 2
    assert count_fruitful(events[:3]) == 0


def outer_run(path: Path) -> Run:
    """Return the folder of a run in allocations, of which nothing is submitted."""
    plan = planned(*(step(name, 25) for name in "abc"), walltime=60)
    settings = RunSettings(executor="slurm", file="c.yaml")
    return Run.create(plan_of_jobs(plan), settings, path, allocations=plan, executor_inside=STEPS)


def test_a_run_that_cannot_be_resumed_is_left_as_it_is_inside_too(
    tmp_path: Path,
) -> None:
    run = outer_run(tmp_path / "run")
    inside = run.inside
    assert inside is not None
    inside.journal.touch()
    (run.path / "lock").write_text("process 123 on elsewhere\nabc\n")
    done = socm("resume", run.path, "--retry-failed")
    assert "may be active: process 123 on elsewhere" in " ".join(done.stderr.split())
    assert not inside.journal.read_text()


def test_only_for_another_process_is_waited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleep(seconds: float) -> None:
        raise AssertionError("waited for nobody")

    monkeypatch.setattr(time, "sleep", sleep)
    inside = outer_run(tmp_path / "run").inside
    assert inside is not None
    (inside.path / "lock").mkdir()
    with pytest.raises(RunError, match="cannot be written: is a directory"), locked(inside):
        pass


def test_whatever_writes_a_run_as_json_writes_the_run_inside_of_it_too(tmp_path: Path) -> None:
    run = outer_run(tmp_path / "run")

    def states(*command: str | Path) -> dict[str, str]:
        document = json.loads(socm(*command, "--json").stdout)
        return {
            w["name"]: w["state"] for of in (document, document["inside"]) for w in of["workflows"]
        }

    (run.path / "lock").write_text("process 123 on elsewhere\nabc\n")
    waiting = dict.fromkeys(["allocation", "a", "b", "c"], "pending")
    assert states("resume", run.path, "--if-idle") == waiting
    assert states("status", run.path) == waiting
    (run.path / "lock").unlink()
    cancelled = dict.fromkeys(waiting, "cancelled")
    assert states("cancel", run.path) == cancelled
    assert states("resume", run.path) == cancelled
