"""Compiled schedules are those of the plain scheme, to the second, the node and the count."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba.core.caching import IndexDataCacheFile
from strategies import clusters, pairs, reservations, share

from benchmarks.instances import Instance as Known
from benchmarks.instances import cluster_of, layered_campaign, quality_instances, so_campaign
from socm.model.campaign import Budget, Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster
from socm.model.partition import LARGEST, Partition
from socm.model.placement import Reservation
from socm.planner import Effort, admitted, improve, plan_campaign
from socm.planner.compiled import entry
from socm.planner.compiled import serial as compiled_serial
from socm.planner.compiled.arrays import arrays_of
from socm.planner.compiled.kernel import kernel
from socm.planner.instance import Instance, instance_of
from socm.planner.plain import serial as plain_serial
from socm.planner.ranking import PRIORITIES, Priority, by_rank, upward_rank
from socm.planner.schedule import Schedule
from socm.planner.schemes import LOADING, SWITCH, Loader, serial

ONE_PARTITION = pairs(
    cluster=clusters(most_partitions=1), budget=st.builds(Budget, nodes=st.integers(1, 3))
)
MINUTE = ResourceRequest(runtime=60)


@contextmanager
def switched(to: str | None) -> Iterator[None]:
    """Let compiled code be used from the beginning, never, or when it pays."""
    with mock.patch.dict(os.environ):
        os.environ.pop(SWITCH, None)
        if to is not None:
            os.environ[SWITCH] = to
        yield


def instance(campaign: Campaign, cluster: Cluster, **given: object) -> Instance:
    modes = {name: modes for name, (modes, _) in admitted(campaign, cluster).items()}
    return instance_of(campaign, cluster, modes, **given)  # type: ignore[arg-type]  # as given


def assert_equal(compiled: Schedule, plain: Schedule) -> None:
    for field in fields(Schedule):
        of_compiled, of_plain = (getattr(s, field.name) for s in (compiled, plain))
        assert of_compiled == of_plain or [*of_compiled] == [*of_plain], field.name


def assert_same(here: Instance, priority: Priority) -> None:
    arrays = arrays_of(here)
    if arrays is None:
        several = len(here.cluster.partitions) > 1
        counted = several and here.campaign.budget.nodes is not None
        assert not len(here) or counted or here.cluster.overlapping
        return
    assert_equal(compiled_serial.schedule(arrays, priority), plain_serial.schedule(here, priority))


@given(pairs() | ONE_PARTITION, st.sampled_from(PRIORITIES), st.data())
def test_compiled_schedules_are_the_same(
    pair: tuple[Campaign, Cluster],
    priority: Callable[[Instance], Priority],
    data: st.DataObject,
) -> None:
    """With windows that may overlap, and after a part of the campaign has run."""
    windows = ()
    if data.draw(st.booleans()):
        windows = data.draw(reservations(pair[1])) + data.draw(reservations(pair[1]))
    assert_same(here := instance(*pair, reservations=windows), priority(here))
    assert_same(back := here.mirrored, priority(back))
    before = plain_serial.schedule(here, priority(here))
    now = data.draw(st.integers(0, before.makespan))
    begun = [w for w in before.planned(here, upward_rank(here)) if w.start < now]
    later = instance(*pair, start=now, fixed=begun, reservations=windows)
    if len(later):
        assert_same(later, priority(later))


@pytest.mark.parametrize("known", [*quality_instances()], ids=lambda known: known.name)
def test_they_are_on_real_campaigns(known: Known) -> None:
    here = instance(known.campaign, known.cluster)
    for priority in PRIORITIES:
        assert_same(here, priority(here))
        assert_same(here.mirrored, priority(here.mirrored))


def test_they_are_where_nodes_change_often() -> None:
    """Step functions outgrow their space again and again, and many wait for room."""
    for campaign in (so_campaign(600, seed=1), layered_campaign(600, seed=1, width=600, scale=8)):
        here = instance(campaign, cluster_of(12))
        assert_same(here, by_rank(here))


@share(0.3)
@given(pairs(most=12), st.integers(0, 5), st.sampled_from([0, improve.SMALL]))
def test_a_search_makes_the_same_plan(
    pair: tuple[Campaign, Cluster], seed: int, small: int
) -> None:
    """Also one that begins with the parallel scheme, which is never compiled."""
    effort = Effort(iterations=50, seed=seed)
    with mock.patch.object(improve, "SMALL", small):
        with switched("1"):
            compiled = plan_campaign(*pair, effort=effort)
        assert compiled == plan_campaign(*pair, effort=effort)


@share(0.3)
@given(pairs(most=12))
def test_work_that_is_counted_ends_a_search_at_the_same_plan(
    pair: tuple[Campaign, Cluster],
) -> None:
    with switched("1"):
        compiled = plan_campaign(*pair)
    assert compiled == plan_campaign(*pair)


# What is left to the plain scheme


def one_node(**has: int) -> Cluster:
    node = Partition(**{"name": "p", "nodes": 2, "cores": 8, "memory": 100, **has})  # type: ignore[arg-type]
    return Cluster(name="small", partitions=(node,))


def test_numbers_that_could_overflow_are_left_to_the_plain_scheme() -> None:
    request = ResourceRequest(ranks=LARGEST, memory=LARGEST, runtime=60)
    here = instance(
        Campaign.of("large", [Workflow(name="w", request=request)]),
        one_node(nodes=1, cores=LARGEST, memory=LARGEST),
    )
    assert arrays_of(here) is not None
    request = replace(request, ranks=10**10, memory=10**10)
    here = instance(
        Campaign.of("large", [Workflow(name="w", request=request)]),
        one_node(nodes=10, cores=LARGEST, memory=LARGEST),
    )
    assert arrays_of(here) is None
    with switched("1"):
        assert serial(here, by_rank(here)) == plain_serial.schedule(here, by_rank(here))


@pytest.mark.parametrize(
    "window",
    [
        Reservation(partition="p", start=10**11, finish=10**12, memory=10**18, cores=0),
        Reservation(partition="p", start=10**11, finish=10**12, cores=2**61, memory=0),
    ],
)
def test_so_are_windows_that_could_overflow(window: Reservation) -> None:
    two = replace(MINUTE, ranks=2)
    campaign = Campaign.of("pair", [Workflow(name="w", request=two)])
    assert arrays_of(instance(campaign, one_node(), reservations=[window] * 2)) is None


def test_so_are_times_that_could_overflow() -> None:
    campaign = Campaign.of(
        "long", [Workflow(name=n, request=ResourceRequest(runtime=2**61)) for n in "ab"]
    )
    assert arrays_of(instance(campaign, one_node())) is None


# When it is loaded

PLAN = """
import sys
from dataclasses import replace
from benchmarks.instances import cluster_of, so_campaign
from socm.model.campaign import Budget
from socm.planner import Effort, plan_campaign
from socm.planner.effort import USUAL

