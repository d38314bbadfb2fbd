"""One plan in both worlds, and one contract for every backend."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from carrying import World, shell, statuses

from sim.backend import SimBackend
from socm.engine.backend import Backend, Job, JobUpdate
from socm.engine.driver import job_of, run_plan
from socm.engine.events import JobState, Started
from socm.engine.journal import MemoryJournal
from socm.engine.state import CampaignState
from socm.executor.folder import make_run_folder
from socm.executor.local import LocalExecutor
from socm.executor.machine import this_machine
from socm.executor.slurm.executor import SlurmExecutor
from socm.model.campaign import Budget, Campaign, Workflow
from socm.model.plan import Plan
from socm.planner import plan_campaign

pytestmark = [
    pytest.mark.slurm,
    # PSI/J's local executor leaves the pipes of its processes to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_the_same_plan_in_both_worlds(world: World) -> None:
    """The same order of starts, the same ends, and nearly the same time."""
    seconds = {"a": 6, "b": 3, "c": 3, "d": 2, "e": 4}
    depends = {"c": ("a",), "d": ("b", "c")}
    workflows = [
        shell(
            name,
            f"sleep {s}",
            *depends.get(name, ()),
            launcher="none",
            request={"runtime": s, "walltime": 60, "threads": 50},
        )
        for name, s in seconds.items()
    ]
    plan = world.plan(*workflows, budget=Budget(cores=100))
    state = world.carry_out(plan=plan)
    emulated = MemoryJournal()
    expected = run_plan(plan, SimBackend(plan.cluster, as_expected), emulated, run="sim")
    assert statuses(state) == statuses(expected)

    def starts(events: list[object]) -> list[str]:
        return [e.workflow for e in events if isinstance(e, Started)]

    real, simulated = state.ended or 0.0, expected.ended or 0.0
    print(f"makespan: {real:.1f} s on SLURM, {simulated:.1f} s emulated")
    print(f"starts: {starts([*world.events])} on SLURM, {starts([*emulated.events])} emulated")
    order = starts([*emulated.events])
    # Those that start together may do so in either order.
    together = {name: expected.workflows[name].started for name in order}
    assert sorted(starts([*world.events]), key=lambda n: together[n] or 0.0) == starts(
        [*world.events]
    )
    # SLURM takes a second or two to notice that something has ended, for each in the chain.
    assert simulated <= real <= simulated + 4 * 3


def as_expected(job: Job) -> float:
    return float(job.workflow.request.runtime)


Make = Callable[[Plan, Path], Backend]


def _sim(plan: Plan, folder: Path) -> Backend:
    return SimBackend(plan.cluster, as_expected)


def _local(plan: Plan, folder: Path) -> Backend:
    return LocalExecutor(folder, plan.cluster, time.time())


def _slurm(plan: Plan, folder: Path) -> Backend:
    return SlurmExecutor(folder, plan.cluster, time.time(), poll_interval=1)


@pytest.fixture(params=[_sim, _local, _slurm])
def contract(request: pytest.FixtureRequest, world: World) -> tuple[Backend, Callable[..., Job]]:
    """A backend, and a way to make jobs for it."""
    make_run_folder(world.folder)
    local = request.param is _local

    def job(name: str, script: str, runtime: int = 1) -> Job:
        workflow = shell(name, script, request={"runtime": runtime, "memory": 50})
        plan = plan_of(workflow, local=local, world=world)
        return job_of(plan, name, CampaignState.of(plan).workflows[name], world.run_id, 0)

    plan = plan_of(shell("any", "true"), local=local, world=world)
    return request.param(plan, world.folder), job


def plan_of(workflow: Workflow, *, local: bool, world: World) -> Plan:
    if not local:
        return world.plan(workflow)
    campaign = Campaign(name="test", workflows={workflow.name: workflow})
    return plan_campaign(campaign, this_machine())


def until_over(backend: Backend, job: Job, seconds: float = 60) -> list[JobUpdate]:
    """Wait for a job's last update; return all of them."""
    updates: list[JobUpdate] = []
    end = backend.now() + seconds
    while not any(u.state.final for u in updates):
        assert backend.now() < end
        updates += [u for u in backend.wait(end) if u.job.name == job.name]
    return updates


def test_a_job_runs_and_then_completes(contract: tuple[Backend, Callable[..., Job]]) -> None:
    backend, make = contract
    job = make("a", "sleep 1")
    native_id = backend.submit(job)
    assert native_id
    updates = until_over(backend, job)
    assert [u.state for u in updates] == [JobState.RUNNING, JobState.COMPLETED]
    assert 0 <= updates[0].time < updates[1].time <= backend.now()


def test_waiting_ends_when_it_is_time(contract: tuple[Backend, Callable[..., Job]]) -> None:
    backend, make = contract
    assert list(backend.wait()) == []  # nothing will ever come
    until = backend.now() + 0.5
    assert list(backend.wait(until)) == []
    assert backend.now() >= until
    job = make("a", "sleep 30", runtime=30)
    native_id = backend.submit(job)
    end = backend.now() + 2
    while backend.now() < end:
        assert all(not u.state.final for u in backend.wait(end))
    backend.cancel(native_id)
    assert until_over(backend, job)[-1].state is JobState.CANCELLED


def test_a_job_is_found_by_its_name_and_one_that_is_not_there_is_not(
    contract: tuple[Backend, Callable[..., Job]],
) -> None:
    backend, make = contract
    job, other = make("a", "sleep 20", runtime=20), make("b", "true")
    native_id = backend.submit(job)
    for _ in range(50):  # on this machine a job is found once it has begun
        backend.wait(backend.now() + 0.1)
        if backend.find(job) == native_id:
            break
    assert backend.find(job) == native_id
    assert backend.find(other) is None
    backend.cancel(native_id)
    until_over(backend, job)
