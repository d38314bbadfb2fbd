"""A search makes plans better and never worse, and the parallel scheme makes plans at all."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import SHORT, faults, pairs, reservations, share

from benchmarks.instances import quality_instances
from socm.errors import ConfigError
from socm.model.campaign import Budget, Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster
from socm.model.partition import Partition
from socm.model.plan import Plan
from socm.planner import Effort, admitted, improve, plan_campaign
from socm.planner.instance import Instance, instance_of
from socm.planner.ranking import PRIORITIES, by_rank
from socm.planner.schedule import Schedule
from socm.planner.schemes import parallel, serial

FEW = Effort(iterations=4)
MINUTE = ResourceRequest(runtime=60)


def instance(campaign: Campaign, cluster: Cluster) -> Instance:
    modes = {name: modes for name, (modes, _) in admitted(campaign, cluster).items()}
    return instance_of(campaign, cluster, modes)


# The search


@share(0.6)
@given(pairs(most=15), st.data())
def test_a_plan_is_never_worse_than_that_of_heft(
    pair: tuple[Campaign, Cluster], data: st.DataObject
) -> None:
    windows = data.draw(reservations(pair[1]))
    one_pass = plan_campaign(
        replace(pair[0], policy="heft"), pair[1], reservations=windows
    )  # fmt: skip
    plan = plan_campaign(*pair, reservations=windows, effort=FEW)
    assert faults(plan) == []
    assert plan.lower_bound <= plan.makespan <= one_pass.makespan


@share(0.4)
@given(pairs(SHORT, most=12), st.integers(0, 5), st.data())
def test_neither_is_a_plan_of_what_is_left_of_a_campaign(
    pair: tuple[Campaign, Cluster], seed: int, data: st.DataObject
) -> None:
    before = plan_campaign(*pair)
    now = data.draw(st.integers(0, before.makespan))
    begun = [w for w in before.workflows if w.start < now]
    one_pass = plan_campaign(replace(pair[0], policy="heft"), pair[1], start=now, fixed=begun)
    plan = plan_campaign(*pair, start=now, fixed=begun, effort=replace(FEW, seed=seed))
    assert faults(plan) == []
    assert plan.makespan <= one_pass.makespan


@share(0.4)
@given(pairs(most=15), st.integers(0, 5))
def test_a_number_of_iterations_and_a_seed_give_one_plan(
    pair: tuple[Campaign, Cluster], seed: int
) -> None:
    effort = Effort(iterations=10, seed=seed)
    assert plan_campaign(*pair, effort=effort) == plan_campaign(*pair, effort=effort)


@share(0.4)
@given(pairs(most=15))
def test_more_iterations_are_never_worse(pair: tuple[Campaign, Cluster]) -> None:
    makespans = [plan_campaign(*pair, effort=Effort(iterations=n)).makespan for n in (0, 1, 5, 15)]
    assert all(more <= less for less, more in pairwise(makespans))


@share(0.3)
@given(pairs(SHORT, most=10))
def test_no_seconds_are_one_pass(pair: tuple[Campaign, Cluster]) -> None:
    no_time = plan_campaign(*pair, effort=Effort(seconds=0))
    assert no_time == plan_campaign(*pair, effort=Effort(iterations=0))
    one_pass = plan_campaign(replace(pair[0], policy="heft"), pair[1])
    assert no_time.workflows == one_pass.workflows


def test_a_search_ends_when_nothing_can_be_shorter() -> None:
    """It would not, in all the years that it is allowed."""
    minute = ResourceRequest(runtime=60)
    chain = [
        Workflow(name=f"w{k}", request=minute, depends=(f"w{k - 1}",) if k else ())
        for k in range(5)
    ]
    cluster = Cluster(name="one", partitions=(Partition(name="p", nodes=1, cores=1, memory=1),))
    plan = plan_campaign(Campaign.of("chain", chain), cluster, effort=Effort(iterations=10**12))
    assert plan.makespan == plan.lower_bound == 300


def test_what_is_given_less_than_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        Effort(seconds=-1)


OPTIMA = ("layered-200", "mag-dirt02", "random-50", "rnaseq-dirt02", "bwa-small")


@pytest.mark.parametrize("name", OPTIMA)
def test_known_optima_are_found_and_proved(name: str) -> None:
    """One pass of HEFT misses each of them."""
    known = next(i for i in quality_instances() if i.name == name)
    one_pass = plan_campaign(known.campaign, known.cluster, effort=Effort(iterations=0))
    plan = plan_campaign(known.campaign, known.cluster, effort=Effort(iterations=300))
    assert plan.makespan <= known.best < one_pass.makespan
    assert plan.gap < 0.001


# The parallel scheme


def by_parallel(instance: Instance, effort: Effort) -> Schedule:
    return parallel(instance, by_rank(instance))


@given(pairs(SHORT, most=15), st.data())
def test_the_parallel_scheme_makes_plans(
    pair: tuple[Campaign, Cluster], data: st.DataObject
) -> None:
    plan = plan_campaign(*pair, policy=by_parallel)
    assert faults(plan) == []
    now = data.draw(st.integers(0, plan.makespan))
    begun = [w for w in plan.workflows if w.start < now]
    later = plan_campaign(*pair, start=now, fixed=begun, policy=by_parallel)
    assert faults(later) == []


def test_the_parallel_scheme_puts_no_rank_where_gpus_are_taken() -> None:
    one_gpu = ResourceRequest(gpus=1, runtime=60)
    campaign = Campaign.of("gpus", [Workflow(name=name, request=one_gpu) for name in "ab"])
    node = Partition(name="p", nodes=2, cores=8, memory=1, gpus=1)
    here = instance(campaign, Cluster(name="two", partitions=(node,)))
    assert parallel(here, by_rank(here)).placements == [[(0, 1)], [(1, 1)]]


@share(0.5)
@given(pairs(most=15), st.sampled_from(PRIORITIES))
def test_both_schemes_take_any_priority(pair: tuple[Campaign, Cluster], priority: object) -> None:
    assert callable(priority)
    here = instance(*pair)
    for scheme in (serial, parallel):
        for there in (here, here.mirrored):
            schedule = scheme(there, priority(there))
            for k, parents in enumerate(there.parents):
                assert all(schedule.finish[p] <= schedule.start[k] for p in parents)


def wide_and_narrow() -> tuple[Campaign, Cluster]:
    """Narrow ones in a stream that would never leave all of the machine to the wide one."""
    narrow = ResourceRequest(threads=5, runtime=100)
    stream = [
        Workflow(name=f"n{lane}{k}", request=replace(narrow, runtime=100 + 30 * lane))
        for k in range(9)
        for lane in range(2)
    ]
    wide = Workflow(name="wide", request=ResourceRequest(threads=10, runtime=200))
    node = Partition(name="p", nodes=1, cores=10, memory=1)
    return Campaign.of("stream", [*stream[:2], wide, *stream[2:]]), Cluster(
        name="one", partitions=(node,)
    )


def test_what_waits_first_is_not_overtaken_by_what_would_delay_it() -> None:
    campaign, cluster = wide_and_narrow()
    here = instance(campaign, cluster)
    schedule = parallel(here, [(k,) for k in range(len(here))])
    assert dict(zip(here.names, schedule.start, strict=True))["wide"] == 130


@pytest.mark.parametrize("cores", range(1, 8))
def test_what_waits_first_starts_when_enough_workflows_have_ended(cores: int) -> None:
    """One core is free after each 100 s; what runs for long must not take it."""
    short = [Workflow(name=f"s{k}", request=replace(MINUTE, runtime=100 * k)) for k in range(1, 8)]
    wide = Workflow(name="wide", request=replace(MINUTE, threads=cores))
    long = [Workflow(name=f"l{k}", request=replace(MINUTE, runtime=10_000)) for k in range(7)]
    node = Partition(name="p", nodes=1, cores=7, memory=1)
    here = instance(
        Campaign.of("queue", [*short, wide, *long]), Cluster(name="one", partitions=(node,))
    )
    schedule = parallel(here, [(k,) for k in range(len(here))])
    assert schedule.start[here.names.index("wide")] == 100 * cores


def test_a_large_campaign_is_planned_by_the_parallel_scheme(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    campaign, cluster = wide_and_narrow()
    monkeypatch.setattr(improve, "SMALL", 0)
    one_pass = plan_campaign(campaign, cluster, effort=Effort(iterations=0))
    assert one_pass.workflows == plan_campaign(campaign, cluster, policy=by_parallel).workflows
    plan = plan_campaign(campaign, cluster, effort=FEW)
    assert faults(plan) == []
    heft = plan_campaign(replace(campaign, policy="heft"), cluster)
    assert plan.makespan <= min(one_pass.makespan, heft.makespan)


@share(0.3)
@given(pairs(SHORT, most=8, budget=st.builds(Budget, nodes=st.integers(1, 3))))
def test_a_large_campaign_keeps_to_its_budget_of_nodes(pair: tuple[Campaign, Cluster]) -> None:
    plan: Plan = plan_campaign(*pair, policy=by_parallel)
    budget = pair[0].budget.nodes
    assert budget is not None
    assert plan.peak_nodes <= budget


def test_an_effort_in_seconds_and_in_iterations_is_refused_on_the_command_line() -> None:
    from socm.cli.common import effort_of

    with pytest.raises(ConfigError, match="both given"):
        effort_of(1.0, 2)
    assert effort_of(None) is None
    assert effort_of(None, None, 3) == Effort(seed=3)
