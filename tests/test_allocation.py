"""A campaign in allocations: what is planned is within them, and nothing cheaper was overlooked."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import LONG, SHORT, clusters, pairs, share
from test_cli import socm

from sim.backend import SimBackend
from sim.montecarlo import simulate
from socm.engine.driver import run_plan
from socm.errors import ConfigError, Infeasible, InvalidPlan
from socm.model.allocation import Allocation
from socm.model.campaign import Budget, Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster, Partition, Qos
from socm.model.document import plan_document, read_plan
from socm.model.plan import Placement, Plan, Reservation
from socm.planner import plan_campaign
from socm.planner.sizing.allocation import plan_allocation


def allocated(pair: tuple[Campaign, Cluster], deadline: int | None = None) -> Plan:
    """The plan of a campaign in allocations; none is no example."""
    try:
        return plan_allocation(replace(pair[0], deadline=deadline), pair[1], plan_campaign)
    except Infeasible:
        assume(False)
        raise


def faults(plan: Plan) -> list[str]:
    """Say what is wrong with a plan of allocations, without the code that plans use."""
    campaign, cluster, found = plan.campaign, plan.cluster, []
    if sorted(w.name for w in plan.workflows) != sorted(campaign.workflows):
        return ["not each workflow once"]
    if any(b.start < a.start for a, b in pairwise(plan.workflows)):
        found.append("not in the order of their starts")
    if any(b.start < a.finish for a, b in pairwise(plan.allocations)):
        found.append("allocations overlap")
    for a in plan.allocations:
        p, q = cluster.by_partition[a.partition], cluster.by_qos[a.qos or ""]
        cores = a.nodes * p.cores
        for have, limit in (
            (a.nodes, p.nodes),
            (a.nodes, q.nodes_per_job),
            (a.nodes, campaign.budget.nodes),
            (cores, q.cores_per_job),
            (cores, q.cores),
            (cores, campaign.budget.cores),
            (a.walltime, q.walltime),
            (a.walltime, p.walltime),
            (a.finish - a.start, a.walltime),
        ):
            if limit is not None and have > limit:
                found.append(f"{a} has {have} of {limit}")
        if q.partitions and p.name not in q.partitions:
            found.append(f"{q.name} may not be used on {p.name}")
        if q.debug and any(w.request.qos != q.name for w in campaign.workflows.values()):
            found.append(f"{q.name} is not named")
    used: dict[tuple[int, int, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    for w in plan.workflows:
        request = campaign.workflows[w.name].request
        within = [k for k, a in enumerate(plan.allocations) if a.start <= w.start < a.finish]
        if len(within) != 1 or w.finish > plan.allocations[within[0]].finish:
            found.append(f"{w.name} is not within one allocation")
            continue
        a = plan.allocations[within[0]]
        p = cluster.by_partition[a.partition]
        if (
            (w.partition, w.qos) != (a.partition, a.qos)
            or request.partition not in (None, a.partition)
            or w.finish - w.start != math.ceil(request.runtime / p.speed)
            or w.threads != request.cores(p.threads_per_core)
            or w.cores != w.threads * request.ranks
            or w.exclusive
            or sum(x.ranks for x in w.placements) != request.ranks
            or any(x.ranks < 1 or not 0 <= x.node < a.nodes for x in w.placements)
            or {x.partition for x in w.placements} != {a.partition}
            or len({x.node for x in w.placements}) < len(w.placements)
            or not w.finish - w.start <= w.walltime <= a.start + a.walltime - w.start
            or w.walltime > (request.walltime or w.walltime)
        ):
            found.append(f"{w.name} is not what was asked for")
        found += [
            f"{w.name} starts before {parent} ends"
            for parent in campaign.workflows[w.name].depends
            if plan.by_name[parent].finish > w.start
        ]
        for x in w.placements:
            for second in range(w.start, w.finish):
                load = used[within[0], x.node, second]
                load[0] += x.ranks * w.threads
                load[1] += math.ceil(x.ranks * request.memory / request.ranks)
                load[2] += x.ranks * request.gpus
    for (k, node, second), load in used.items():
        p = cluster.by_partition[plan.allocations[k].partition]
        if any(u > h for u, h in zip(load, (p.cores, p.memory, p.gpus), strict=True)):
            found.append(f"{load} on node {node} of allocation {k} at {second}")
    return found


@given(pairs(LONG, most=12), st.one_of(st.none(), st.integers(1, 4000)))
def test_a_plan_in_allocations_is_sound_in_every_second(
    pair: tuple[Campaign, Cluster], deadline: int | None
) -> None:
    plan = allocated(pair, deadline)
    assert faults(plan) == []
    plan.check()
    assert plan.makespan >= plan.lower_bound > 0
    assert plan.peak_nodes == max(a.nodes for a in plan.allocations)
    nodes = [(a, plan.cluster.by_partition[a.partition]) for a in plan.allocations]
    seconds = [a.nodes * (a.finish - a.start) for a, _ in nodes]
    assert plan.node_hours * 3600 == pytest.approx(sum(seconds))
    cores = [s * p.cores for s, (_, p) in zip(seconds, nodes, strict=True)]
    assert plan.core_hours * 3600 == pytest.approx(sum(cores))


@share(0.5)
@given(pairs(LONG, most=12), st.one_of(st.none(), st.integers(1, 4000)))
def test_walltimes_have_their_margin_unless_one_workflow_leaves_none(
    pair: tuple[Campaign, Cluster], deadline: int | None
) -> None:
    plan = allocated(pair, deadline)
    for number, a in enumerate(plan.allocations, 1):
        p, q = plan.cluster.by_partition[a.partition], plan.cluster.by_qos[a.qos or ""]
        limit = min(x for x in (p.walltime, q.walltime, math.inf) if x)
        assert a.walltime == min(limit, math.ceil(1.5 * a.duration / 60) * 60)
        told = any(w.startswith(f"allocation {number}: walltime capped") for w in plan.warnings)
        assert told == (a.walltime < 1.5 * a.duration)


@st.composite
def charging(draw: st.DrawFn) -> Cluster:
    """A cluster whose tiers cost different amounts."""
    cluster = draw(clusters())
    charges = st.sampled_from([0.0, 0.5, 1.0, 1.0, 2.0])
    return replace(cluster, qos=tuple(replace(q, charge=draw(charges)) for q in cluster.qos))


@share(0.6)
@given(pairs(SHORT, most=8, cluster=charging()), st.integers(1, 80))
def test_no_allocation_that_makes_the_deadline_is_charged_less(
    pair: tuple[Campaign, Cluster], deadline: int
) -> None:
    """All partitions, QOS and numbers of nodes are tried one after the other."""
    plan = allocated(pair, deadline)
    campaign, cluster = pair
    best = math.inf
    for partition, qos in cluster.pairs():
        for nodes in range(1, partition.nodes + 1):
            inside = replace(partition, nodes=nodes, exclusive=False, walltime=None)
            bare = Cluster(name="inside", partitions=(inside,))
            steps = [
                replace(w, request=replace(w.request, partition=None, qos=None))
                for w in campaign.workflows.values()
            ]
            requests = [w.request for w in campaign.workflows.values()]
            limit = min(x for x in (partition.walltime, qos.walltime, math.inf) if x)
            cores = nodes * partition.cores
            if (
                any(not bare.admit(w.request)[0] for w in steps)
                or any(r.partition not in (None, partition.name) for r in requests)
                or (qos.debug and any(r.qos != qos.name for r in requests))
                or nodes > min(qos.nodes_per_job or nodes, campaign.budget.nodes or nodes)
                or cores > min(qos.cores_per_job or cores, qos.cores or cores)
                or cores > (campaign.budget.cores or cores)
            ):
                continue
            made = plan_campaign(Campaign.of("inside", steps), bare)
            if made.makespan <= deadline and 1.5 * made.makespan <= limit:
                best = min(best, cores * made.makespan * qos.charge / 3600)
    if best < math.inf:
        assert plan.feasible
        assert len(plan.allocations) == 1
        assert plan.charged_core_hours == pytest.approx(best)


@share(0.5)
@given(pairs(LONG, most=10), st.one_of(st.none(), st.integers(1, 4000)))
def test_a_plan_in_allocations_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    pair: tuple[Campaign, Cluster],
    deadline: int | None,
) -> None:
    plan = allocated(pair, deadline)
    path = tmp_path_factory.mktemp("plans") / "plan.json"
    path.write_text(json.dumps(plan_document(plan)), encoding="utf-8")
    assert plan_document(read_plan(path)) == plan_document(plan)
    assert read_plan(path).allocations == plan.allocations


# Every way to spoil one

HOUR = 3600
CLUSTER = Cluster(
    name="two",
    partitions=(
        Partition(name="cpu", nodes=6, cores=8, memory=800, exclusive=True),
        Partition(name="old", nodes=6, cores=8, memory=800, speed=0.5),
    ),
    qos=(
        Qos(name="short", walltime=3 * HOUR, nodes_per_job=4, partitions=("cpu",)),
        Qos(name="wide", walltime=3 * HOUR, cores=40, charge=2.0),
        Qos(name="try", walltime=9 * HOUR, debug=True),
    ),
)


def work(name: str, *depends: str, **changes: Any) -> Workflow:
    request = ResourceRequest(**{"ranks": 8, "memory": 400, "runtime": HOUR, **changes})
    return Workflow(name=name, request=request, depends=depends)


CAMPAIGN = Campaign.of(
    "spoilt",
    [work("a"), work("b"), work("c", "a", "b"), work("d", "c"), work("e", "d", walltime=4000)],
    budget=Budget(cores=40, nodes=5),
    deadline=4 * HOUR,
)
PLAN = plan_allocation(CAMPAIGN, CLUSTER, plan_campaign)


def test_the_plan_that_is_spoilt_below_is_cut_in_two() -> None:
    """A chain of four hours, in jobs of three hours: of which two are planned for."""
    PLAN.check()
    assert faults(PLAN) == []
    assert PLAN.allocations == (
        Allocation(
            partition="cpu", qos="short", nodes=2, start=0, finish=2 * HOUR, walltime=3 * HOUR
        ),
        Allocation(
            partition="cpu",
            qos="short",
            nodes=2,
            start=2 * HOUR,
            finish=4 * HOUR,
            walltime=3 * HOUR,
        ),
    )
    assert PLAN.feasible
    assert PLAN.node_hours == 8
    assert PLAN.by_name["e"].walltime == 4000
    assert PLAN.critical_path[-3:] == ("c", "d", "e")


def allocation(number: int, **changes: Any) -> Plan:
    """The plan with one of its allocations changed."""
    allocations = [*PLAN.allocations]
    allocations[number - 1] = replace(allocations[number - 1], **changes)
    return replace(PLAN, allocations=tuple(allocations), lower_bound=0)


def step(name: str, /, **changes: Any) -> Plan:
    """The plan with one of its workflows changed."""
    workflows = [replace(w, **changes) if w.name == name else w for w in PLAN.workflows]
    return replace(PLAN, workflows=tuple(workflows), lower_bound=0)


def budget(**changes: int) -> Plan:
    return replace(PLAN, campaign=replace(CAMPAIGN, budget=Budget(**changes)))


def naming(name: str, /, **changes: Any) -> Plan:
    """The plan of a campaign that asks for something else."""
    workflow = CAMPAIGN.workflows[name]
    workflow = replace(workflow, request=replace(workflow.request, **changes))
    campaign = replace(CAMPAIGN, workflows={**CAMPAIGN.workflows, name: workflow})
    return replace(PLAN, campaign=campaign)


@pytest.mark.parametrize(
    ("plan", "complaint"),
    [
        (
            step("d", start=HOUR + 1, finish=2 * HOUR + 1),
            "d: runs from 3601 s to 7201 s, within no",
        ),
        (step("e", start=4 * HOUR, finish=5 * HOUR), "e: runs from 14400 s to 18000 s, within no"),
        (step("a", placements=(Placement("cpu", 2, 8),)), "a: there is no node 2 in an allocation"),
        (step("a", placements=(Placement("old", 0, 8),)), "a: there is no node 0"),
        (step("a", placements=(Placement("cpu", 0, 4), Placement("cpu", 0, 4))), "listed twice"),
        (step("a", placements=(Placement("cpu", 0, 7),)), "a: ranks is 7, not 8"),
        (step("a", placements=(Placement("cpu", 1, 8),)), "cpu node 1: 16 cores"),
        (step("a", qos="wide"), "a: is on cpu with QOS wide, its allocation on cpu"),
        (step("a", partition="old"), "a: is on old with QOS short, its allocation on cpu"),
        (step("a", exclusive=True), "a: exclusive is True"),
        (step("a", fixed=True), "a: fixed is True"),
        (step("a", threads=2), "a: threads is 2"),
        (step("a", cores=4), "a: cores is 4"),
        (step("a", finish=HOUR - 1), "a: seconds is 3599"),
        (step("a", walltime=3 * HOUR + 1), "a: walltime 10801 s is not between"),
        (step("c", walltime=2 * HOUR + 1), "c: walltime 7201 s is not between 3600 s and 7200 s"),
        (step("e", walltime=4001), "e: walltime 4001 s is not between 3600 s and 4000 s"),
        (step("a", name="z"), "a: is in the campaign and not in the plan"),
        (naming("a", partition="old"), "a: names partition old, not cpu"),
        (allocation(1, nodes=1), "b: there is no node 1 in an allocation of 1"),
        (allocation(1, nodes=5), "allocation 1: has 5 nodes, QOS short gives a job 4"),
        (allocation(1, nodes=0), "allocation 1: 0 nodes"),
        (
            allocation(1, walltime=3 * HOUR + 1),
            "has 10801 seconds of walltime, the longest is 10800",
        ),
        (allocation(1, walltime=HOUR), "allocation 1: 2 nodes from 0 s to 7200 s, for 3600 s, is"),
        (allocation(1, start=-1), "allocation 1: 2 nodes from -1 s"),
        (allocation(1, finish=2 * HOUR + 1), "allocation 2: starts at 7200 s, before the one"),
        (allocation(1, qos="long"), "allocation 1: there is no cpu with QOS long"),
        (allocation(1, qos="try"), "allocation 1: QOS try must be named, and a does not"),
        (allocation(1, partition="old"), "allocation 1: there is no old with QOS short"),
        (allocation(2, start=5 * HOUR, finish=6 * HOUR), "allocation 2: no workflow runs in it"),
        (replace(PLAN, allocations=()), "a: runs from 0 s to 3600 s, within no allocation"),
        (replace(PLAN, shape="jobs"), "it has allocations, and each workflow is a job"),
        (budget(nodes=1), "allocation 1: has 2 nodes, the budget is 1"),
        (budget(cores=15), "allocation 1: has 16 cores, the budget is 15"),
        (
            replace(PLAN, reservations=(Reservation(partition="cpu", node=1, start=9, finish=10),)),
            "allocation 1: a reservation is on its nodes from 9 s to 10 s",
        ),
        (replace(PLAN, lower_bound=5 * HOUR), "below its lower bound"),
    ],
)
def test_each_way_to_spoil_a_plan_is_named(plan: Plan, complaint: str) -> None:
    with pytest.raises(InvalidPlan) as caught:
        plan.check()
    assert any(complaint in violation for violation in caught.value.violations), caught.value


@pytest.mark.parametrize(
    ("limits", "complaint"),
    [
        ({"cores": 15}, "has 16 cores, QOS short lets 15"),
        ({"cores_per_job": 15}, "has 16 cores, QOS short gives a job 15"),
        ({"nodes_per_job": 1}, "has 2 nodes, QOS short gives a job 1"),
        ({"walltime": 9000}, "has 10800 seconds of walltime, the longest is 9000"),
        ({"partitions": ("old",)}, "there is no cpu with QOS short"),
        ({"running_jobs": 1}, ""),
    ],
)
def test_the_limits_of_a_tier_hold_for_the_allocation(
    limits: dict[str, Any], complaint: str
) -> None:
    short, *others = CLUSTER.qos
    plan = replace(PLAN, cluster=replace(CLUSTER, qos=(replace(short, **limits), *others)))
    if not complaint:
        plan.check()
        return
    with pytest.raises(InvalidPlan) as caught:
        plan.check()
    assert f"allocation 1: {complaint}" in caught.value.violations


@given(st.data())
def test_check_complains_exactly_when_a_look_at_every_second_does(data: st.DataObject) -> None:
    """A plan with a few changes of any kind, some of which do no harm."""
    plan = allocated(data.draw(pairs(SHORT, most=8)), data.draw(st.integers(1, 60)))
    plan = replace(plan, lower_bound=0)
    for _ in range(data.draw(st.integers(1, 3))):
        by = data.draw(st.integers(-3, 3))
        if data.draw(st.booleans()):
            index = data.draw(st.integers(0, len(plan.allocations) - 1))
            changed = [*plan.allocations]
            what = data.draw(st.sampled_from(["nodes", "finish", "walltime"]))
            a = changed[index]
            changed[index] = replace(a, **{what: max(1, getattr(a, what) + by)})
            plan = replace(plan, allocations=tuple(changed))
        else:
            index = data.draw(st.integers(0, len(plan.workflows) - 1))
            steps = [*plan.workflows]
            w = steps[index]
            node = data.draw(st.integers(0, 4))
            place = w.placements[0]._replace(node=node)
            steps[index] = data.draw(
                st.sampled_from(
                    [
                        replace(w, start=w.start + by, finish=w.finish + by),
                        replace(w, placements=(place, *w.placements[1:])),
                        replace(w, walltime=max(1, w.walltime + by)),
                    ]
                )
            )
            plan = replace(plan, workflows=tuple(steps))
    assume(all(w.start >= 0 for w in plan.workflows))
    assume(all(a.duration > 0 and any(map(a.holds, plan.workflows)) for a in plan.allocations))
    said: object = ()
    try:
        plan.check()
    except InvalidPlan as error:
        said = error.violations
    assert bool(said) == bool(faults(plan)), (said, faults(plan))


# What is chosen, and what is refused


def test_of_allocations_that_are_charged_the_same_the_one_with_fewest_nodes_is_taken() -> None:
    cpu = Partition(name="cpu", nodes=9, cores=1, memory=1)
    six = [Workflow(name=f"w{k}", request=ResourceRequest(runtime=60)) for k in range(6)]
    cluster = Cluster(name="c", partitions=(cpu,))
    for deadline, nodes in ((360, 1), (359, 2), (180, 2), (120, 3), (60, 6)):
        plan = plan_allocation(Campaign.of("six", six, deadline=deadline), cluster, plan_campaign)
        assert plan.allocations[0].nodes == nodes, deadline


def test_without_a_deadline_or_a_hope_the_shortest_plan_is_taken() -> None:
    cpu = Partition(name="cpu", nodes=9, cores=1, memory=1)
    six = [Workflow(name=f"w{k}", request=ResourceRequest(runtime=60)) for k in range(6)]
    cluster = Cluster(name="c", partitions=(cpu,))
    for deadline in (None, 59):
        plan = plan_allocation(Campaign.of("six", six, deadline=deadline), cluster, plan_campaign)
        assert (plan.makespan, plan.allocations[0].nodes) == (60, 6)


def test_one_allocation_goes_before_two_even_if_its_walltime_is_capped() -> None:
    cpu = Partition(name="cpu", nodes=1, cores=1, memory=1, walltime=200)
    chain = Campaign.of(
        "chain",
        [
            Workflow(name="a", request=ResourceRequest(runtime=90)),
            Workflow(name="b", request=ResourceRequest(runtime=90), depends=("a",)),
        ],
    )
    plan = plan_allocation(chain, Cluster(name="c", partitions=(cpu,)), plan_campaign)
    assert [a.walltime for a in plan.allocations] == [200]
    assert plan.warnings == (
        "allocation 1: walltime capped at 0:03:20 by cpu, 1.11 × its planned length",
    )


def test_long_campaigns_are_cut_into_many_allocations() -> None:
    """Each holds as many as fit into two thirds of the walltime; nothing straddles two."""
    cpu = Partition(name="cpu", nodes=2, cores=1, memory=1, walltime=300)
    many = [Workflow(name=f"w{k}", request=ResourceRequest(runtime=60)) for k in range(60)]
    plan = plan_allocation(
        Campaign.of("many", many), Cluster(name="c", partitions=(cpu,)), plan_campaign
    )
    assert [a.duration for a in plan.allocations] == [180] * 10
    assert faults(plan) == []


@pytest.mark.parametrize(
    ("campaign", "reasons"),
    [
        (
            Campaign.of("long", [work("a", runtime=4 * HOUR)]),
            [
                "short on cpu: a takes 4:00:00, a job may last 3:00:00",
                "wide on old: a takes 8:00:00, a job may last 3:00:00",
                "try on cpu: is used only where every workflow names it",
            ],
        ),
        (
            Campaign.of("wide", [work("a", ranks=48)]),
            [
                "short on cpu: a needs 6 whole nodes, a job may have 4",
                "wide on cpu: a needs 6 whole nodes, its jobs may have 5",
            ],
        ),
        (
            replace(CAMPAIGN, workflows={"a": work("a", ranks=9)}, budget=Budget(cores=15)),
            ["short on cpu: a needs 2 whole nodes, the budget is 1"],
        ),
        (
            Campaign.of("large", [work("a", memory=8 * 801)]),
            ["short on cpu: a: one rank needs 801 MB, a node has 800"],
        ),
        (
            Campaign.of("both", [work("a", partition="cpu"), work("b", partition="old")]),
            ["short on cpu: b is for old", "wide on old: a is for cpu"],
        ),
    ],
)
def test_what_no_allocation_holds_is_refused_with_reasons(
    campaign: Campaign, reasons: list[str]
) -> None:
    with pytest.raises(Infeasible) as caught:
        plan_allocation(campaign, CLUSTER, plan_campaign)
    assert set(reasons) <= set(caught.value.reasons)


def test_a_tier_on_request_is_used_where_all_workflows_name_it() -> None:
    named = Campaign.of("named", [work("a", qos="try", runtime=4 * HOUR)])
    plan = plan_allocation(named, CLUSTER, plan_campaign)
    assert [a.qos for a in plan.allocations] == ["try"]


def test_sizes_that_were_not_tried_are_told() -> None:
    cpu = Partition(name="cpu", nodes=90, cores=2, memory=10)
    many = [
        Workflow(name=f"w{k}", request=ResourceRequest(threads=1 + k % 2, runtime=50 + 7 * k))
        for k in range(20)
    ]
    campaign = Campaign.of("many", many, deadline=1000)
    cluster = Cluster(name="c", partitions=(cpu,))
    plan = plan_allocation(campaign, cluster, plan_campaign, most_sizes=1)
    assert "sizes of allocations were not tried" in plan.warnings[-1]
    assert plan_allocation(campaign, cluster, plan_campaign).warnings == ()


# As a user meets it


def test_both_shapes_are_in_one_table(tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text(
        'name = "bench"\n[[partitions]]\nname = "cpu"\nnodes = 8\ncores-per-node = 8\n'
        'memory-per-node = 1000\n[[qos]]\nname = "day"\nwalltime = "1d"\ncharge = 2.0\n'
    )
    file = tmp_path / "c.yaml"
    file.write_text(
        "campaign: {deadline: 3h, resource: bench.toml}\nstages:\n"
        '  a: {executable: "true", resources: {threads: 8, runtime: 1h}}\n'
        '  b: {executable: "true", resources: {threads: 4, runtime: 1h}}\n'
        '  c: {executable: "true", depends: [a, b], resources: {threads: 8, runtime: 1h}}\n'
    )
    for shape in ("jobs", "allocation"):
        done = socm("plan", file, "--shape", shape)
        assert done.returncode == 0, done.stderr
        lines = [line.split() for line in done.stdout.splitlines()]
        assert ["jobs", "2:00:00", "1", "h", "2", "3", "2.5", "20", "40", "day"] in lines
        assert ["allocation", "3:00:00", "0", "s", "1", "1", "3.0", "24", "48", "day"] in lines
    assert "1 whole node of cpu in day for 4:30:00; used from 0:00:00 to" in done.stdout
    assert "3.0, of which 83% are used" in done.stdout
    output = tmp_path / "plan.json"
    done = socm("plan", file, "--shape", "allocation", "--json", "--output", output)
    document = json.loads(done.stdout)
    assert document["shape"] == "allocation"
    assert document["allocations"][0] == {
        "partition": "cpu", "qos": "day", "nodes": 1, "start_s": 0, "finish_s": 3 * HOUR,
        "walltime_s": 4 * HOUR + 1800,
    }  # fmt: skip
    assert [row["node_hours"] for row in document["shapes"]] == [2.5, 3]
    assert [row["jobs"] for row in document["shapes"]] == [3, 1]
    for verb in (["simulate"], ["run", "--executor", "slurm", "--dry-run"]):
        done = socm(*verb, output)
        assert done.returncode == 2
        assert "a plan of shape 'allocation' can be planned, not carried out" in done.stderr
        assert "--shape jobs" in done.stderr
    assert not (tmp_path / "socm-runs").exists()


def test_a_shape_without_a_plan_is_a_row_of_the_other(tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text(
        'name = "bench"\n[[partitions]]\nname = "a"\nnodes = 1\ncores-per-node = 8\n'
        'memory-per-node = 10\n[[partitions]]\nname = "b"\nnodes = 1\ncores-per-node = 1\n'
        "memory-per-node = 1000\n"
    )
    file = tmp_path / "c.yaml"
    file.write_text(
        "campaign: {resource: bench.toml}\nstages:\n"
        '  a: {executable: "true", resources: {threads: 8, memory: 1, runtime: 1h}}\n'
        '  b: {executable: "true", resources: {threads: 1, memory: 500, runtime: 1h}}\n'
    )
    done = socm("plan", file, "--shape", "jobs")
    assert done.returncode == 0
    assert "allocation   no plan" in done.stdout
    rows = json.loads(socm("plan", file, "--shape", "jobs", "--json").stdout)["shapes"]
    assert any("one rank needs" in reason for reason in rows[1]["reasons"])
    done = socm("plan", file, "--shape", "allocation")
    assert done.returncode == 3
    assert "no allocation on bench holds c" in done.stderr
    done = socm("plan", file, "--shape", "allocation", "--minimize", "nodes")
    assert done.returncode == 2
    assert "leave --minimize out" in done.stderr


def test_neither_world_carries_out_steps() -> None:
    with pytest.raises(ConfigError, match="can be planned, not carried out"):
        simulate(PLAN)
    with pytest.raises(ConfigError, match="--shape jobs"):
        run_plan(PLAN, SimBackend.for_plan(PLAN, lambda job: 1.0))
