"""Maintenance: no job is planned, or started, that could still run when it begins."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from builders import job
from hypothesis import given
from hypothesis import strategies as st
from strategies import SHORT, exact, faults, noisy, pairs, share, simulate
from test_cli import socm

from sim.montecarlo import simulate as simulated
from socm.cli.intake import with_maintenance
from socm.config.cluster import load_cluster
from socm.engine.release import eager
from socm.errors import ConfigError, InvalidPlan
from socm.exchange.cluster_file import cluster_toml
from socm.model.campaign import Campaign
from socm.model.check import check_plan
from socm.model.cluster import Cluster
from socm.model.document import plan_document, read_plan
from socm.model.maintenance import Maintenance
from socm.model.partition import Partition
from socm.model.placement import Reservation
from socm.model.plan import Plan
from socm.planner import plan_campaign
from socm.planner.compiled.arrays import arrays_of
from socm.planner.instance import instance_of, modes_of
from socm.report.gantt import gantt
from socm.report.verdict import plan_facts

CPU = Partition(name="cpu", nodes=2, cores=8, memory=1000)
CLUSTER = Cluster(name="c", partitions=(CPU,))
NOON = datetime(2026, 12, 8, 12, tzinfo=UTC)


def closed(start: int, finish: int, node: int | None = None) -> Reservation:
    return Reservation(partition="cpu", node=node, start=start, finish=finish, maintenance=True)


def planned(*windows: Reservation, minutes: tuple[int, ...] = (10,), **request: Any) -> Plan:
    jobs = [
        job(f"w{k}", minutes=m, **{"threads": 8, "walltime": 60 * 2 * m, **request})
        for k, m in enumerate(minutes)
    ]
    return plan_campaign(Campaign.of("c", jobs), CLUSTER, reservations=windows)


@pytest.mark.parametrize(("begins", "start"), [(1200, 0), (1199, 5000), (600, 5000), (0, 5000)])
def test_a_job_starts_only_if_its_walltime_ends_before(begins: int, start: int) -> None:
    assert planned(closed(begins, 5000)).by_name["w0"].start == start


def test_a_job_on_other_nodes_does_not_wait() -> None:
    plan = planned(closed(100, 5000, node=0))
    [w] = plan.workflows
    assert (w.start, w.placements[0].node) == (0, 1)


def test_a_shorter_one_is_placed_before() -> None:
    plan = planned(closed(700, 5000, node=0), closed(700, 5000, node=1), minutes=(10, 5))
    assert plan.by_name["w1"].start == 0
    assert plan.by_name["w0"].start == 5000


def test_the_check_finds_a_job_that_could_still_run_then() -> None:
    plan = planned()
    late = replace(plan, reservations=(closed(900, 1000),))
    with pytest.raises(InvalidPlan) as caught:
        check_plan(late)
    assert caught.value.violations == (
        "w0: may run until 1200 s, and its nodes are under maintenance from 900 s to 1000 s",
    )
    check_plan(replace(plan, reservations=(closed(1200, 1300),)))


def test_what_runs_already_when_it_is_planned_stays() -> None:
    fixed = [replace(planned().by_name["w0"], fixed=True)]
    jobs = [job("w0", threads=8, walltime=1200)]
    plan = plan_campaign(
        Campaign.of("c", jobs), CLUSTER, start=10, reservations=[closed(900, 1000)], fixed=fixed
    )
    check_plan(plan)


@st.composite
def windows(draw: st.DrawFn, cluster: Cluster) -> tuple[Reservation, ...]:
    return tuple(
        Reservation(
            partition=partition.name,
            node=draw(st.none() | st.sampled_from(partition.numbers)),
            start=(start := draw(st.integers(0, 60))),
            finish=start + draw(st.integers(1, 60)),
            maintenance=True,
        )
        for partition in cluster.partitions
        if draw(st.booleans())
    )


def overlaps(r: Reservation, partition: str, nodes: set[int], start: float, end: float) -> bool:
    mine = r.partition == partition and (r.node is None or r.node in nodes)
    return mine and start < r.finish and r.start < end


@share(0.5)
@given(pairs(SHORT, most=8), st.data())
def test_no_job_is_planned_or_started_whose_walltime_reaches_into_it(
    pair: tuple[Campaign, Cluster], data: st.DataObject
) -> None:
    plan = plan_campaign(*pair, reservations=data.draw(windows(pair[1])))
    assert not faults(plan)
    for r in plan.reservations:
        for w in plan.workflows:
            nodes = {p.node for p in w.placements}
            assert not overlaps(r, w.partition, nodes, w.start, w.start + w.walltime)
    world = simulate(plan, exact(plan))
    for name, start in world.first_start.items():
        assert start <= plan.by_name[name].start
    loose = simulate(plan, noisy(plan, 0), eager)
    for r in plan.reservations:
        for ran in (*world.ran, *loose.ran):
            nodes = {node for _, node, _ in ran.nodes}
            limit = ran.start + ran.job.walltime
            assert not overlaps(r, ran.job.partition, nodes, ran.start, limit)


def test_compiled_code_leaves_it_to_the_plain_scheme() -> None:
    campaign = planned().campaign
    modes = modes_of(campaign, CLUSTER)
    assert arrays_of(instance_of(campaign, CLUSTER, modes)) is not None
    window = [closed(1, 2)]
    assert arrays_of(instance_of(campaign, CLUSTER, modes, reservations=window)) is None


def under_maintenance(start: datetime, hours: int, **more: Any) -> Cluster:
    end = start + timedelta(hours=hours)
    window = Maintenance(start=start.isoformat(), end=end.isoformat(), **more)
    return replace(CLUSTER, maintenance=(window,))


def test_dates_become_seconds_of_the_campaign() -> None:
    cluster = under_maintenance(NOON, 4)
    assert [*cluster.closed(NOON - timedelta(hours=1))] == [closed(3600, 5 * 3600)]
    assert [*cluster.closed(NOON + timedelta(hours=1))] == [closed(0, 3 * 3600)]
    assert [*cluster.closed(NOON + timedelta(hours=4))] == []


def test_of_some_nodes_it_is_of_the_last() -> None:
    cluster = under_maintenance(NOON, 4, nodes=1)
    assert [*cluster.closed(NOON)] == [closed(0, 4 * 3600, node=1)]
    assert [*under_maintenance(NOON, 4, partitions=("gpu",)).closed(NOON)] == []


FILE = """
name = "c"
[[partitions]]
name = "cpu"
nodes = 2
cores-per-node = 8
memory-per-node = 1000
[[maintenance]]
START
partitions = ["cpu"]
"""


@pytest.mark.parametrize(
    "dates",
    [
        "start = 2026-12-08T06:00:00-05:00\nend = 2026-12-08T10:00:00-05:00",
        "start = '2026-12-08 06:00 America/New_York'\nend = '2026-12-08 15:00Z'",
    ],
)
def test_a_cluster_file_has_dates_with_a_zone(dates: str, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(FILE.replace("START", dates))
    cluster = load_cluster(str(file))
    begin = datetime(2026, 12, 8, 10, tzinfo=UTC)
    assert [*cluster.closed(begin)] == [closed(3600, 5 * 3600)]
    file.write_text(cluster_toml(cluster))
    assert load_cluster(str(file)) == cluster


@pytest.mark.parametrize(
    ("dates", "message"),
    [
        ("start = 2026-12-08T06:00:00\nend = 2026-12-08T10:00:00Z", "does not say its zone"),
        ("start = 'Tuesday'\nend = 2026-12-08T10:00:00Z", "is not a date"),
        ("start = 2026-12-08T10:00:00Z\nend = 2026-12-08T10:00:00Z", "not after its start"),
        ("start = 2026-12-08T10:00:00Z", "lacks 'end'"),
        (
            "start = 2026-12-08T06:00:00Z\nend = 2026-12-08T10:00:00Z\nnodes = 0",
            "greater than or equal to 1",
        ),
    ],
)
def test_what_is_no_time_is_refused(dates: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(FILE.replace("START", dates))
    with pytest.raises(ConfigError, match=message):
        load_cluster(str(file))


def test_a_partition_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    dates = "start = 2026-12-08T06:00:00Z\nend = 2026-12-08T10:00:00Z"
    file.write_text(FILE.replace("START", dates).replace('["cpu"]', '["cpus"]'))
    with pytest.raises(ConfigError) as caught:
        load_cluster(str(file))
    [problem] = caught.value.problems
    assert problem.hint == "did you mean 'cpu'?"


def test_the_command_line_takes_it_too() -> None:
    given_twice = [
        "2026-12-08T06:00Z/2026-12-08T07:00Z",
        "2026-12-08 06:00 America/New_York/2026-12-08 10:00 America/New_York",
    ]
    cluster = with_maintenance(CLUSTER, given_twice)
    assert [m.start for m in cluster.maintenance] == [
        "2026-12-08T06:00Z",
        "2026-12-08 06:00 America/New_York",
    ]
    with pytest.raises(ConfigError, match="is not a date"):
        with_maintenance(CLUSTER, ["2026-12-08T06:00Z"])


def test_facts_and_chart_show_it() -> None:
    plan = planned(closed(3600, 7200), minutes=(10, 50))
    assert ("maintenance", "1:00:00 to 2:00:00: all nodes") in [*plan_facts(plan)]
    some = planned(closed(3600, 7200, node=1))
    assert ("maintenance", "1:00:00 to 2:00:00: cpu, 1 node") in [*plan_facts(some)]
    both = planned(closed(3600, 7200), closed(9000, 9600, node=1))
    told = [text for _, text in plan_facts(both) if ":00: " in text]
    assert told == ["1:00:00 to 2:00:00: all nodes", "2:30:00 to 2:40:00: cpu, 1 node"]
    chart = str(gantt(simulated(plan, replications=0)))
    assert "maintenance" in chart
    assert "░" in chart


YAML = """
campaign: {resource: ./c.toml}
stages:
  a: {executable: x, resources: {threads: 8, memory: 100, runtime: 1h}}
