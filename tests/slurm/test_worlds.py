"""One plan in both worlds, and one contract for every backend."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from builders import TIGER
from carrying import World, shell, statuses

from sim.backend import SimBackend
from socm.config.cluster import load_cluster
from socm.engine.backend import Job
from socm.engine.driver import job_of, run_plan
from socm.engine.events import JobState, Started
from socm.engine.journal import MemoryJournal
from socm.engine.state import CampaignState
from socm.errors import BackendUnavailable
from socm.executor.folder import make_run_folder
from socm.executor.slurm import executor
from socm.executor.slurm.executor import SlurmExecutor
from socm.model.campaign import Budget
from socm.testing import SCENARIOS, check_backend

pytestmark = pytest.mark.slurm


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
    expected = run_plan(plan, SimBackend(plan.cluster, as_expected), emulated, job_prefix="sim")
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


@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if name != "times_out"])
def test_slurm_keeps_the_contract(
    scenario: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real timeout takes SLURM a minute or two; `test_run` has one that is brought about."""
    monkeypatch.setattr(executor, "LOST", 5.0)
    tiger = load_cluster(TIGER)
    cluster = replace(tiger, partitions=tuple(replace(p, nodes=4) for p in tiger.partitions))
    make_run_folder(world.folder)
    began = time.time()
    check_backend(
        lambda: SlurmExecutor(world.folder, cluster, began, poll_interval=1),
        cluster,
        scenarios=[scenario],
    )


def test_a_cancellation_that_nobody_hears_is_an_error(world: World) -> None:
    """And one of a job that is over or was never there is not."""
    plan = world.plan(shell("a", "echo begun; sleep 300"))
    make_run_folder(world.folder)
    backend = SlurmExecutor(world.folder, plan.cluster, time.time(), poll_interval=1)
    job = job_of(plan, "a", CampaignState.of(plan).workflows["a"], world.run_id, 0)
    native_id = backend.submit(job)
    world.slurm.end("slurmctld")
    try:
        with pytest.raises(BackendUnavailable):
            backend.cancel(native_id)
    finally:
        world.slurm.launch("slurmctld")
    world.slurm.wait_for(lambda: _cancelled(backend, native_id), "the controller")
    while not any(u.state is JobState.CANCELLED for u in backend.wait(backend.now() + 60)):
        pass
    for gone in (native_id, "99999999"):
        backend.cancel(gone)


def _cancelled(backend: SlurmExecutor, native_id: str) -> bool:
    try:
        backend.cancel(native_id)
    except BackendUnavailable:
        return False
    return True
