"""A real SLURM for the tests that need one, started once and ended whatever happens."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from allocating import Inside
from carrying import World, world_on
from mini_slurm import MiniSlurm, missing_programs
from slurm_conf import Nodes

NODES = (
    Nodes(prefix="n", count=4, cores=16, memory=64000, options="MemSpecLimit=4000"),
    Nodes(prefix="f", count=2, cores=16, memory=256000, options="MemSpecLimit=4000"),
    Nodes(prefix="g", count=2, cores=8, threads_per_core=2, memory=128000, gpus=4),
)
"""Nodes with two sizes of memory, and some with GPUs; part of the memory is the system's."""

PARTITIONS = (
    "PartitionName=cpu Nodes=n[1-4],f[1-2] Default=YES MaxTime=3-00:00:00 DefMemPerCPU=3000",
    "PartitionName=gpu Nodes=g[1-2] OverSubscribe=EXCLUSIVE MaxTime=12:00:00",
    "PartitionName=quick Nodes=n[1-2] MaxTime=30 MaxNodes=1",
    "PartitionName=closed Nodes=n[3-4] State=DOWN",
)
ALLOWED = ("DenyQos=gpu", "AllowQos=gpu,normal", "", "")
"""What each partition says of QOS, where there are any."""

SACCTMGR = (
    "add qos short set MaxWall=05:00:00 MaxJobsPerUser=20 MaxTRESPerUser=cpu=64 Flags=DenyOnLimit",
    "add qos long set MaxWall=15-00:00:00 MaxTRESPerJob=cpu=32,node=2 GrpTRES=cpu=48 GrpJobs=8 "
    "Flags=DenyOnLimit",
    "add qos gpu set MaxWall=1-00:00:00 MaxTRESPerUser=cpu=24 UsageFactor=2 Flags=DenyOnLimit",
    "add qos debug set MaxWall=30 MaxJobsPerUser=1 Flags=DenyOnLimit",
    "add qos other set MaxWall=60",
    "add account project Cluster=mini",
    "add account spare Cluster=mini",
    "add user {user} Account=project,spare",
    "modify user where name={user} account=project set qos=normal,short,long,gpu,debug",
    "modify user where name={user} set DefaultAccount=project",
)


def need(*, accounting: bool) -> None:
    """Skip where SLURM is not installed; fail there if it was promised."""
    if missing := missing_programs(accounting=accounting):
        reason = f"not installed: {', '.join(missing)} (.ci/slurm installs them)"
        if os.environ.get("CI") == "true" and os.environ.get("SOCM_REQUIRE_SLURM") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def slurm() -> Iterator[MiniSlurm]:
    """A cluster with slurmdbd and QOS, one node of it drained."""
    need(accounting=True)
    with MiniSlurm(
        nodes=NODES,
        lines=[f"{line} {qos}" for line, qos in zip(PARTITIONS, ALLOWED, strict=True)],
        settings={"AccountingStorageTRES": "gres/gpu", "EnforcePartLimits": "ALL"},
        accounting=True,
        sacctmgr=SACCTMGR,
    ) as cluster:
        # Only now does the data base know of GPUs.
        cluster.run("sacctmgr", "-i", "modify", "qos", "gpu", "set", "MaxTRESPerUser=gres/gpu=4")
        cluster.run("scontrol", "update", "NodeName=n4", "State=DRAIN", "Reason=disk State=IDLE")
        yield cluster


@pytest.fixture(scope="session")
def plain_slurm() -> Iterator[MiniSlurm]:
    """The same cluster without accounting."""
    need(accounting=False)
    with MiniSlurm(nodes=NODES, lines=PARTITIONS) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def spreading_slurm() -> Iterator[MiniSlurm]:
    """A cluster that starts each job on the node with the least load."""
    need(accounting=False)
    with MiniSlurm(
        nodes=(Nodes(prefix="s", count=4, cores=16, memory=64000),),
        lines=["PartitionName=cpu Nodes=s[1-4] Default=YES LLN=YES"],
    ) as cluster:
        yield cluster


TIGER3 = (
    "add qos test set MaxWall=01:00:00 MaxJobsPerUser=1 Flags=DenyOnLimit",
    "add qos vshort set MaxWall=05:00:00 MaxJobsPerUser=2000 Flags=DenyOnLimit",
    "add qos short set MaxWall=1-00:00:00 MaxJobsPerUser=50 Flags=DenyOnLimit",
    "add qos medium set MaxWall=3-00:00:00 MaxJobsPerUser=80 Flags=DenyOnLimit",
    "add qos long set MaxWall=6-00:00:00 MaxJobsPerUser=16 Flags=DenyOnLimit",
    "add qos vlong set MaxWall=15-00:00:00 MaxJobsPerUser=8 Flags=DenyOnLimit",
    "add account project Cluster=tiger",
    "add user {user} Account=project",
    "modify user where name={user} account=project set qos=test,vshort,short,medium,long,vlong "
    "DefaultQOS=vshort",
    "modify user where name={user} set DefaultAccount=project",
)
"""The QOS of `TIGER`."""


@pytest.fixture(scope="session")
def tiger() -> Iterator[MiniSlurm]:
    """Four nodes of tiger3: what runs is carried out on."""
    need(accounting=True)
    with MiniSlurm(
        name="tiger",
        nodes=(Nodes(count=4, cores=112, memory=1_000_000),),
        settings={"EnforcePartLimits": "ALL"},
        accounting=True,
        sacctmgr=TIGER3,
    ) as cluster:
        yield cluster


@pytest.fixture
def world(tiger: MiniSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A folder of its own on that cluster, for this process and those that it starts."""
    return world_on(tiger, tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def pair() -> Iterator[MiniSlurm]:
    """Two nodes, without accounting: what is over is soon forgotten."""
    need(accounting=False)
    with MiniSlurm(nodes=(Nodes(count=2, cores=16, memory=60000),)) as cluster:
        yield cluster


@pytest.fixture
def inside(pair: MiniSlurm, tmp_path: Path) -> Iterator[Inside]:
    pair.wait_until_idle()
    world = Inside(pair, tmp_path)
    yield world
    pair.run("scancel", *(job for job in world.jobs if not world.over(job)), check=False)
    pair.wait_until_idle()