"""


def test_a_plan_file_is_held_to_it_from_the_moment_that_it_is_read(tmp_path: Path) -> None:
    """The plan was made ten hours before the maintenance, and is read an hour before."""
    now = datetime.now(UTC)
    (tmp_path / "c.toml").write_text(
        FILE.replace(
            "START",
            f"start = {now + timedelta(hours=10):%Y-%m-%dT%H:%M:%SZ}\n"
            f"end = {now + timedelta(hours=12):%Y-%m-%dT%H:%M:%SZ}",
        )
    )
    campaign, made = tmp_path / "c.yaml", tmp_path / "plan.json"
    campaign.write_text(YAML)
    assert socm("plan", campaign, "--output", made).returncode == 0
    again = socm("plan", made)
    assert again.returncode == 0
    assert "maintenance" in again.stdout
    document = json.loads(made.read_text())
    [window] = document["cluster"]["maintenance"]
    window["start"] = (now + timedelta(hours=1)).isoformat()
    made.write_text(json.dumps(document))
    late = socm("simulate", made)
    assert late.returncode == 2
    assert "was planned for an earlier start" in late.stderr


def test_a_plan_says_the_same_when_it_is_read(tmp_path: Path) -> None:
    plan = plan_campaign(
        planned().campaign, under_maintenance(NOON, 4), reservations=[closed(3600, 7200)]
    )
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan_document(plan)))
    assert read_plan(path) == plan
