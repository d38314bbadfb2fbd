"""A SLURM without accounting: there is no QOS, no sacct, and what has ended is soon forgotten."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from carrying import World, shell, statuses
from mini_slurm import MiniSlurm

from socm.engine.driver import job_of
from socm.engine.events import JobState
from socm.engine.retry import RetryPolicy
from socm.engine.state import CampaignState
from socm.executor.slurm.executor import SlurmExecutor
from socm.model.campaign import Campaign, Workflow
from socm.model.cluster import Cluster, Partition
from socm.model.plan import Plan
from socm.planner import plan_campaign

pytestmark = pytest.mark.slurm

CLUSTER = Cluster(
    name="plain", partitions=(Partition(name="cpu", nodes=4, cores=16, memory=60000),)
)


@pytest.fixture
def world(plain_slurm: MiniSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    for name in ("PATH", "SLURM_CONF"):
        monkeypatch.setenv(name, plain_slurm.env[name])
    return World(plain_slurm, tmp_path / "run", f"p{secrets.token_hex(4)}")


def plan_of(*workflows: Workflow) -> Plan:
    return plan_campaign(Campaign.of("plain", workflows), CLUSTER)


def test_without_accounting_jobs_end_as_they_do_with_it(world: World) -> None:
    plan = plan_of(
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
    plan = plan_of(shell("a", "true"))
    state = world.carry_out(plan=plan)
    assert statuses(state) == {"a": "completed"}
    backend = SlurmExecutor(world.folder, CLUSTER, 0.0, poll_interval=0.5)
    job = job_of(plan, "a", CampaignState.of(plan).workflows["a"], world.run_id, 0)
    backend.attach(job, "999999")
    assert [u.state for u in backend.wait()][-1] is JobState.COMPLETED
    assert backend.find(job) == state.workflows["a"].native_id
