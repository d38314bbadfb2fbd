"""No lower bound exceeds what any plan takes, and some are as large as they can be."""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import SHORT, clusters, pairs, share

from socm.model.campaign import Budget, Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster, Option, Partition, Qos
from socm.model.plan import PlannedWorkflow
from socm.planner import plan_campaign
from socm.planner.bounds import head_tail_bound, heads_and_tails, lower_bound
from socm.planner.capacity import Capacity


def best_of_all_orders(campaign: Campaign, cluster: Cluster) -> int:
    """Place the workflows in every order and by every option, each at its earliest start."""
    options = {
        name: cluster.admit(w.request, campaign.budget)[0] for name, w in campaign.workflows.items()
    }
    assume(len(list(product(*options.values()))) <= 16)
    best = None
    for order in permutations(campaign.workflows):
        place = {name: k for k, name in enumerate(order)}
        if any(place[p] > place[w.name] for w in campaign.workflows.values() for p in w.depends):
            continue
        for choice in product(*(options[name] for name in order)):
            ends = makespan(campaign, cluster, dict(zip(order, choice, strict=True)))
            best = ends if best is None else min(best, ends)
    assert best is not None
    return best


def makespan(campaign: Campaign, cluster: Cluster, choice: dict[str, Option]) -> int:
    """Where the campaign ends if workflows are placed in this order, by these options."""
    capacity = Capacity(cluster, campaign.budget)
    finish: dict[str, int] = {}
    for name, option in choice.items():
        workflow = campaign.workflows[name]
        ready = max((finish[parent] for parent in workflow.depends), default=0)
        start, _, placements = capacity.earliest(option, workflow.request, ready)
        finish[name] = start + option.duration
        capacity.take(
            workflow.request,
            PlannedWorkflow(
                name=name,
                partition=option.partition.name,
                qos=option.qos.name or None,
                placements=placements,
                threads=option.threads,
                exclusive=option.exclusive,
                cores=option.cores,
                start=start,
                finish=finish[name],
                walltime=option.walltime,
            ),
        )
    return max(finish.values())


@share(0.6)
@given(pairs(SHORT, most=4, cluster=clusters(most_partitions=2, most_tiers=2)))
def test_no_order_and_no_choice_of_options_beats_the_bound(pair: tuple[Campaign, Cluster]) -> None:
    plan = plan_campaign(*pair)
    best = best_of_all_orders(*pair)
    assert plan.lower_bound <= best
    assert best <= plan.makespan


@share(0.5)
@given(pairs(most=25))
def test_a_plan_never_beats_its_bound(pair: tuple[Campaign, Cluster]) -> None:
    plan = plan_campaign(*pair)
    assert 0 < plan.lower_bound <= plan.makespan


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
    head, tail, time = (
        {str(k): row[column] for k, row in enumerate(numbers)} for column in range(3)
    )
    best = max(
        h + t + sum(row[2] for row in numbers if row[0] >= h and row[1] >= t)
        for h in head.values()
        for t in tail.values()
        if any(row[0] >= h and row[1] >= t for row in numbers)
    )
    assert head_tail_bound(head, tail, {k: float(x) for k, x in time.items()}) == best


@share(0.3)
@given(st.integers(70, 150), st.integers(1, 99), st.integers(1, 9))
def test_with_very_many_heads_the_bound_is_at_least_the_area_and_at_most_the_definition(
    count: int, step: int, longest: int
) -> None:
    """Only some heads are tried then; the least is always among them."""
    heads = [k * step % 1009 for k in range(count)]
    time = {str(k): float(1 + k % longest) for k in range(count)}
    head = {str(k): h for k, h in enumerate(heads)}
    bound = head_tail_bound(head, dict.fromkeys(head, 0), time)
    exact = max(h + sum(time[k] for k in head if head[k] >= h) for h in heads)
    assert min(heads) + sum(time.values()) <= bound <= exact


def test_a_last_digit_of_a_float_does_not_lift_the_bound() -> None:
    """Ten tenths add up to a little more or less than one."""
    names = [str(k) for k in range(30)]
    none = dict.fromkeys(names, 0)
    assert head_tail_bound(none, none, dict.fromkeys(names, 0.1)) == 3


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


def job(name: str, *depends: str, **request: Any) -> Workflow:
    return Workflow(
        name=name, depends=depends, request=ResourceRequest(**{"runtime": 60, **request})
    )


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
    ],
    ids=[
        *("chain", "cores", "memory", "gpus"),
        *("big ranks by cores", "big ranks by memory", "big ranks by gpus"),
        *("whole nodes", "budget of cores", "budget of nodes", "head", "tail"),
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


def test_nothing_to_plan_is_bounded_by_its_start() -> None:
    cluster = Cluster(name="none", partitions=(), qos=(Qos(name="any"),))
    assert lower_bound(Campaign.of("nothing", []), cluster, {}, start=7) == 7
