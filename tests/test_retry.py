"""What a failed job gets next depends on why it failed, and comes to an end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from builders import submitted
from hypothesis import given
from hypothesis import strategies as st

from socm.engine.backend import Job, JobUpdate
from socm.engine.events import JobState, Retrying
from socm.engine.retry import RetryPolicy
from socm.model.campaign import Budget, ResourceRequest, Workflow
from socm.model.cluster import Cluster
from socm.model.demand import Demand
from socm.model.partition import Partition
from socm.model.placement import Placement
from socm.model.qos import Qos

HOUR = 3600
CPU = Partition(name="cpu", nodes=4, cores=8, memory=1000)
SHORT, LONG = Qos(name="short", walltime=HOUR), Qos(name="long", walltime=4 * HOUR)
CLUSTER = Cluster(name="c", partitions=(CPU,), qos=(LONG, SHORT))


def job(
    qos: str | None = "short", *, pinned: str | None = None, memory: int = 400, **changes: Any
) -> Job:
    """Make a job of four ranks on two nodes; its workflow may name a QOS itself."""
    request = ResourceRequest(ranks=4, memory=400, runtime=600, qos=pinned)
    usual: dict[str, Any] = {
        "workflow": Workflow(name="w", request=request),
        "walltime": 900,
        "placements": (Placement("cpu", 0, 3), Placement("cpu", 1, 1)),
    }
    amounts = {"ranks": 4, "threads": 2, "memory": memory}
    return submitted("run-w-1", qos=qos, **amounts, **{**usual, **changes})


def after(
    state: JobState, of: Job, cluster: Cluster = CLUSTER, peak: int | None = None, **policy: Any
) -> Retrying | None:
    update = JobUpdate(job=of, state=state, time=7.0, peak_memory=peak)
    return RetryPolicy(**policy).after(update, cluster)


def asked(retrying: Retrying | None) -> tuple[str | None, int, int]:
    assert retrying is not None
    return retrying.qos, retrying.walltime, retrying.memory


@pytest.mark.parametrize("state", [JobState.NODE_FAILED, JobState.PREEMPTED])
def test_what_was_not_its_fault_is_tried_again_as_it_was(state: JobState) -> None:
    again = after(state, job())
    assert asked(again) == ("short", 900, 400)
    assert again is not None
    assert (again.workflow, again.attempt, again.time) == ("w", 2, 7.0)
    assert state.value in again.reason


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
def test_any_other_end_would_come_again(state: JobState) -> None:
    assert after(state, job()) is None


@pytest.mark.parametrize(
    "state", [JobState.NODE_FAILED, JobState.PREEMPTED, JobState.TIMEOUT, JobState.OUT_OF_MEMORY]
)
def test_there_is_an_end_to_attempts(state: JobState) -> None:
    assert after(state, job(attempt=2)) is not None
    assert after(state, job(attempt=3)) is None
    assert after(state, job(attempt=1), attempts=1) is None


# Timeout


@pytest.mark.parametrize(
    ("walltime", "qos", "longer"),
    [
        (900, "short", 1380),  # 1350 s, in whole minutes
        (2400, "short", 3600),
        (2460, "long", 3720),  # 3690 s: more than short has
        (3600, "long", 5400),
    ],
)
def test_after_a_timeout_it_gets_half_as_much_again_in_the_next_qos_if_need_be(
    walltime: int, qos: str, longer: int
) -> None:
    assert asked(after(JobState.TIMEOUT, job(walltime=walltime))) == (qos, longer, 400)


def test_what_the_longest_qos_has_is_better_than_nothing() -> None:
    assert asked(after(JobState.TIMEOUT, job("long", walltime=3 * HOUR)))[:2] == ("long", 4 * HOUR)
    assert after(JobState.TIMEOUT, job("long", walltime=4 * HOUR)) is None


def test_a_qos_that_the_user_chose_is_not_changed() -> None:
    chosen = job(walltime=3000, pinned="short")
    assert asked(after(JobState.TIMEOUT, chosen))[:2] == ("short", HOUR)
    assert after(JobState.TIMEOUT, replace(chosen, walltime=HOUR)) is None


@pytest.mark.parametrize(
    "limit",
    [
        {"debug": True},
        {"exclusive": True},
        {"partitions": ("gpu",)},
        {"cores": 7},
        {"cores_per_job": 7},
        {"nodes_per_job": 1},
    ],
)
def test_it_does_not_move_to_a_qos_that_would_not_take_it(limit: dict[str, Any]) -> None:
    cluster = replace(CLUSTER, qos=(SHORT, replace(LONG, **limit)))
    assert asked(after(JobState.TIMEOUT, job(walltime=3000), cluster))[:2] == ("short", HOUR)


def test_the_limit_of_the_partition_holds_in_every_qos() -> None:
    cluster = replace(CLUSTER, partitions=(replace(CPU, walltime=HOUR),))
    assert asked(after(JobState.TIMEOUT, job(walltime=3000), cluster))[:2] == ("short", HOUR)
    assert after(JobState.TIMEOUT, job(walltime=HOUR), cluster) is None


def test_on_a_cluster_without_qos_only_the_time_grows() -> None:
    cluster = replace(CLUSTER, qos=())
    assert asked(after(JobState.TIMEOUT, job(None), cluster)) == (None, 1380, 400)


@given(st.integers(1, 10 * HOUR), st.sampled_from(["short", "long"]), st.integers(1, 5))
def test_a_longer_limit_is_longer_and_one_that_its_qos_has(
    walltime: int, qos: str, attempt: int
) -> None:
    limit = CLUSTER.by_qos[qos].walltime
    assert limit is not None
    again = after(JobState.TIMEOUT, job(qos, walltime=min(walltime, limit), attempt=attempt))
    if again is not None:
        new_limit = CLUSTER.by_qos[again.qos or ""].walltime
        assert new_limit is not None
        assert min(walltime, limit) < again.walltime <= new_limit


# Memory


def test_out_of_memory_gets_half_as_much_again() -> None:
    assert asked(after(JobState.OUT_OF_MEMORY, job())) == ("short", 900, 600)


def test_what_was_measured_counts_if_it_is_more_than_was_asked() -> None:
    assert asked(after(JobState.OUT_OF_MEMORY, job(), peak=500))[2] == 750
    assert asked(after(JobState.OUT_OF_MEMORY, job(), peak=300))[2] == 600


def test_memory_grows_only_up_to_what_its_fullest_node_can_give_each_rank() -> None:
    """Three of four ranks are on one node of 1000 MB: 1333 MB for all four is the most."""
    again = asked(after(JobState.OUT_OF_MEMORY, job(memory=1000)))
    assert again[2] == 1333
    assert -(-3 * 1333 // 4) <= 1000 < -(-3 * 1334 // 4)
    assert after(JobState.OUT_OF_MEMORY, job(memory=1333)) is None


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        ({}, 4 * 2 * 150),  # two cores of eight for each of three ranks, where the node is full
        ({"cores": 8}, 4 * 2 * 150),
        ({"cores_per_job": 4}, 4 * 2 * 150),  # never less than its own cores hold
    ],
)
def test_memory_grows_only_as_far_as_the_cores_that_it_takes(
    limits: dict[str, int], most: int
) -> None:
    place = replace(
        CLUSTER,
        partitions=(replace(CPU, memory=2000, memory_per_core=150),),
        qos=(replace(SHORT, **limits),),
    )
    assert asked(after(JobState.OUT_OF_MEMORY, job(memory=900), place))[2] == most
    assert after(JobState.OUT_OF_MEMORY, job(memory=1200), place) is None


def test_more_memory_may_take_more_cores_within_the_budget() -> None:
    place = replace(CLUSTER, partitions=(replace(CPU, memory=2000, memory_per_core=150),))
    small = replace(job(), demand=Demand(ranks=4, memory=600), cores=4)
    policy = RetryPolicy()
    for budget, memory in ((None, 900), (Budget(cores=8), 900), (Budget(cores=7), None)):
        update = JobUpdate(job=small, state=JobState.OUT_OF_MEMORY, time=7.0)
        again = policy.after(update, place, budget)
        assert (again and again.memory) == memory


def test_a_job_that_asked_for_no_memory_needs_a_measurement_to_ask_for_more() -> None:
    assert after(JobState.OUT_OF_MEMORY, job(memory=0)) is None
    assert asked(after(JobState.OUT_OF_MEMORY, job(memory=0), peak=100))[2] == 150


def test_the_growth_is_a_setting() -> None:
    assert asked(after(JobState.OUT_OF_MEMORY, job(), growth=2.0))[2] == 800
    assert asked(after(JobState.TIMEOUT, job(), growth=2.0))[1] == 1800
