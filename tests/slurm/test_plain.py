"""A SLURM without accounting: there is no QOS, no sacct, and what has ended is soon forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest
from carrying import PLAIN, World, plain_plan, shell, statuses, world_on
from mini_slurm import MiniSlurm

from socm.engine.driver import job_of
from socm.engine.events import JobState
from socm.engine.retry import RetryPolicy
from socm.engine.state import CampaignState
from socm.executor.slurm.executor import SlurmExecutor

pytestmark = pytest.mark.slurm


@pytest.fixture
def world(plain_slurm: MiniSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return world_on(plain_slurm, tmp_path, monkeypatch)


def test_without_accounting_jobs_end_as_they_do_with_it(world: World) -> None:
    plan = plain_plan(
        shell("well", "true"),
        shell("wide", "true", "well", request={"ranks": 20}),
        shell("seven", "exit 7"),
        shell("stopped", "echo begun; sleep 300"),
        shell("after", "true", "seven"),
    )
    with world.meanwhile(lambda: world.slurm.run("scancel", world.running("stopped"))):
        state = world.carry_out(plan=plan, retry=RetryPolicy(attempts=1))
    assert statuses(state) == {
        "well": "completed",
        "wide": "completed",
        "seven": "failed",
        "stopped": "cancelled",
        "after": "skipped",
    }
    assert state.workflows["seven"].exit_code == 7
    assert world.backend is not None
    assert not world.backend.slurm.accounting


def test_a_job_that_ended_while_nobody_looked_is_known_by_its_result(world: World) -> None:
    """And one that left none, and that nobody knows, has failed."""
    plan = plain_plan(shell("a", "true"))
    state = world.carry_out(plan=plan)
    assert statuses(state) == {"a": "completed"}
    backend = SlurmExecutor(world.folder, PLAIN, 0.0, poll_interval=0.5)
    job = job_of(plan, "a", CampaignState.of(plan).workflows["a"], world.run_id, 0)
    backend.attach(job, "999999")
    assert [u.state for u in backend.wait()][-1] is JobState.COMPLETED
    assert backend.find(job) == state.workflows["a"].native_id
