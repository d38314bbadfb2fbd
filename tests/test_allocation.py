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
from strategies import (
    LONG,
    SHORT,
    clusters,
    held,
    least_walltime,
    longest_walltime,
    pairs,
    share,
    unasked,
)
from test_cli import socm

from sim.backend import SimBackend
from socm.engine.driver import run_plan
from socm.errors import Infeasible, InvalidPlan
from socm.model.allocation import Allocation, AllocationPlan
from socm.model.campaign import Budget, Campaign, ResourceRequest, Workflow
from socm.model.check import check_plan
from socm.model.cluster import Cluster
from socm.model.document import plan_document, read_plan
from socm.model.partition import Partition
from socm.model.placement import Placement, Reservation
from socm.model.qos import Qos
from socm.planner import plan_campaign
from socm.planner.sizing.allocation import plan_allocation


def allocated(pair: tuple[Campaign, Cluster], deadline: int | None = None) -> AllocationPlan:
    """The plan of a campaign in allocations; none is no example."""
    try:
        return plan_allocation(replace(pair[0], deadline=deadline), pair[1], plan_campaign)
    except Infeasible:
        assume(False)
        raise


def faults(plan: AllocationPlan) -> list[str]:
    """Say what is wrong with a plan of allocations, without the code that plans use."""
    campaign, cluster, found = plan.campaign, plan.cluster, []
    if sorted(w.name for w in plan.workflows) != sorted(campaign.workflows):
        return ["not each workflow once"]
    found += [
        f"{a} has workflows that are not in the order of their starts"
        for a in plan.allocations
        if any(y.start < x.start for x, y in pairwise(a.plan.workflows))
    ]
    if any(b.start < a.finish for a, b in pairwise(plan.allocations)):
        found.append("allocations overlap")
    for a in plan.allocations:
        p, q = cluster.by_partition[a.partition], cluster.by_qos[a.qos or ""]
        cores = a.nodes * p.cores
        has = {what: most for what, (_, most) in held(cluster, p, q).items()}
        for have, limit in (
            (a.nodes, p.nodes),
            (a.nodes, has.get("nodes_per_job")),
            (a.nodes, campaign.budget.nodes),
            (p.least_nodes_per_job, a.nodes),
            (cores, has.get("cores_per_job")),
            (cores, has.get("cores")),
            (cores, campaign.budget.cores),
            (a.walltime, longest_walltime(cluster, p, q)),
            (a.finish - a.start, a.walltime),
        ):
            if limit is not None and have > limit:
                found.append(f"{a} has {have} of {limit}")
        if q.partitions and p.name not in q.partitions:
            found.append(f"{q.name} may not be used on {p.name}")
        if any(unasked(w.request, p, q, cluster) for w in campaign.workflows.values()):
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
            or w.exclusive != request.whole_memory
            or w.cores
            != (len(w.placements) * p.cores if w.exclusive else w.threads * request.ranks)
            or sum(x.ranks for x in w.placements) != request.ranks
            or any(x.ranks < 1 or not 0 <= x.node < a.nodes for x in w.placements)
            or {x.partition for x in w.placements} != {a.partition}
            or len({x.node for x in w.placements}) < len(w.placements)
            or not w.finish - w.start <= w.walltime <= a.start + a.walltime - w.start
            or w.walltime > (request.walltime or math.ceil(1.5 * (w.finish - w.start) / 60) * 60)
        ):
            found.append(f"{w.name} is not what was asked for")
        found += [
            f"{w.name} starts before {parent} ends"
            for parent in campaign.workflows[w.name].depends
            if plan.by_name[parent].finish > w.start
        ]
        for x in w.placements:
            for second in range(w.start, w.finish):
                more = (
                    x.ranks * w.threads,
                    math.ceil(x.ranks * request.memory / request.ranks),
                    x.ranks * request.gpus,
                )
                load = used[within[0], x.node, second]
                for k, amount in enumerate((p.cores, p.memory, p.gpus) if w.exclusive else more):
                    load[k] += amount
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
    check_plan(plan)
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
        limit = longest_walltime(plan.cluster, p, q)
        usual = min(limit, math.ceil(1.5 * a.duration / 60) * 60)
        assert a.walltime == max(usual, least_walltime(p, q, plan.cluster))
        told = any(w.startswith(f"allocation {number}: walltime capped") for w in plan.warnings)
        assert told == (a.walltime < 1.5 * a.duration)


