"""When a workflow may go: exact runtimes keep the plan, and chance breaks no rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import job, plan_of
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    World,
    clusters,
    distinct_nodes,
    exact,
    excesses,
    noisy,
    pairs,
    reservations,
    share,
    simulate,
)

from socm.engine.backend import Job
from socm.engine.release import (
    RELEASES,
    Gate,
    Release,
    eager,
    hand_over,
    hand_over_or_due,
    timed,
)
from socm.engine.state import Status
from socm.model.campaign import Budget, Campaign
from socm.model.cluster import Cluster
from socm.model.placement import Reservation
from socm.model.plan import Plan
from socm.planner import plan_campaign

# With exact runtimes


@share(0.6)
@given(pairs())
def test_the_timed_release_with_exact_runtimes_is_the_plan_to_the_second(
    pair: tuple[Campaign, Cluster],
) -> None:
    plan = plan_campaign(*pair)
    world = simulate(plan, exact(plan), timed)
    planned = [(w.name, w.start, w.finish) for w in plan.workflows]
    happened = {r.job.workflow.name: (r.start, r.end) for r in world.ran}
    assert [(name, *happened[name]) for name, *_ in planned] == planned
    assert {p.status for p in world.state.workflows.values()} == {Status.COMPLETED}
    # And where it was planned.
    assert {r.job.workflow.name: r.nodes for r in world.ran} == {
        w.name: w.placements for w in plan.workflows
    }


@pytest.mark.parametrize("release", [hand_over, hand_over_or_due])
@share(0.4)
@given(pair=pairs())
def test_with_exact_runtimes_nothing_starts_later_than_planned(
    release: Release, pair: tuple[Campaign, Cluster]
) -> None:
    plan = plan_campaign(*pair)
    world = simulate(plan, exact(plan), release)
    assert len(world.ran) == len(plan.workflows)
    for name, start in world.first_start.items():
        assert start <= plan.by_name[name].start, name
    assert [*excesses(world)] == []


@share(0.3)
@given(pairs(cluster=clusters(most_partitions=2)), st.integers(0, 1000))
def test_a_plan_that_begins_later_is_kept_as_well(
    pair: tuple[Campaign, Cluster], begin: int
) -> None:
    plan = plan_campaign(*pair, start=begin)
    for release in (hand_over_or_due, timed):
        world = simulate(plan, exact(plan), release)
        for name, start in world.first_start.items():
            assert begin <= start <= plan.by_name[name].start


@share(0.3)
@given(pairs(budget=st.builds(Budget, cores=st.none() | st.integers(2, 24))), st.data())
def test_a_plan_around_what_is_reserved_is_kept_as_well(
    pair: tuple[Campaign, Cluster], data: st.DataObject
) -> None:
    windows = data.draw(reservations(pair[1]))
    plan = plan_campaign(*pair, reservations=windows)
    for release in (hand_over_or_due, timed):
        world = simulate(plan, exact(plan), release)
        assert len(world.ran) == len(plan.workflows)
        for name, start in world.first_start.items():
            assert start <= plan.by_name[name].start, name


# With chance


def final(world: World) -> None:
    assert all(p.status.final for p in world.state.workflows.values())
    done = {n for n, p in world.state.workflows.items() if p.status is Status.COMPLETED}
    for name, progress in world.state.workflows.items():
        parents = world.plan.campaign.workflows[name].depends
        if progress.status is Status.SKIPPED:
            assert not done.issuperset(parents)
            assert name not in world.first_start
        else:
            assert done.issuperset(parents)


@pytest.mark.parametrize("release", RELEASES.values(), ids=RELEASES)
@share(0.4)
@given(
    pair=pairs(budget=st.builds(Budget, cores=st.none() | st.integers(2, 24))),
    seed=st.integers(0, 2**32),
)
def test_chance_breaks_no_dependency_no_capacity_and_no_limit(
    release: Release, pair: tuple[Campaign, Cluster], seed: int
) -> None:
    plan = plan_campaign(*pair)
    world = simulate(plan, noisy(plan, seed), release)
    final(world)
    assert [*excesses(world)] == []
    end = {r.job.workflow.name: r.end for r in world.ran}  # of the last attempt
    for name, start in world.first_start.items():
        for parent in plan.campaign.workflows[name].depends:
            assert end[parent] <= start


@pytest.mark.parametrize("release", RELEASES.values(), ids=RELEASES)
@share(0.3)
@given(pair=pairs(budget=st.builds(Budget, nodes=st.integers(1, 4))), seed=st.integers(0, 2**32))
def test_chance_breaks_no_budget_of_nodes(
    release: Release, pair: tuple[Campaign, Cluster], seed: int
) -> None:
    plan = plan_campaign(*pair)
    world = simulate(plan, noisy(plan, seed), release)
    final(world)
    assert [*excesses(world)] == []


@share(0.5)
@given(pairs(), st.integers(0, 2**32))
def test_the_same_seed_is_the_same_world_under_any_release_rule(
    pair: tuple[Campaign, Cluster], seed: int
) -> None:
    """What each attempt takes, how it ends and what it asks for next is the workflow's own."""
    plan = plan_campaign(*pair)
    worlds = [simulate(plan, noisy(plan, seed), release) for release in RELEASES.values()]
    fates, walltimes, durations = [], [], []
    for world in worlds:
        fates.append({n: (p.status, p.attempt) for n, p in world.state.workflows.items()})
        attempts = {(r.job.workflow.name, r.job.attempt): r for r in world.ran}
        walltimes.append({key: r.job.walltime for key, r in attempts.items()})
        durations.append({key: r.end - r.start for key, r in attempts.items()})
    assert all(fate == fates[0] for fate in fates)
    assert all(asked == walltimes[0] for asked in walltimes)
    # A difference of two times has the rounding of both: equal but for that.
    assert all(took == pytest.approx(durations[0], abs=1e-6) for took in durations)


