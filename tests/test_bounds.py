"""No lower bound exceeds what any plan takes, and some are as large as they can be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import permutations, product
from random import Random
from typing import Any

import builders
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import SHORT, clusters, pairs, reservations, share

from benchmarks.instances import Instance, quality_instances
from socm.model.campaign import Budget, Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster
from socm.model.mode import Mode
from socm.model.partition import Partition
from socm.model.placement import Reservation
from socm.model.plan import Plan
from socm.model.qos import Qos
from socm.planner import plan_campaign
from socm.planner.bounds import (
    head_tail_bound,
    heads_and_tails,
    lower_bound,
    pigeonhole_bound,
)
from socm.planner.bounds.resources import Share, in_steps
from socm.planner.instance import Modes, instance_of
from socm.planner.schemes import serial

NEVER = 10**7
"""A makespan that no plan here takes: the destructive bound tries all that are shorter."""


def admitted(campaign: Campaign, cluster: Cluster) -> Modes:
    """The modes of each workflow."""
    return {
        name: cluster.admit(w.request, campaign.budget)[0] for name, w in campaign.workflows.items()
    }


def best_of_all_orders(campaign: Campaign, cluster: Cluster) -> int:
    """Place the workflows in every order and in every mode, each at its earliest start."""
    modes = admitted(campaign, cluster)
    assume(len(list(product(*modes.values()))) <= 16)
    best = None
    for order in permutations(campaign.workflows):
        place = {name: k for k, name in enumerate(order)}
        if any(place[p] > place[w.name] for w in campaign.workflows.values() for p in w.depends):
            continue
        for choice in product(*(modes[name] for name in order)):
            ends = makespan(campaign, cluster, dict(zip(order, choice, strict=True)))
            best = ends if best is None else min(best, ends)
    assert best is not None
    return best


def makespan(campaign: Campaign, cluster: Cluster, choice: dict[str, Mode]) -> int:
    """Where the campaign ends if workflows are placed in this order, in these modes."""
    instance = instance_of(campaign, cluster, {n: (mode,) for n, mode in choice.items()})
    place = {name: k for k, name in enumerate(choice)}
    return serial(instance, [(place[name],) for name in instance.names]).makespan


@share(0.6)
@given(pairs(SHORT, most=4, cluster=clusters(most_partitions=2, most_qos=2)))
def test_no_order_and_no_choice_of_modes_beats_the_bound(pair: tuple[Campaign, Cluster]) -> None:
    plan = plan_campaign(*pair)
    best = best_of_all_orders(*pair)
    assert plan.lower_bound <= best
    assert best <= plan.makespan
    bounds = [lower_bound(*pair, admitted(*pair), known=known) for known in (None, best, NEVER)]
    assert bounds[0] <= bounds[1] <= bounds[2] <= best


@share(0.5)
@given(pairs(most=25), st.randoms(use_true_random=False))
def test_a_plan_never_beats_its_bound(pair: tuple[Campaign, Cluster], random: Random) -> None:
    plan = plan_campaign(*pair)
    assert 0 < plan.lower_bound <= plan.makespan
    bound = lower_bound(*pair, admitted(*pair), known=NEVER)
    assert plan.lower_bound <= bound <= plan.makespan
    for _ in range(3):
        assert bound <= makespan(*pair, dict(random_order(*pair, random)))


def random_order(
    campaign: Campaign, cluster: Cluster, random: Random
) -> Iterator[tuple[str, Mode]]:
    """Yield the workflows in any order that dependencies allow, each with one of its modes."""
    modes = admitted(campaign, cluster)
    waiting = {name: set(w.depends) for name, w in campaign.workflows.items()}
    while waiting:
        name = random.choice([name for name, parents in waiting.items() if not parents])
        del waiting[name]
        for parents in waiting.values():
            parents.discard(name)
        yield name, random.choice(modes[name])


@share(0.5)
@given(pairs(most=12), st.data())
def test_nor_does_one_that_goes_on_from_another_beside_reservations(
    pair: tuple[Campaign, Cluster], data: st.DataObject
) -> None:
    """What began by some time keeps its place; the rest is planned anew from then on."""
    windows = data.draw(reservations(pair[1]))
    before = plan_campaign(*pair, reservations=windows)
    now = data.draw(st.integers(0, before.makespan))
    fixed = [w for w in before.workflows if w.start < now]
    plan = plan_campaign(*pair, start=now, reservations=windows, fixed=fixed)
    bound = lower_bound(*pair, admitted(*pair), start=now, fixed=fixed, known=NEVER)
    assert plan.lower_bound <= bound <= plan.makespan
    assert bound <= before.makespan


@pytest.mark.parametrize("instance", [*quality_instances()], ids=lambda instance: instance.name)
def test_no_bound_is_above_the_best_plan_that_somebody_found(instance: Instance) -> None:
    campaign, cluster = instance.campaign, instance.cluster
    bounds = [
        lower_bound(campaign, cluster, admitted(campaign, cluster), known=known)
        for known in (None, instance.best, 2 * instance.best)
    ]
    assert bounds[0] <= bounds[1] <= instance.best
    assert bounds[2] <= instance.best


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(1, 50)),
        min_size=1,
        max_size=12,
    )
)
def test_the_head_tail_bound_is_the_largest_over_all_pairs_of_head_and_tail(
    numbers: list[tuple[int, int, int]],
) -> None:
    """Against the definition: those with at least this head and at least this tail, in a row."""
    head, tail, time = np.array(numbers, dtype=float).T
    best = max(
        h + t + sum(row[2] for row in numbers if row[0] >= h and row[1] >= t)
        for h in head
        for t in tail
        if any(row[0] >= h and row[1] >= t for row in numbers)
    )
    assert head_tail_bound(head, tail, time) == best


@share(0.3)
@given(st.integers(70, 150), st.integers(1, 99), st.integers(1, 9))
def test_with_very_many_heads_the_bound_is_at_least_the_area_and_at_most_the_definition(
    count: int, step: int, longest: int
) -> None:
    """Only some heads are tried then; the least is always among them."""
    head = np.array([float(k * step % 1009) for k in range(count)])
    time = np.array([float(1 + k % longest) for k in range(count)])
    bound = head_tail_bound(head, np.zeros(count), time)
    exact = max(h + time[head >= h].sum() for h in head)
    assert head.min() + time.sum() <= bound <= exact


def test_a_last_digit_of_a_float_does_not_lift_the_bound() -> None:
    """Ten tenths add up to a little more or less than one."""
    none = np.zeros(30)
    assert head_tail_bound(none, none, np.full(30, 0.1)) == 3


@given(st.integers(1, 4), st.lists(st.integers(1, 20), min_size=1, max_size=7))
def test_the_bound_by_pigeonholes_is_none_that_a_schedule_beats(
    servants: int, durations: list[int]
) -> None:
    """Against all ways to share jobs among servants, of whom each does one after another."""
    none = np.zeros(len(durations))
    share_of_one = np.full((len(durations), 1), 1 / servants)
    bound = pigeonhole_bound(none, none, np.array(durations, dtype=float), share_of_one)
    loads = (
        max(sum(d for d, s in zip(durations, who, strict=True) if s == k) for k in range(servants))
        for who in product(range(servants), repeat=len(durations))
    )
    assert bound <= min(loads)
    if len(durations) == servants + 1:
        assert bound == sum(sorted(durations)[:2])


@given(
    st.lists(st.fractions(0, 1, max_denominator=40), min_size=1, max_size=12), st.integers(1, 12)
)
def test_shares_of_a_whole_are_so_in_steps(shares: list[Fraction], k: int) -> None:
    total = sum(shares)
    assume(total)
    parts = [x / max(total, 1) for x in shares]
    stepped = [in_steps(Share(x.numerator, x.denominator), k) for x in parts]
    assert sum(Fraction(x.amount, x.of) for x in stepped) <= 1


@share(0.5)
@given(pairs(SHORT, most=12))
def test_heads_and_tails_are_the_longest_chains_before_and_after(
    pair: tuple[Campaign, Cluster],
) -> None:
    campaign, _ = pair
    duration = {name: w.request.runtime for name, w in campaign.workflows.items()}

    def before(name: str) -> int:
        return max((before(p) + duration[p] for p in campaign.workflows[name].depends), default=0)

    def after(name: str) -> int:
        return max((after(c) + duration[c] for c in campaign.children[name]), default=0)

    head, tail = heads_and_tails(campaign, duration)
    assert head == {name: before(name) for name in duration}
    assert tail == {name: after(name) for name in duration}


# Bounds that are reached


job = partial(builders.job, minutes=1)


def bound(workflows: list[Workflow], *, budget: Budget | None = None, **node: Any) -> int:
    usual: dict[str, Any] = {"name": "cpu", "nodes": 2, "cores": 8, "memory": 800}
    cluster = Cluster(name="known", partitions=(Partition(**{**usual, **node}),))
    plan = plan_campaign(Campaign.of("known", workflows, budget=budget), cluster)
    assert plan.makespan == plan.lower_bound
    return plan.lower_bound


@pytest.mark.parametrize(
    ("workflows", "cluster", "seconds"),
    [
        ([job("a"), job("b", "a"), job("c", "b")], {}, 180),
        ([job(f"w{k}", threads=8) for k in range(4)], {}, 120),
        ([job(f"w{k}", memory=800) for k in range(4)], {}, 120),
        ([job(f"w{k}", gpus=1) for k in range(4)], {"gpus": 1}, 120),
        ([job(f"w{k}", threads=5) for k in range(4)], {}, 120),
        ([job(f"w{k}", memory=401) for k in range(4)], {}, 120),
        ([job(f"w{k}", gpus=2) for k in range(4)], {"gpus": 3}, 120),
        ([job(f"w{k}") for k in range(4)], {"exclusive": True}, 120),
        ([job(f"w{k}", threads=4) for k in range(4)], {"budget": Budget(cores=8)}, 120),
        ([job(f"w{k}", threads=8) for k in range(4)], {"budget": Budget(nodes=1)}, 240),
        ([job("h"), *(job(f"w{k}", "h", threads=8) for k in range(4))], {}, 180),
        ([job("t", *"0123"), *(job(str(k), threads=8) for k in range(4))], {}, 180),
        ([job(f"w{k}", threads=3) for k in range(6)], {}, 120),
        ([job(f"w{k}", ranks=3, threads=4) for k in range(3)], {}, 180),
        ([job("a", threads=8), job("b", threads=8), job("c", threads=8, runtime=90)], {}, 120),
        (
            [
                job("long", threads=7, runtime=90),
                job("first", runtime=30),
                job("short", "first", threads=7, runtime=20),
                job("last", "short", runtime=80),
            ],
            {"nodes": 1},
            140,
        ),
    ],
    ids=[
        *("chain", "cores", "memory", "gpus"),
        *("big ranks by cores", "big ranks by memory", "big ranks by gpus"),
        *("whole nodes", "budget of cores", "budget of nodes", "head", "tail"),
        *("ranks in steps", "jobs in steps", "pigeonholes", "order"),
    ],
)
def test_the_bound_is_reached_where_one_resource_decides(
    workflows: list[Workflow], cluster: dict[str, Any], seconds: int
) -> None:
    assert bound(workflows, **cluster) == seconds


@pytest.mark.parametrize("half", [{"threads": 4}, {"memory": 400}, {"gpus": 2}])
def test_two_ranks_of_exactly_half_a_node_share_it(half: dict[str, int]) -> None:
    assert bound([job("a", **half), job("b", **half)], nodes=1, gpus=4) == 60


def test_big_ranks_of_different_kinds_may_share_a_node() -> None:
    """One has most of the cores, the other most of the memory: both at once on one node."""
    assert bound([job("cores", threads=7), job("memory", memory=700)], nodes=1) == 60


def test_the_bound_takes_the_faster_partition() -> None:
    partitions = (
        Partition(name="slow", nodes=1, cores=1, memory=1),
        Partition(name="fast", nodes=1, cores=1, memory=1, speed=2.0),
    )
    plan = plan_campaign(
        Campaign.of("c", [job("a"), job("b", "a")]), Cluster(name="two", partitions=partitions)
    )
    assert plan.lower_bound == plan.makespan == 60


def test_a_budget_of_nodes_counts_the_largest_ones() -> None:
    partitions = (
        Partition(name="small", nodes=9, cores=1, memory=1),
        Partition(name="large", nodes=1, cores=8, memory=1),
    )
    campaign = Campaign.of("c", [job(f"w{k}") for k in range(16)], budget=Budget(nodes=1))
    assert plan_campaign(campaign, Cluster(name="two", partitions=partitions)).lower_bound == 120


def limited(runtimes: list[int], *qos: Qos) -> Plan:
    cpu = Partition(name="cpu", nodes=9, cores=8, memory=800)
    cluster = Cluster(name="limited", partitions=(cpu,), qos=qos)
    workflows = [job(f"w{k}", threads=2, runtime=runtime) for k, runtime in enumerate(runtimes)]
    return plan_campaign(Campaign.of("c", workflows), cluster)


@pytest.mark.parametrize(
    ("qos", "seconds"),
    [
        ([Qos(name="jobs", running_jobs=2)], 180),
        ([Qos(name="cores", cores=5)], 180),
        ([Qos(name="one", running_jobs=1), Qos(name="cores", running_jobs=2)], 120),
        ([Qos(name="one", running_jobs=1), Qos(name="free")], 60),
    ],
    ids=["running jobs", "cores", "two QOS", "a QOS without limits"],
)
def test_limits_of_qos_bound_where_no_qos_is_without(qos: list[Qos], seconds: int) -> None:
    plan = limited([60] * 6, *qos)
    assert plan.lower_bound == plan.makespan == seconds


def test_a_campaign_in_minutes_ends_at_a_whole_minute() -> None:
    """The area alone is 90 s."""
    plan = limited([60, 60, 60], Qos(name="two", running_jobs=2))
    assert plan.lower_bound == plan.makespan == 120


def test_what_waits_for_a_reservation_need_not_end_at_a_whole_minute() -> None:
    cpu = Partition(name="cpu", nodes=1, cores=1, memory=1)
    taken = Reservation(partition="cpu", start=0, finish=7)
    plan = plan_campaign(
        Campaign.of("c", [job("a")]), Cluster(name="one", partitions=(cpu,)), reservations=[taken]
    )
    assert plan.lower_bound <= plan.makespan == 67


def test_ranks_that_share_a_node_share_the_last_megabyte() -> None:
    """Each takes 33.5 of 67 MB: not more than half."""
    assert bound([job("a", ranks=2, memory=67)], nodes=1, memory=67) == 60


def test_what_is_fixed_for_later_need_not_be_a_whole_minute_away() -> None:
    """Two of a minute each on one core, the first from 7 s on."""
    cpu = Partition(name="cpu", nodes=1, cores=1, memory=1)
    campaign = Campaign.of("c", [job("a"), job("b")])
    cluster = Cluster(name="one", partitions=(cpu,))
    a = replace(plan_campaign(campaign, cluster).by_name["a"], start=7, finish=67)
    plan = plan_campaign(campaign, cluster, fixed=[a])
    assert plan.lower_bound <= plan.makespan == 127


def test_what_is_fixed_and_runs_on_is_work_too() -> None:
    """It holds the only node until 100 s; only then another can begin."""
    cpu = Partition(name="cpu", nodes=1, cores=1, memory=1)
    campaign = Campaign.of("c", [job("a", runtime=100), job("b"), job("c")])
    cluster = Cluster(name="one", partitions=(cpu,))
    first = plan_campaign(campaign, cluster).by_name["a"]
    assert first.start == 0
    plan = plan_campaign(campaign, cluster, start=30, fixed=[first])
    assert plan.lower_bound == plan.makespan == 220


def test_nothing_to_plan_is_bounded_by_its_start() -> None:
    cluster = Cluster(name="none", partitions=(), qos=(Qos(name="any"),))
    assert lower_bound(Campaign.of("nothing", []), cluster, {}, start=7) == 7


def test_what_is_too_long_for_a_small_qos_shares_what_the_larger_ones_have() -> None:
    """The small QOS could hold all of it at once, but for its walltime."""
    hour = 3600
    cluster = Cluster(
        name="qos",
        partitions=(Partition(name="p", nodes=1, cores=100, memory=1),),
        qos=(
            Qos(name="short", walltime=hour, cores=100),
            Qos(name="long", walltime=10 * hour, cores=2),
            Qos(name="longest", walltime=20 * hour, cores=2),
        ),
    )
    work = [Workflow(name=f"w{k}", request=ResourceRequest(runtime=5 * hour)) for k in range(8)]
    plan = plan_campaign(Campaign.of("long", work), cluster)
    assert plan.lower_bound == plan.makespan == 10 * hour


def test_what_must_be_done_before_a_join_is_a_head_of_all_that_comes_after_it() -> None:
    """Two waves of ten on a node of four cores, with a join between them."""
    minute = ResourceRequest(runtime=60)
    first = [Workflow(name=f"a{k}", request=minute) for k in range(10)]
    join = Workflow(name="join", request=minute, depends=tuple(w.name for w in first))
    second = [Workflow(name=f"b{k}", request=minute, depends=("join",)) for k in range(10)]
    node = Partition(name="p", nodes=1, cores=4, memory=1)
    plan = plan_campaign(
        Campaign.of("waves", [*first, join, *second]), Cluster(name="one", partitions=(node,))
    )
    assert plan.lower_bound == plan.makespan == (3 + 1 + 3) * 60