@st.composite
def charging(draw: st.DrawFn) -> Cluster:
    """A cluster whose QOS cost different amounts."""
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
            inside = replace(partition, nodes_per_job=None, least_nodes_per_job=1, limits=None)
            inside = replace(inside, nodes=nodes, exclusive=False, walltime=None)
            inside = replace(inside, debug=False, preemptible=False, memory_per_core=None)
            bare = Cluster(name="inside", partitions=(inside,))
            steps = [
                replace(w, request=replace(w.request, partition=None, qos=None))
                for w in campaign.workflows.values()
            ]
            requests = [w.request for w in campaign.workflows.values()]
            limit = longest_walltime(cluster, partition, qos)
            if least_walltime(partition, qos, cluster) > limit:
                continue
            cores = nodes * partition.cores
            has = {what: most for what, (_, most) in held(cluster, partition, qos).items()}
            if (
                any(not bare.admit(w.request)[0] for w in steps)
                or any(r.partition not in (None, partition.name) for r in requests)
                or any(unasked(r, partition, qos, cluster) for r in requests)
                or nodes < partition.least_nodes_per_job
                or nodes > min(has.get("nodes_per_job", nodes), campaign.budget.nodes or nodes)
                or cores > min(has.get("cores_per_job", cores), has.get("cores", cores))
                or cores > (campaign.budget.cores or cores)
            ):
                continue
            made = plan_campaign(Campaign.of("inside", steps, limits=campaign.limits), bare)
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
    check_plan(PLAN)
    assert faults(PLAN) == []
    for number, a in enumerate(PLAN.allocations):
        assert (a.partition, a.qos, a.nodes, a.walltime) == ("cpu", "short", 2, 3 * HOUR)
        assert (a.start, a.finish) == (2 * HOUR * number, 2 * HOUR * (number + 1))
    assert PLAN.feasible
    assert PLAN.node_hours == 8
    assert PLAN.by_name["e"].walltime == 4000
    assert PLAN.critical_chain[-3:] == ("c", "d", "e")


def test_the_plan_inside_is_one_of_its_own_from_the_start_of_the_allocation() -> None:
    first, second = (a.plan for a in PLAN.allocations)
    for plan in (first, second):
        check_plan(plan)
        assert plan.cluster.partitions[0].nodes == 2
        assert plan.campaign.budget == Budget()
        assert plan.makespan == 2 * HOUR
    assert second.by_name["d"].start == 0
    assert second.campaign.workflows["d"].depends == ()
    assert second.campaign.workflows["e"].depends == ("d",)
    backend = SimBackend.for_plan(second, lambda job: 1000.0)
    assert run_plan(second, backend).ended == 2000


def allocation(number: int, **changes: Any) -> AllocationPlan:
    """The plan with one of its allocations changed."""
    allocations = [*PLAN.allocations]
    allocations[number - 1] = replace(allocations[number - 1], **changes)
    return replace(PLAN, allocations=tuple(allocations), lower_bound=0)


def within(number: int, **changes: Any) -> AllocationPlan:
    """The plan with the plan inside one of its allocations changed."""
    return allocation(number, plan=replace(PLAN.allocations[number - 1].plan, **changes))


def resized(a: Allocation, nodes: int) -> Allocation:
    """The allocation with another number of nodes, inside and outside."""
    partition = replace(a.plan.cluster.partitions[0], nodes=nodes)
    cluster = replace(a.plan.cluster, partitions=(partition,))
    return replace(a, nodes=nodes, plan=replace(a.plan, cluster=cluster))


def step(name: str, /, **changes: Any) -> AllocationPlan:
    """The plan with one of its workflows changed; times count from the start of the allocation."""
    number = next(k for k, a in enumerate(PLAN.allocations, 1) if name in a.plan.by_name)
    workflows = PLAN.allocations[number - 1].plan.workflows
    changed = tuple(replace(w, **changes) if w.name == name else w for w in workflows)
    return within(number, workflows=changed)


def budget(**changes: int) -> AllocationPlan:
    return replace(PLAN, campaign=replace(CAMPAIGN, budget=Budget(**changes)))


def naming(name: str, /, **changes: Any) -> AllocationPlan:
    """The plan of a campaign that asks for something else."""
    workflow = CAMPAIGN.workflows[name]
    workflow = replace(workflow, request=replace(workflow.request, **changes))
    campaign = replace(CAMPAIGN, workflows={**CAMPAIGN.workflows, name: workflow})
    return replace(PLAN, campaign=campaign)


