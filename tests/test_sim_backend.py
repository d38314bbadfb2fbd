"""The emulated cluster as a backend: it owns time, and keeps to its protocol."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from builders import submitted
from hypothesis import given
from hypothesis import strategies as st
from strategies import pairs, share

from sim import montecarlo, workers
from sim.backend import SimBackend
from sim.stochastic import runtime_factors
from socm.engine.backend import JobUpdate
from socm.errors import ConfigError
from socm.model.campaign import Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster
from socm.model.partition import Partition
from socm.model.qos import Qos
from socm.planner import plan_campaign

CLUSTER = Cluster(name="c", partitions=(Partition(name="cpu", nodes=1, cores=4, memory=400),))


def backend(*seconds: float, start: float = 0.0) -> SimBackend:
    """Jobs take so long, in the order in which they start; the last for all that follow."""
    left = list(seconds)
    return SimBackend(CLUSTER, lambda _: left.pop(0) if len(left) > 1 else left[0], start=start)


def told(updates: Any) -> list[tuple[str, str, float]]:
    return [(u.job.name, u.state.value, u.time) for u in updates]


def all_told(world: SimBackend) -> list[tuple[str, str, float]]:
    found: list[JobUpdate] = []
    while updates := world.wait():
        found += updates
    return told(found)


def test_a_job_runs_for_as_long_as_it_takes() -> None:
    world = backend(100)
    assert world.submit(submitted("a")) == "a"
    assert all_told(world) == [("a", "running", 0), ("a", "completed", 100)]
    assert world.now() == 100


@pytest.mark.parametrize(
    ("seconds", "state", "end"),
    [(599, "completed", 599), (600, "completed", 600), (600.5, "timeout", 600)],
)
def test_what_takes_longer_than_its_limit_is_ended_at_it(
    seconds: float, state: str, end: float
) -> None:
    world = backend(seconds)
    world.submit(submitted("a"))
    assert all_told(world)[-1] == ("a", state, end)


def test_only_what_completed_has_an_exit_code() -> None:
    world = backend(100, 700)
    world.submit(submitted("good"))
    world.submit(submitted("late", 1))
    codes: dict[str, int | None] = {}
    while updates := world.wait():
        codes |= {u.job.name: u.exit_code for u in updates if u.state.final}
    assert codes == {"good": 0, "late": None}


def test_time_passes_only_while_somebody_waits_and_never_beyond_what_was_said() -> None:
    world = backend(100)
    world.submit(submitted("a"))
    assert world.now() == 0
    assert told(world.wait(50)) == [("a", "running", 0)]
    assert world.now() == 0
    assert told(world.wait(50)) == []
    assert world.now() == 50
    assert told(world.wait(100)) == [("a", "completed", 100)]
    assert told(world.wait(130)) == []
    assert world.now() == 130


def test_to_wait_for_ever_for_nothing_takes_no_time() -> None:
    world = backend(100, start=70.0)
    assert world.now() == 70
    assert world.wait() == []
    assert world.now() == 70


def test_to_wait_for_the_past_takes_no_time() -> None:
    world = backend(100, start=70.0)
    assert world.wait(20) == []
    assert world.now() == 70


def test_all_that_ends_in_one_instant_is_told_at_once_and_before_what_follows() -> None:
    world = backend(100)
    for name, priority in (("a", 0), ("b", 1)):
        world.submit(submitted(name, priority, threads=2))
    world.submit(submitted("c", 2, threads=4))
    assert told(world.wait()) == [("a", "running", 0), ("b", "running", 0)]
    assert told(world.wait()) == [("a", "completed", 100), ("b", "completed", 100)]
    assert told(world.wait()) == [("c", "running", 100)]


def test_who_is_submitted_in_the_second_of_an_end_may_take_the_place() -> None:
    """Even before one that has waited in the queue, if its priority is higher."""
    world = backend(100)
    world.submit(submitted("a", 0, threads=4))
    world.submit(submitted("waits", 2, threads=4))
    world.wait()
    world.wait()
    world.submit(submitted("comes", 1, threads=4))
    assert told(world.wait()) == [("comes", "running", 100)]


def test_a_world_may_begin_at_any_time() -> None:
    world = backend(100, start=1000.5)
    world.submit(submitted("a"))
    assert all_told(world) == [("a", "running", 1000.5), ("a", "completed", 1100.5)]


# Cancel, find, attach


def test_a_waiting_job_that_is_cancelled_never_starts() -> None:
    world = backend(100)
    world.submit(submitted("a", 0, threads=4))
    world.submit(submitted("b", 1, threads=4))
    world.wait()
    world.cancel("b")
    assert all_told(world) == [("b", "cancelled", 0), ("a", "completed", 100)]


def test_a_running_job_that_is_cancelled_is_over_and_gives_its_nodes_back() -> None:
    world = backend(500, 100)
    world.submit(submitted("a", 0, threads=4))
    world.submit(submitted("b", 1, threads=4))
    world.wait()
    world.wait(40)
    world.cancel("a")
    assert sorted(all_told(world)) == [
        ("a", "cancelled", 40),
        ("b", "completed", 140),
        ("b", "running", 40),
    ]


def test_to_cancel_what_is_over_changes_nothing() -> None:
    world = backend(100)
    world.submit(submitted("a"))
    all_told(world)
    world.cancel("a")
    world.cancel("a")
    assert world.wait() == []


def test_to_cancel_twice_is_to_cancel_once() -> None:
    world = backend(100)
    world.submit(submitted("a"))
    world.wait()
    world.cancel("a")
    world.cancel("a")
    assert told(world.wait()) == [("a", "cancelled", 0)]


def test_a_job_is_found_by_its_name_and_only_once_it_was_submitted() -> None:
    world = backend(100)
    assert world.find(submitted("a")) is None
    native_id = world.submit(submitted("a"))
    assert world.find(submitted("a")) == native_id
    all_told(world)
    assert world.find(submitted("a")) == native_id
    assert world.find(submitted("b")) is None


def test_what_was_submitted_can_be_attached_and_what_was_not_has_failed() -> None:
    world = backend(100)
    native_id = world.submit(submitted("a"))
    world.attach(submitted("a"), native_id)
    assert [state for _, state, _ in all_told(world)] == ["running", "completed"]
    world.attach(submitted("nobody"), "nobody")
    assert [state for _, state, _ in all_told(world)] == ["failed"]


@given(
    st.lists(
        st.tuples(st.sampled_from(["submit", "wait", "cancel"]), st.integers(0, 30)), max_size=30
    )
)
def test_whatever_is_done_to_it_each_job_goes_forward_and_ends_once(
    acts: list[tuple[str, int]],
) -> None:
    world = SimBackend(CLUSTER, lambda j: 10 * (j.priority % 7) + 1)
    updates: list[JobUpdate] = []
    names: list[str] = []
    for act, number in acts:
        if act == "submit":
            name = f"j{len(names)}"
            names.append(world.submit(submitted(name, number, threads=1 + number % 4, walltime=45)))
        elif act == "cancel" and names:
            world.cancel(names[number % len(names)])
        elif act == "wait":
            until = world.now() + number
            updates += world.wait(until)
            assert world.now() <= until
    while more := world.wait():
        updates += more
    times = [u.time for u in updates]
    assert times == sorted(times)
    for name in names:
        states = [u.state for u in updates if u.job.name == name]
        assert all(a < b for a, b in pairwise(states))
        assert sum(state.final for state in states) == 1


# Chance


@share(0.3)
@given(pairs(), st.integers(0, 2**63), st.integers(0, 1000))
def test_luck_depends_on_seed_and_replication_alone(
    pair: tuple[Campaign, Cluster], seed: int, replication: int
) -> None:
    plan = plan_campaign(*pair)
    factors = runtime_factors(plan, seed, replication)
    assert factors.shape == (len(plan.campaign.workflows),)
    assert (factors > 0).all()
    assert (factors == runtime_factors(plan, seed, replication)).all()
    spread = np.array([w.request.spread for w in plan.campaign.workflows.values()])
    assert (factors[spread == 0] == 1).all()
    if spread.any():
        assert (factors != runtime_factors(plan, seed, replication + 1)).any()
        assert (factors != runtime_factors(plan, seed + 1, replication)).any()


def test_factors_are_lognormal_with_median_one_and_the_spread_asked_for() -> None:
    request = ResourceRequest(runtime=60, spread=0.3)
    many = [Workflow(name=str(k), request=request) for k in range(500)]
    plan = plan_campaign(Campaign.of("many", many), CLUSTER)
    logs = np.log(np.concatenate([runtime_factors(plan, 7, r) for r in range(10)]))
    assert abs(np.median(logs)) < 0.02
    assert logs.std() == pytest.approx(0.3, rel=0.05)


def test_the_luck_of_a_workflow_does_not_depend_on_those_declared_after_it() -> None:
    def factors(count: int) -> Any:
        request = ResourceRequest(runtime=60)
        workflows = [Workflow(name=str(k), request=request) for k in range(count)]
        return runtime_factors(plan_campaign(Campaign.of("c", workflows), CLUSTER), 3, 0)

    assert (factors(3) == factors(9)[:3]).all()


def test_other_processes_do_not_change_what_comes_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no patience at all, every replication but the first is another process's."""
    workflows = [Workflow(name=n, request=ResourceRequest(runtime=60)) for n in "abc"]
    plan = plan_campaign(Campaign.of("c", workflows, deadline=180), CLUSTER)
    alone = montecarlo.simulate(plan, replications=9, seed=5)
    pools = []

    class Counted(ProcessPoolExecutor):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            pools.append(self)
            super().__init__(*arguments, **options)

    monkeypatch.setattr(montecarlo, "PATIENCE", -1.0)
    monkeypatch.setattr(workers, "ProcessPoolExecutor", Counted)
    together = montecarlo.simulate(plan, replications=9, seed=5, processes=2)
    assert len(pools) == 1
    assert together == alone


def test_a_campaign_that_has_begun_is_not_simulated_from_its_start() -> None:
    workflow = Workflow(name="a", request=ResourceRequest(runtime=60))
    first = plan_campaign(Campaign.of("c", [workflow]), CLUSTER)
    plan = plan_campaign(first.campaign, CLUSTER, start=30, fixed=first.workflows)
    with pytest.raises(ConfigError, match="has begun"):
        montecarlo.simulate(plan)


def test_makespans_are_those_of_replications_in_which_all_completed() -> None:
    """A campaign that loses its first workflow is over early, and that is no good news."""
    qos = Qos(name="short", walltime=66)
    cluster = replace(CLUSTER, qos=(qos, Qos(name="long", walltime=9999)))
    first = Workflow(name="a", request=ResourceRequest(runtime=60, qos="short"))
    then = Workflow(name="b", request=ResourceRequest(runtime=600), depends=("a",))
    plan = plan_campaign(Campaign.of("c", [first, then]), cluster)
    simulation = montecarlo.simulate(plan, replications=60)
    assert simulation.replications == 60
    assert 0 < len(simulation.makespans) < 60
    assert min(simulation.makespans) > 300
    assert simulation.lost["a"] == pytest.approx(1 - len(simulation.makespans) / 60)
