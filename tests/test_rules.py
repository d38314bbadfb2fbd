"""Rules of a SLURM that a cluster file says: the plan, its proof and the emulator keep each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from strategies import exact, simulate

from socm.config import load_campaign, load_cluster
from socm.errors import InvalidPlan
from socm.model.campaign import Campaign, ResourceRequest, Workflow
from socm.model.check import check_plan
from socm.model.cluster import Cluster
from socm.planner import plan_campaign

FILE = """
name = "mini"
[[partitions]]
name = "cpu"
nodes = 1
cores-per-node = 16
memory-per-node = 64000
"""


def cluster(tmp_path: Path, more: str = "", text: str = FILE) -> Cluster:
    path = tmp_path / "mini.toml"
    path.write_text(text + more)
    return load_cluster(str(path))


def jobs(number: int, **request: int) -> Campaign:
    asked = ResourceRequest(**{"runtime": 600, **request})  # type: ignore[arg-type]
    return Campaign.of("c", [Workflow(name=f"w{k}", request=asked) for k in range(number)])


# Memory for each core


def test_cores_that_memory_takes_are_planned_proved_and_emulated(tmp_path: Path) -> None:
    place = cluster(tmp_path, "memory-per-core = 4000")
    plan = plan_campaign(jobs(3, memory=20480), place)
    assert [(w.threads, w.cores, w.start) for w in plan.workflows] == [
        (6, 6, 0), (6, 6, 0), (6, 6, 600),
    ]  # fmt: skip
    assert plan.core_hours == 3.0
    assert any("w0, w1 and w2: more cores than asked for" in told for told in plan.warnings)
    assert [r.job.cores for r in simulate(plan, exact(plan)).ran] == [6, 6, 6]
    without = plan_campaign(jobs(3, memory=20480), cluster(tmp_path))
    assert [w.start for w in without.workflows] == [0, 0, 0]
    assert without.warnings == ()
    with pytest.raises(InvalidPlan, match="w0: has 1 cores for each rank, and 4000 MB for each"):
        check_plan(replace(without, cluster=place))


def test_without_a_word_of_memory_a_job_has_what_its_cores_have_by_default(tmp_path: Path) -> None:
    text = "campaign: {name: c, resource: mini.toml}\n"
    text += "stages: {a: {executable: 'true', resources: {threads: 3, ranks: 2, runtime: 1m}}}\n"
    (tmp_path / "c.yaml").write_text(text)
    for more, memory in (("", 24000), ("default-memory-per-core = 1000", 6000)):
        cluster(tmp_path, more)
        resolved = load_campaign(tmp_path / "c.yaml")
        assert resolved.campaign.workflows["a"].request.memory == memory