FIRST, SECOND = PLAN.allocations
TWICE = (*FIRST.plan.workflows, *(w for w in SECOND.plan.workflows if w.name == "d"))


@pytest.mark.parametrize(
    ("plan", "complaint"),
    [
        (step("d", start=1, finish=HOUR + 1), "allocation 2: e: starts at 3600 s, before d ends"),
        (step("a", placements=(Placement("cpu", 2, 8),)), "a: there is no node 2"),
        (step("a", placements=(Placement("old", 0, 8),)), "a: there is no node 0 of old"),
        (step("a", placements=(Placement("cpu", 0, 4), Placement("cpu", 0, 4))), "listed twice"),
        (step("a", placements=(Placement("cpu", 0, 7),)), "a: ranks is 7, not 8"),
        (step("a", placements=(Placement("cpu", 1, 8),)), "allocation 1: cpu node 1: 16 cores"),
        (step("a", qos="wide"), "a: cpu with QOS wide does not admit it"),
        (step("a", partition="old"), "a: old with QOS None does not admit it"),
        (step("a", exclusive=True), "a: exclusive is True"),
        (step("a", fixed=True), "a: is fixed, and no step may be"),
        (step("a", threads=2), "a: threads is 2"),
        (step("a", cores=4), "a: counts 4 cores"),
        (step("a", finish=HOUR - 1), "a: seconds is 3599"),
        (step("a", walltime=3 * HOUR + 1), "a: walltime 10801 s is not between"),
        (step("e", walltime=4001), "e: walltime 4001 s is not between 3600 s and 4000 s"),
        (allocation(1, walltime=7300), "c: may run until 9000 s after the start, the allocation"),
        (step("a", name="z"), "a: is in the campaign and not in the plan"),
        (naming("a", partition="old"), "a: names partition old, not cpu"),
        (naming("a", runtime=HOUR - 1), "its plan is not for the workflows of the campaign"),
        (within(1, workflows=TWICE), "d: is planned more than once"),
        (within(2, start=1), "allocation 2: its plan does not start with it, on all of its nodes"),
        (within(1, cluster=CLUSTER), "its plan is not for the inside of 2 nodes of cpu"),
        (
            replace(
                PLAN,
                allocations=(replace(FIRST, plan=SECOND.plan), replace(SECOND, plan=FIRST.plan)),
            ),
            "d: is in allocation 1, c, on which it depends, in allocation 2",
        ),
        (allocation(1, nodes=3), "its plan is not for the inside of 3 nodes of cpu"),
        (
            replace(PLAN, allocations=(resized(FIRST, 1), SECOND)),
            "allocation 1: b: there is no node 1",
        ),
        (allocation(1, nodes=5), "allocation 1: has 5 nodes, a job of QOS short may have 4"),
        (
            allocation(1, walltime=3 * HOUR + 1),
            "has 10801 seconds of walltime, a job of QOS short may have 10800",
        ),
        (
            allocation(1, walltime=HOUR),
            "allocation 1: its walltime is 3600 s, its workflows take 7200 s",
        ),
        (allocation(1, start=-1), "allocation 1: starts at -1 s, before the plan at 0 s"),
        (allocation(1, start=1), "allocation 2: starts at 7200 s, before the one"),
        (allocation(1, qos="long"), "allocation 1: partition cpu with QOS long does not exist"),
        (allocation(1, qos="try"), "allocation 1: QOS try is on request, and a does not name it"),
        (allocation(1, partition="old"), "allocation 1: partition old with QOS short does not"),
        (within(2, workflows=()), "allocation 2: no workflow runs in it"),
        (replace(PLAN, allocations=()), "a: is in the campaign and not in the plan"),
        (budget(nodes=1), "allocation 1: has 2 nodes, the budget is 1"),
        (budget(cores=15), "allocation 1: has 16 cores, the budget is 15"),
        (
            replace(PLAN, reservations=(Reservation(partition="cpu", node=1, start=9, finish=10),)),
            "allocation 1: a reservation is on its nodes from 9 s to 10 s",
        ),
        (replace(PLAN, lower_bound=5 * HOUR), "below its lower bound"),
    ],
)
def test_each_way_to_spoil_a_plan_is_named(plan: AllocationPlan, complaint: str) -> None:
    with pytest.raises(InvalidPlan) as caught:
        check_plan(plan)
    assert any(complaint in violation for violation in caught.value.violations), caught.value


