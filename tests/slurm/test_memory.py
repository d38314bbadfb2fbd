"""Jobs that take more memory than they asked for, where the kernel holds them to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from carrying import World, shell, statuses
from conftest import TIGER3, need
from mini_slurm import MiniSlurm
from slurm_conf import Nodes

from socm.engine.events import JobState, Retrying
from socm.engine.retry import RetryPolicy

pytestmark = pytest.mark.slurm

TAKES_300_MB = (
    "python3 -c \"x = bytearray(300 << 20); print('took it')\"" + ' && test -n "$SOCM_RUN_DIR"'
)


@pytest.fixture(scope="module")
def strict() -> Iterator[MiniSlurm]:
    """Two nodes whose jobs are in cgroups that hold their memory."""
    need(accounting=True)
    controllers = Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")
    if os.geteuid() != 0 or not controllers.exists():
        pytest.skip("only root may hold memory, and here only by cgroup v1")
    cluster = MiniSlurm(
        name="tiger",
        nodes=(Nodes(count=2, cores=112, memory=1_000_000),),
        settings={"ProctrackType": "proctrack/cgroup", "TaskPlugin": "task/cgroup"},
        accounting=True,
        sacctmgr=TIGER3,
    )
    (cluster.folder / "cgroup.conf").write_text(
        "CgroupAutomount=no\nCgroupMountpoint=/sys/fs/cgroup\nConstrainRAMSpace=yes\n"
        "ConstrainSwapSpace=yes\nAllowedSwapSpace=0\n"
    )
    with cluster:
        yield cluster


@pytest.fixture
def world(strict: MiniSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    for name in ("PATH", "SLURM_CONF"):
        monkeypatch.setenv(name, strict.env[name])
    return World(strict, tmp_path / "run", f"m{os.urandom(4).hex()}")


def test_what_runs_out_of_memory_gets_more(world: World) -> None:
    state = world.carry_out(shell("hungry", TAKES_300_MB, request={"memory": 250}))
    again = [e for e in world.events if isinstance(e, Retrying)]
    # One and a half times what it asked for, or what it was seen to use when it was killed.
    assert [375 <= e.memory < 450 for e in again] == [True]
    assert again[0].reason.startswith("out of memory")
    assert statuses(state) == {"hungry": "completed"}
    assert world.sacct()["hungry-1"] == ["FAILED"]  # only its step has run out of memory
    assert (state.workflows["hungry"].peak_memory or 0) > 300


def test_one_that_hides_it_has_run_out_of_memory_all_the_same(world: World) -> None:
    """Its script goes on when a part of it is killed, and ends with 0."""
    hides = shell("hides", f"{TAKES_300_MB}; exit 0", request={"memory": 250})
    bare = shell("bare", f"{TAKES_300_MB}; exit 0", request={"memory": 250}, launcher="none")
    state = world.carry_out(hides, bare, retry=RetryPolicy(attempts=1))
    assert {p.outcome for p in state.workflows.values()} == {JobState.OUT_OF_MEMORY}
