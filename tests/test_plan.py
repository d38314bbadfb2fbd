"""check_plan() complains exactly when something is wrong; what a plan tells of itself is so."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from builders import job, plan_of
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import SHORT, Seconds, faults, pairs, reservations, share

from socm.errors import InvalidPlan
from socm.model.campaign import Budget, Campaign, ResourceRequest, Workflow
from socm.model.check import check_plan
from socm.model.cluster import Cluster
from socm.model.partition import Partition
from socm.model.placement import Placement, PlannedWorkflow, Reservation
from socm.model.plan import Plan
from socm.model.qos import Qos
from socm.planner import plan_campaign


def complaints(plan: Plan) -> str:
    """What check() says; empty if nothing."""
    try:
        check_plan(plan)
    except InvalidPlan as error:
        return "\n".join(error.violations)
    return ""


def changed(plan: Plan, index: int, **changes: Any) -> Plan:
    """Return the plan with one workflow changed, and without a bound that may get in the way."""
    workflows = list(plan.workflows)
    workflows[index] = replace(workflows[index], **changes)
    return replace(plan, workflows=tuple(workflows), lower_bound=0)


@st.composite
def damaged(draw: st.DrawFn) -> Plan:
    """A plan with up to three changes of any kind, some of which do no harm."""
    campaign, cluster = draw(pairs(SHORT, most=8))
    plan = plan_campaign(campaign, cluster)
    if draw(st.booleans()):
        plan = replace(plan, reservations=draw(reservations(cluster, latest=20)))
    nodes = [(p.name, n) for p in cluster.partitions for n in range(-1, p.nodes + 1)]
    for _ in range(draw(st.integers(0, 3))):
        if not plan.workflows:
            break
        index = draw(st.integers(0, len(plan.workflows) - 1))
        w = plan.workflows[index]
        place = draw(st.integers(0, len(w.placements) - 1))
        partition, node = draw(st.sampled_from(nodes))
        kind = draw(
            st.sampled_from(["shift"] * 4 + ["node"] * 3 + ["deal", "drop", "double", "field"])
        )
        if kind == "shift":
            by = draw(st.integers(-6, 6))
            plan = changed(plan, index, start=w.start + by, finish=w.finish + by)
        elif kind == "node":
            moved = [*w.placements]
            moved[place] = Placement(
                draw(st.sampled_from([w.partition, partition])), node, moved[place].ranks
            )
            plan = changed(plan, index, placements=tuple(moved))
        elif kind == "deal":
            moved = [*w.placements]
            ranks = draw(st.integers(0, moved[place].ranks))
            moved[place] = moved[place]._replace(ranks=moved[place].ranks - ranks)
            moved.append(Placement(w.partition, node, ranks))
            plan = changed(plan, index, placements=tuple(moved))
        elif kind == "drop":
            rest = plan.workflows[:index] + plan.workflows[index + 1 :]
            plan = replace(plan, workflows=rest, lower_bound=0)
        elif kind == "double":
            plan = replace(plan, workflows=(*plan.workflows, w), lower_bound=0)
        else:
            field = draw(
                st.sampled_from(["finish", "walltime", "cores", "threads", "exclusive", "qos"])
            )
            value: Any = draw(st.sampled_from(list(cluster.by_qos))) or None
            if field == "exclusive":
                value = not w.exclusive
            elif field != "qos":
                value = max(1, getattr(w, field) + draw(st.integers(-3, 3)))
            plan = changed(plan, index, **{field: value})
    return plan


@given(damaged())
def test_check_complains_exactly_when_a_look_at_every_second_does(plan: Plan) -> None:
    assert bool(complaints(plan)) == bool(faults(plan)), (complaints(plan), faults(plan))


# One plan, and every way to spoil it: each complaint names the workflow or the place.

CLUSTER = Cluster(
    name="two",
    partitions=(
        Partition(name="cpu", nodes=3, cores=8, memory=800, gpus=1, walltime=7200),
        Partition(name="whole", nodes=2, cores=8, memory=800, exclusive=True),
    ),
    qos=(
        Qos(name="short", walltime=3600, running_jobs=2, partitions=("cpu",)),
        Qos(name="long", walltime=7200, cores=16, nodes_per_job=2),
    ),
)


def request(**changes: Any) -> ResourceRequest:
    return ResourceRequest(
        **{"ranks": 4, "memory": 400, "runtime": 100, "partition": "cpu", **changes}
    )


CAMPAIGN = Campaign.of(
    "spoilt",
    [
        Workflow(name="a", request=request(qos="short")),
        Workflow(name="b", request=request(qos="short", gpus=0)),
        Workflow(name="c", request=request(ranks=8, qos="long", gpus=0), depends=("a", "b")),
        Workflow(name="d", request=request(ranks=1, qos="long", memory=0), depends=("a",)),
        Workflow(name="e", request=request(ranks=1, qos="long", partition="whole", memory=0)),
        Workflow(name="f", request=request(ranks=1, gpus=1, qos="short"), depends=("c",)),
    ],
    budget=Budget(cores=20, nodes=4),
)


def planned(name: str, start: int, *nodes: tuple[int, int], **changes: Any) -> PlannedWorkflow:
    usual = {
        "partition": "cpu",
        "qos": "short",
        "placements": tuple(Placement("cpu", node, ranks) for node, ranks in nodes),
        "threads": 1,
        "exclusive": False,
        "cores": sum(ranks for _, ranks in nodes),
        "start": start,
        "finish": start + 100,
        "walltime": 180,
    }
    return PlannedWorkflow(**{"name": name, **usual, **changes})


PLAN = Plan(
    campaign=CAMPAIGN,
    cluster=CLUSTER,
    workflows=(
        planned("a", 0, (0, 4)),
        planned("b", 0, (0, 4)),
        planned(
            "e",
            0,
            partition="whole",
            placements=(Placement("whole", 0, 1),),
            exclusive=True,
            cores=8,
            qos="long",
        ),
        planned("d", 100, (2, 1), qos="long"),
        planned("c", 100, (0, 4), (1, 4), qos="long"),
        planned("f", 200, (0, 1)),
    ),
    lower_bound=300,
)
BY_NAME = {w.name: index for index, w in enumerate(PLAN.workflows)}


def spoilt(which: str, /, **changes: Any) -> Plan:
    return changed(PLAN, BY_NAME[which], **changes)


def ranks_on(*nodes: tuple[int, int], partition: str = "cpu") -> tuple[Placement, ...]:
    return tuple(Placement(partition, node, ranks) for node, ranks in nodes)


def without_limit(plan: Plan, **budget: int) -> Plan:
    return replace(plan, campaign=replace(plan.campaign, budget=Budget(**budget)))


def test_the_plan_that_is_spoilt_below_is_sound() -> None:
    assert complaints(PLAN) == ""
    assert faults(PLAN) == []


@pytest.mark.parametrize(
    ("plan", "complaint"),
    [
        (spoilt("c", start=99, finish=199), "c: starts at 99 s, before a ends at 100 s"),
        (spoilt("d", start=99, finish=199), "d: starts at 99 s, before a ends at 100 s"),
        (spoilt("b", start=-1, finish=99), "b: starts at -"),
        (spoilt("f", finish=301), "f: seconds is 101, not 100"),
        (spoilt("f", finish=299), "f: seconds is 99, not 100"),
        (spoilt("f", walltime=99), "f: walltime 99 s"),
        (spoilt("f", walltime=181), "f: walltime 181 s"),
        (spoilt("d", cores=2), "d: counts 2 cores for 1 × 1"),
        (spoilt("e", cores=1), "e: counts 1 cores on 1 whole nodes"),
        (spoilt("d", threads=2, cores=2), "d: threads is 2, not 1"),
        (spoilt("e", exclusive=False, cores=1), "e: exclusive is False, not True"),
        (spoilt("d", exclusive=True, cores=8), "d: exclusive is True, not False"),
        (spoilt("a", placements=ranks_on((0, 3))), "a: ranks is 3, not 4"),
        (spoilt("a", placements=ranks_on((0, 2), (0, 2))), "a: a node is listed twice"),
        (spoilt("a", placements=ranks_on((0, 4), (1, 0))), "a: a node is listed twice or without"),
        (spoilt("a", placements=ranks_on((3, 4))), "a: there is no node 3"),
        (spoilt("a", placements=ranks_on((-1, 4))), "a: there is no node -1"),
        (
            spoilt("a", placements=ranks_on((0, 4), partition="whole")),
            "a: there is no node 0 of whole",
        ),
        (spoilt("a", partition="gpu"), "a: gpu with QOS short does not admit it"),
        (spoilt("a", qos="long"), "a: cpu with QOS long does not admit it"),
        (spoilt("a", qos=None), "a: cpu with QOS None does not admit it"),
        (spoilt("c", placements=ranks_on((0, 3), (1, 3), (2, 2))), "c: spans 3 nodes"),
        (spoilt("c", placements=ranks_on((0, 8))), ""),
        (spoilt("d", placements=ranks_on((0, 1)), start=50, finish=150), "cpu node 0: 9 cores"),
        (spoilt("f", placements=ranks_on((1, 1)), start=150, finish=250), "before c ends"),
        (spoilt("a", name="z"), "z: is in the plan and not in the campaign"),
        (spoilt("a", name="z"), "a: is in the campaign and not in the plan"),
        (spoilt("a", name="b"), "b: is planned more than once"),
        (replace(PLAN, workflows=PLAN.workflows[1:]), "a: is in the campaign and not in the plan"),
        (replace(PLAN, workflows=()), "f: is in the campaign and not in the plan"),
        (replace(PLAN, lower_bound=301), "it ends at 300 s, below its lower bound 301 s"),
        (without_limit(PLAN, cores=15), "budget: 16 cores in use at once, not 15"),
        (without_limit(PLAN, nodes=2), "budget: 3 nodes in use at once, not 2"),
    ],
)
def test_each_way_to_spoil_a_plan_is_named(plan: Plan, complaint: str) -> None:
    if complaint:
        assert complaint in complaints(plan)
    else:
        assert complaints(plan) == ""
    assert bool(complaints(plan)) == bool(complaint)


@pytest.mark.parametrize(
    ("limits", "complaint"),
    [
        ({"running_jobs": 1}, "QOS short: 2 jobs run at once, the limit is 1"),
        ({"cores": 7}, "QOS short: 8 cores in use at once, the limit is 7"),
    ],
)
def test_more_than_a_qos_lets_at_once_is_named(limits: dict[str, int], complaint: str) -> None:
    short, long = CLUSTER.qos
    qos = (replace(short, **{"running_jobs": None, **limits}), long)  # type: ignore[arg-type]
    assert complaint in complaints(replace(PLAN, cluster=replace(CLUSTER, qos=qos)))


@pytest.mark.parametrize(
    ("window", "complaint"),
    [
        (Reservation(partition="cpu", node=0, start=50, finish=60), "cpu node 0: 16 cores"),
        (
            Reservation(partition="cpu", start=0, finish=1, cores=1, memory=0, gpus=0),
            "cpu node 0: 9 cores",
        ),
        (
            Reservation(partition="cpu", node=0, start=0, finish=9, cores=0, memory=1, gpus=0),
            "cpu node 0: 801 MB",
        ),
        (
            Reservation(partition="cpu", node=0, start=250, finish=260, cores=0, memory=0),
            "cpu node 0: 2 GPUs",
        ),
        (
            Reservation(partition="whole", node=0, start=99, finish=300, cores=1, memory=0, gpus=0),
            "whole node 0: 9 cores",
        ),
        (Reservation(partition="whole", start=100, finish=300), ""),
        (Reservation(partition="cpu", node=1, start=0, finish=100), ""),
    ],
)
def test_what_is_reserved_may_not_be_used(window: Reservation, complaint: str) -> None:
    said = complaints(replace(PLAN, reservations=(window,)))
    assert complaint in said
    assert bool(said) == bool(complaint)


def test_every_violation_is_listed_at_once() -> None:
    plan = replace(PLAN, workflows=PLAN.workflows[1:])
    plan = changed(changed(plan, 0, threads=2), 4, walltime=1)
    assert len(complaints(plan).splitlines()) >= 3


def test_amounts_beyond_64_bits_are_added_up_like_others() -> None:
    wide = ResourceRequest(ranks=10**10, memory=10**10, runtime=100)
    node = Partition(name="p", nodes=10, cores=10**9, memory=10**9)
    workflows = [Workflow(name=name, request=wide) for name in "ab"]
    plan = plan_campaign(Campaign.of("pair", workflows), Cluster(name="large", partitions=(node,)))
    assert [w.start for w in plan.workflows] == [0, 100]
    spoilt = complaints(changed(plan, 1, start=99, finish=199))
    assert "p node 0: 2000000000 cores in use at 99 s, it has 1000000000" in spoilt
    assert "p node 9" in spoilt


def test_at_one_instant_what_ends_makes_room_for_what_starts() -> None:
    later = spoilt("f", placements=ranks_on((1, 1)))
    assert later.workflows[-1].start == 200
    assert complaints(later) == ""


# What a plan tells of itself


@share(0.5)
@given(pairs(SHORT, most=8))
def test_the_figures_of_a_plan_agree_with_a_look_at_every_second(
    pair: tuple[Campaign, Cluster],
) -> None:
    plan = plan_campaign(*pair)
    seconds = Seconds(*pair, plan.workflows)
    assert plan.makespan == 1 + max(seconds.cores)
    assert plan.peak_nodes == max(map(len, seconds.busy.values()))
    assert plan.core_hours * 3600 == pytest.approx(sum(seconds.cores.values()))
    assert plan.charged_core_hours == pytest.approx(plan.core_hours)
    assert plan.gap == pytest.approx(plan.makespan / plan.lower_bound - 1)
    assert plan.gap >= 0


def test_the_charge_of_a_qos_weighs_its_core_hours() -> None:
    short, long = CLUSTER.qos
    dear = replace(CLUSTER, qos=(replace(short, charge=2.0), replace(long, charge=0.5)))
    plan = replace(PLAN, cluster=dear)
    assert plan.core_hours == pytest.approx((4 + 4 + 8 + 1 + 8 + 1) * 100 / 3600)
    assert plan.charged_core_hours == pytest.approx((2 * 9 + 17 / 2) * 100 / 3600)


@pytest.mark.parametrize(("deadline", "feasible"), [(None, True), (300, True), (299, False)])
def test_a_plan_is_feasible_up_to_its_deadline(deadline: int | None, feasible: bool) -> None:
    plan = replace(PLAN, campaign=replace(CAMPAIGN, deadline=deadline))
    assert plan.feasible is feasible


@share(0.5)
@given(pairs(SHORT, most=8))
def test_the_critical_chain_ends_with_the_campaign_and_has_no_pause(
    pair: tuple[Campaign, Cluster],
) -> None:
    plan = plan_campaign(*pair)
    path = [plan.by_name[name] for name in plan.critical_chain]
    assert path[-1].finish == plan.makespan
    for before, after in pairwise(path):
        assert before.finish == after.start
        waits_for = before.name in plan.campaign.workflows[after.name].depends
        assert waits_for or set(before.nodes) & set(after.nodes)


def test_the_critical_chain_follows_dependencies_before_nodes() -> None:
    assert PLAN.critical_chain in (("a", "c", "f"), ("b", "c", "f"))


@share(0.3)
@given(pairs(SHORT, most=6))
def test_a_plan_that_ends_below_its_bound_is_refused(pair: tuple[Campaign, Cluster]) -> None:
    plan = plan_campaign(*pair)
    assume(plan.makespan)
    assert complaints(replace(plan, lower_bound=plan.makespan)) == ""
    assert "lower bound" in complaints(replace(plan, lower_bound=plan.makespan + 1))


def test_the_plan_of_nothing_is_sound_and_takes_no_time() -> None:
    plan = plan_campaign(Campaign.of("nothing", []), CLUSTER)
    check_plan(plan)
    assert (plan.makespan, plan.gap, plan.peak_nodes, plan.critical_chain) == (0, 0.0, 0, ())


def test_sums_of_fractions_are_the_same_with_every_python() -> None:
    """Python adds floats with more care from 3.12 on; ten tenths are one here before, too."""
    dear = Qos(name="dear", charge=0.1)
    plan = plan_of([job(f"w{k}", runtime=1) for k in range(10)], dear, cores=10)
    assert plan.node_hours * 3600 == 1.0
    assert plan.charged_core_hours * 3600 == 1.0