@pytest.mark.parametrize(
    ("place", "value", "complaint"),
    [
        (("workflows", 0, "qos"), "wide", "has QOS wide, its allocation 1 has QOS short"),
        (("allocations", 0, "start_s"), 1, "starts at 0 s, before any allocation"),
        (("allocations", 0, "start_s"), 9 * HOUR, "its allocations are not in the order"),
        (("allocations", 0, "partition"), "zz", "allocation 1: there is no partition 'zz'"),
        (("allocations", 1, "start_s"), 3 * HOUR, "allocation 1: d: may run until 12600 s"),
        (("allocations",), [], "starts at 0 s, before any allocation"),
        (("shape",), "jobs", "it has allocations, and each workflow is a job of its own"),
    ],
)
def test_a_file_in_which_allocations_and_workflows_disagree_is_refused(
    tmp_path: Path, place: tuple[str | int, ...], value: object, complaint: str
) -> None:
    document = plan_document(PLAN)
    at: Any = document
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InvalidPlan) as caught:
        read_plan(path)
    assert any(complaint in violation for violation in caught.value.violations), caught.value


@pytest.mark.parametrize(
    ("limits", "complaint"),
    [
        ({"cores": 15}, "has 16 cores, QOS short may have 15"),
        ({"cores_per_job": 15}, "has 16 cores, a job of QOS short may have 15"),
        ({"nodes_per_job": 1}, "has 2 nodes, a job of QOS short may have 1"),
        ({"walltime": 9000}, "has 10800 seconds of walltime, a job of QOS short may have 9000"),
        ({"partitions": ("old",)}, "partition cpu with QOS short does not exist"),
        ({"running_jobs": 1}, ""),
    ],
)
def test_the_limits_of_a_qos_hold_for_the_allocation(
    limits: dict[str, Any], complaint: str
) -> None:
    short, *others = CLUSTER.qos
    plan = replace(PLAN, cluster=replace(CLUSTER, qos=(replace(short, **limits), *others)))
    if not complaint:
        check_plan(plan)
        return
    with pytest.raises(InvalidPlan) as caught:
        check_plan(plan)
    assert f"allocation 1: {complaint}" in caught.value.violations


@given(st.data())
def test_check_complains_exactly_when_a_look_at_every_second_does(data: st.DataObject) -> None:
    """A plan with a few changes of any kind, some of which do no harm."""
    plan = allocated(data.draw(pairs(SHORT, most=8)), data.draw(st.integers(1, 60)))
    plan = replace(plan, lower_bound=0)
    for _ in range(data.draw(st.integers(1, 3))):
        by = data.draw(st.integers(-3, 3))
        index = data.draw(st.integers(0, len(plan.allocations) - 1))
        changed = [*plan.allocations]
        a = changed[index]
        steps = [*a.plan.workflows]
        chosen = data.draw(st.integers(0, len(steps) - 1))
        w = steps[chosen]
        place = w.placements[0]._replace(node=data.draw(st.integers(0, 4)))
        match data.draw(st.sampled_from(["nodes", "start", "walltime", "shift", "node", "limit"])):
            case "nodes":
                changed[index] = resized(a, max(1, a.nodes + by))
            case "start":
                changed[index] = replace(a, start=a.start + by)
            case "walltime":
                changed[index] = replace(a, walltime=max(1, a.walltime + by))
            case "shift":
                steps[chosen] = replace(w, start=w.start + by, finish=w.finish + by)
            case "node":
                steps[chosen] = replace(w, placements=(place, *w.placements[1:]))
            case "limit":
                steps[chosen] = replace(w, walltime=max(1, w.walltime + by))
        if steps[chosen] is not w:
            changed[index] = replace(a, plan=replace(a.plan, workflows=tuple(steps)))
        plan = replace(plan, allocations=tuple(changed))
    assume(all(w.start >= 0 for a in plan.allocations for w in (a, *a.plan.workflows)))
    said: object = ()
    try:
        check_plan(plan)
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
        "allocation 1: walltime capped at 0:03:20 by cpu, 1.11 × its planned duration",
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


def test_a_qos_on_request_is_used_where_all_workflows_name_it() -> None:
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
    assert "7 sizes of allocations not tried" in plan.warnings[-1]
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
    assert "as planned" in socm("simulate", output).stdout
    done = socm("run", "--executor", "local", "--dry-run", output)
    assert done.returncode == 2
    assert "not for this machine" in done.stderr


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