# Gates by hand


def after(plan: Plan) -> dict[str, set[str]]:
    return {name: set(gate.after) for name, gate in hand_over(plan).items()}


def test_the_eager_rule_holds_nobody_back() -> None:
    assert eager(plan_of([job("a", threads=4), job("b", threads=4)]))["b"] == Gate()


def test_the_timed_rule_holds_everybody_until_the_planned_start() -> None:
    gates = timed(plan_of([job("a", threads=4), job("b", threads=4)]))
    assert (gates["a"].not_before, gates["b"].not_before) == (0, 600)


def test_cores_are_taken_over_from_those_who_had_them() -> None:
    plan = plan_of([job("a", threads=3, minutes=20), job("b", minutes=5), job("c", threads=4)])
    assert after(plan) == {"a": set(), "b": set(), "c": {"a", "b"}}


def test_the_share_that_is_free_longest_is_taken_first() -> None:
    plan = plan_of(
        [job("a", minutes=30), job("b", minutes=20), job("c", "b", minutes=5, threads=3)]
    )
    assert after(plan)["c"] == {"b"}  # one of its cores was b's, two were nobody's


def test_memory_is_taken_over_like_cores() -> None:
    plan = plan_of([job("a", memory=300, minutes=20), job("b", memory=300)])
    assert after(plan) == {"a": set(), "b": {"a"}}


def test_a_place_in_the_budget_is_taken_over_on_another_node() -> None:
    plan = plan_of(
        [job("a", threads=4, minutes=20), job("b", threads=4)], nodes=2, budget=Budget(cores=4)
    )
    assert after(plan) == {"a": set(), "b": {"a"}}


def test_behind_a_reservation_nobody_goes_before_its_end() -> None:
    window = Reservation(partition="cpu", start=0, finish=700)
    plan = plan_of([job("a", threads=4)], reservations=(window,))
    assert hand_over(plan)["a"].not_before == 700


def test_the_default_rule_adds_the_planned_start_as_a_way_out() -> None:
    plan = plan_of([job("a", threads=4, minutes=20), job("b", threads=4)])
    assert hand_over_or_due(plan)["b"] == Gate(after=frozenset({"a"}), due=1200)
    assert hand_over(plan)["b"] == Gate(after=frozenset({"a"}))


def test_an_early_finisher_is_followed_at_once() -> None:
    plan = plan_of([job("a", threads=4, minutes=20), job("b", threads=4)])
    world = simulate(plan, lambda j: 300.0 if j.workflow.name == "a" else 600.0)
    assert world.first_start == {"a": 0, "b": 300}


def test_behind_a_late_one_nobody_waits_if_other_nodes_are_free() -> None:
    """Planned for one node in a row, while the cluster has another."""
    plan = plan_of([job("a", threads=4, minutes=20), job("b", threads=4)])
    node = replace(plan.cluster.partitions[0], nodes=2)
    plan = replace(plan, cluster=replace(plan.cluster, partitions=(node,)))

    def runtime(j: Job) -> float:
        return 1700.0 if j.workflow.name == "a" else 600.0

    assert simulate(plan, runtime, hand_over).first_start["b"] == 1700
    assert simulate(plan, runtime, hand_over_or_due).first_start["b"] == 1200


def test_a_late_workflow_does_not_make_its_successor_wake_a_node_over_the_budget() -> None:
    """One node at a time is the budget: the second waits although another node is free."""
    plan = plan_of(
        [job("a", threads=4, minutes=20), job("b", threads=4)], nodes=2, budget=Budget(nodes=1)
    )
    assert plan.by_name["b"].start == 1200
    for release in RELEASES.values():
        world = simulate(plan, lambda j: 1500.0 if j.workflow.name == "a" else 600.0, release)
        assert distinct_nodes(world.ran) == 1
        assert world.first_start["b"] == 1500
