"""Rules of a SLURM that a cluster file says: the plan, its proof and the emulator keep each."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from strategies import exact, excesses, peak, simulate

from sim.backend import SimBackend
from socm.config import load_campaign, load_cluster
from socm.engine.attempts import first_attempts
from socm.engine.events import Retrying
from socm.engine.release import eager
from socm.errors import ConfigError, Infeasible, InvalidPlan, SubmitError
from socm.model.campaign import Campaign, ResourceRequest, Workflow
from socm.model.check import check_plan
from socm.model.cluster import Cluster
from socm.model.document import plan_document, read_plan
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


def jobs(number: int, **request: object) -> Campaign:
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


# Limits of partitions and of all jobs, and jobs that may be submitted


QOS = """
[[qos]]
name = "short"
running-jobs = 3
submit-jobs = 4
[[qos]]
name = "over"
running-jobs = 3
over-partition-limits = true
"""


@pytest.mark.parametrize(
    ("partition", "of_all", "qos", "at_once"),
    [
        ("", "", "short", 3),
        ("limits = { running-jobs = 2 }", "", "short", 2),
        ("limits = { running-jobs = 4 }", "", "short", 4),  # it counts before the QOS
        ("limits = { running-jobs = 5 }", "", "short", 4),  # as many may be submitted
        ("limits = { running-jobs = 2 }", "", "over", 3),
        ("limits = { submit-jobs = 2 }", "", "over", 2),  # of which the QOS says nothing
        ("", "limits = { running-jobs = 1, submit-jobs = 2 }", "over", 2),
        ("limits = { cores = 2 }", "limits = { cores = 1 }", "short", 2),
        ("", "limits = { cores = 1 }", "short", 1),
    ],
)
def test_limits_count_from_the_partition_to_the_qos_to_all_jobs(
    tmp_path: Path, partition: str, of_all: str, qos: str, at_once: int
) -> None:
    text = FILE.replace("[[partitions]]", f"{of_all}\n[[partitions]]")
    place = cluster(tmp_path, f"{partition}\n{QOS}", text)
    plan = plan_campaign(jobs(12, memory=1, qos=qos), place)
    assert Counter(w.start for w in plan.workflows) == {
        600 * k: min(at_once, 12 - at_once * k) for k in range(-(-12 // at_once))
    }
    assert plan.optimal
    world = simulate(plan, exact(plan))
    assert [*excesses(world)] == []
    assert max(r.end for r in world.ran) == plan.makespan
    free = plan_campaign(jobs(12, memory=1), cluster(tmp_path))
    moved = [replace(w, qos=qos) for w in free.workflows]
    with pytest.raises(InvalidPlan, match="at once"):
        check_plan(replace(free, campaign=plan.campaign, cluster=place, workflows=tuple(moved)))


def test_no_more_jobs_are_submitted_than_may_be(tmp_path: Path) -> None:
    """The emulator refuses one more, as SLURM does; none is, and all are done."""
    place = cluster(tmp_path, "limits = { submit-jobs = 4 }")
    plan = plan_campaign(jobs(9, memory=1), place)
    world = simulate(plan, exact(plan), eager)
    assert [type(e).__name__ for e in world.events if isinstance(e, Retrying)] == []
    assert peak((r.submitted, r.end, 1) for r in world.ran) == 4
    backend = SimBackend.for_plan(plan, exact(plan))
    for job in [*first_attempts(plan)][:4]:
        backend.submit(job)
    with pytest.raises(SubmitError, match="as many jobs as may be submitted") as refused:
        backend.submit([*first_attempts(plan)][4])
    assert refused.value.transient


@pytest.mark.parametrize(
    ("key", "ranks", "reason"),
    [
        ("nodes-per-job = 1", 17, "needs 2 nodes, a job may have 1"),
        ("least-nodes-per-job = 2", 16, "runs on 1 node, a job there has at least 2"),
        ("limits = { nodes-per-job = 1 }", 17, "needs 2 nodes, a job may have 1"),
        ("limits = { cores-per-job = 8 }", 9, "needs 9 cores, a job may have 8"),
    ],
)
def test_the_size_of_a_job_is_limited_by_its_partition(
    tmp_path: Path, key: str, ranks: int, reason: str
) -> None:
    place = cluster(tmp_path, key, FILE.replace("nodes = 1", "nodes = 3"))
    campaign = jobs(1, memory=1, ranks=ranks)
    with pytest.raises(Infeasible) as caught:
        plan_campaign(campaign, place)
    assert reason in str(caught.value.reasons)
    free = plan_campaign(campaign, cluster(tmp_path, "", FILE.replace("nodes = 1", "nodes = 3")))
    with pytest.raises(InvalidPlan):
        check_plan(replace(free, cluster=place))
    with pytest.raises(SubmitError):
        SimBackend(place, lambda _: 1.0).submit(next(first_attempts(free)))


def test_a_job_has_no_more_nodes_at_least_than_at_most(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a job has at least 2 nodes, and at most 1"):
        cluster(tmp_path, "least-nodes-per-job = 2")


# Partitions that share nodes


SHARED = (
    FILE.replace("nodes = 1", "nodes = 4")
    + """
[[partitions]]
name = "quick"
nodes-of = "cpu"
first-node = 3
nodes = 2
cores-per-node = 16
memory-per-node = 64000
walltime = "1h"
"""
)
"""Four nodes and two; one of them is in both partitions."""


def test_a_node_of_two_partitions_is_used_once(tmp_path: Path) -> None:
    place = cluster(tmp_path, text=SHARED)
    assert [p.nodes for p in place.distinct] == [5]
    wide = jobs(3, ranks=2, threads=16, memory=1)
    plan = plan_campaign(wide, place)
    assert Counter(w.start for w in plan.workflows) == {0: 2, 600: 1}
    assert plan.optimal
    assert plan.peak_nodes == 4
    assert {n for w in plan.workflows for n in w.nodes} <= {("cpu", k) for k in range(5)}
    world = simulate(plan, exact(plan))
    assert [*excesses(world)] == []
    assert max(r.end for r in world.ran) == 1200
    apart = cluster(tmp_path, text=SHARED.replace('nodes-of = "cpu"', ""))
    assert plan_campaign(wide, apart).makespan == 600
    twice = [replace(w, start=0, finish=600, placements=w.placements) for w in plan.workflows]
    with pytest.raises(InvalidPlan, match="cpu node"):
        check_plan(replace(plan, workflows=tuple(twice)))


def test_nodes_that_are_shared_are_the_same_nodes(tmp_path: Path) -> None:
    first, others = SHARED.split('name = "quick"')
    smaller = others.replace("memory-per-node = 64000", "memory-per-node = 32000")
    with pytest.raises(ConfigError, match="'quick': other partitions have other nodes of 'cpu'"):
        cluster(tmp_path, text=f'{first}name = "quick"{smaller}')


def test_a_plan_in_shared_partitions_is_read_as_it_was_written(tmp_path: Path) -> None:
    plan = plan_campaign(jobs(9, ranks=2, threads=16, memory=1), cluster(tmp_path, text=SHARED))
    (tmp_path / "plan.json").write_text(json.dumps(plan_document(plan)))
    assert read_plan(tmp_path / "plan.json") == plan