def plan(effort=USUAL):
    campaign = replace(so_campaign(100, seed=1), budget=Budget(nodes=40))
    return plan_campaign(campaign, cluster_of(500), effort=effort)
"""


def run(code: str, **environment: str) -> None:
    inherited = {key: value for key, value in os.environ.items() if key != SWITCH}
    subprocess.run(
        [sys.executable, "-c", PLAN + code],
        env={**inherited, **environment},
        cwd=Path(__file__).parents[1],
        check=True,
    )


def test_a_usual_search_does_not_wait_for_numba() -> None:
    """Not even one that spends all of its effort, within a budget of a few nodes of many."""
    run("made = plan(); assert not made.optimal; assert 'numba' not in sys.modules")


def test_without_numba_the_plain_schemes_are_used() -> None:
    run(
        "sys.modules['numba'] = None; plan();"
        "assert 'socm.planner.compiled.serial' not in sys.modules",
        SOCM_COMPILED="1",
    )


def test_where_nothing_can_be_kept_the_plain_schemes_are_used() -> None:
    run(
        "from numba.core import caching;"
        "caching.CompileResultCacheImpl._locator_classes = []; plan();"
        "assert 'socm.planner.compiled.serial' not in sys.modules",
        SOCM_COMPILED="1",
    )


def test_it_is_loaded_once_that_pays_and_never_if_it_is_switched_off() -> None:
    loader = Loader()
    with switched(None):
        assert loader.compiled(LOADING - 1) is None
        assert loader.compiled(LOADING) is compiled_serial
        loader.spend(LOADING // 2)
        assert loader.compiled(1) is None
        loader.spend(LOADING // 2)
        assert loader.compiled(1) is compiled_serial
    with switched("0"):
        assert loader.compiled(LOADING) is None
    with switched("1"):
        assert Loader().compiled(0) is compiled_serial


def test_a_search_of_seconds_is_compiled_from_its_begin() -> None:
    run("plan(effort=Effort(seconds=1)); assert 'socm.planner.compiled.serial' in sys.modules")


def twice(number: int) -> int:
    return 2 * number


def test_a_function_that_cannot_be_kept_is_compiled_nevertheless() -> None:
    with mock.patch.object(IndexDataCacheFile, "save", side_effect=OSError("disk full")) as save:
        assert entry(int)(twice)(4) == 8
    assert save.called


def test_a_function_without_a_place_to_be_kept_is_refused() -> None:
    with (
        mock.patch("numba.core.caching.CompileResultCacheImpl._locator_classes", []),
        pytest.raises(RuntimeError, match="cannot cache"),
    ):
        entry(int)(twice)


def test_what_other_arguments_would_need_is_not_compiled() -> None:
    """It would take as long again."""
    with pytest.raises(TypeError):
        kernel(*[None] * 11)
