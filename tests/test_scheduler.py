"""The emulated controller: priority, backfill that delays nobody, limits of QOS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from builders import submitted
from hypothesis import given
from hypothesis import strategies as st
from strategies import share

from sim.backend import SimBackend
from sim.scheduler import Scheduler
from socm.engine.backend import Job
from socm.engine.events import JobState
from socm.errors import SubmitError
from socm.model.cluster import Cluster
from socm.model.partition import Partition
from socm.model.placement import Placement
from socm.model.qos import Qos

CPU = Partition(name="cpu", nodes=2, cores=4, memory=400)
CLUSTER = Cluster(name="c", partitions=(CPU,))


def job(
    name: str,
    priority: int = 0,
    *,
    nodes: int | None = None,
    node_names: tuple[str, ...] = (),
    **changes: Any,
) -> Job:
    """Make a job that is planned on as many nodes as it needs, and on none that are here."""
    made = submitted(name, priority, nodes=node_names, **changes)
    nodes = nodes or -(-made.demand.ranks * made.demand.threads // CPU.cores)
    return replace(made, placements=tuple(Placement("elsewhere", n, 1) for n in range(nodes)))


def started(scheduler: Scheduler, now: float = 0) -> list[str]:
    return [running.job.name for running in scheduler.start(now)]


def queue(cluster: Cluster, *jobs: Job) -> Scheduler:
    scheduler = Scheduler(cluster)
    for j in jobs:
        scheduler.submit(j)
    return scheduler


def test_jobs_start_in_order_of_priority_then_of_arrival() -> None:
    scheduler = queue(
        CLUSTER, job("late", 2), job("second", 1), job("third", 1), job("first", 0), job("last", 2)
    )
    assert started(scheduler) == ["first", "second", "third", "late", "last"]


def test_a_job_is_started_once() -> None:
    scheduler = queue(CLUSTER, job("a"))
    assert started(scheduler) == ["a"]
    assert started(scheduler) == []


def test_what_fits_behind_a_job_that_waits_starts_if_it_ends_in_time() -> None:
    """A wide job waits for the node that is busy until 600; node 1 is kept for it until then."""
    scheduler = queue(CLUSTER, job("running", 0, ranks=4, walltime=600))
    assert started(scheduler) == ["running"]
    for j in (
        job("wide", 1, ranks=8),
        job("too long", 2, walltime=601),
        job("just in time", 3, walltime=600),
    ):
        scheduler.submit(j)
    assert started(scheduler) == ["just in time"]


def test_nodes_are_kept_from_those_who_come_later_too() -> None:
    """Nothing was given back since the wide job did not fit, and it still comes first."""
    scheduler = queue(CLUSTER, job("running", 0, ranks=4), job("wide", 1, ranks=8))
    assert started(scheduler) == ["running"]
    assert started(scheduler) == []
    scheduler.submit(job("too long", 2, walltime=601))
    assert started(scheduler) == []


def test_what_is_not_kept_is_open_to_all_behind() -> None:
    cluster = replace(CLUSTER, partitions=(replace(CPU, nodes=3),))
    scheduler = queue(cluster, job("running", 0, ranks=8, walltime=600))
    assert started(scheduler) == ["running"]
    scheduler.submit(job("whole", 1, ranks=9, walltime=600))
    scheduler.submit(job("behind", 2, walltime=9999))
    # Twelve cores, nine of them kept: those of all three nodes are named in the reservation.
    assert started(scheduler) == []
    narrow = queue(cluster, job("running", 0, ranks=10, walltime=600))
    assert started(narrow) == ["running"]
    narrow.submit(job("wide", 1, ranks=4, walltime=600))
    narrow.submit(job("behind", 2, walltime=9999))
    assert started(narrow) == ["behind"]


def test_when_the_kept_time_comes_the_job_that_waited_goes_first() -> None:
    scheduler = queue(CLUSTER, job("running", 0, ranks=4, walltime=600))
    started(scheduler)
    scheduler.submit(job("wide", 1, ranks=8))
    scheduler.submit(job("small", 2, walltime=601))
    assert started(scheduler) == []
    scheduler.release("running")
    assert started(scheduler, 300) == ["wide"]


def test_a_withdrawn_job_does_not_start() -> None:
    scheduler = queue(CLUSTER, job("a"), job("b", 1))
    assert scheduler.withdraw("a")
    assert not scheduler.withdraw("a")
    assert not scheduler.withdraw("unknown")
    assert started(scheduler) == ["b"]


LIMITED = replace(
    CLUSTER,
    qos=(
        Qos(name="one", running_jobs=1),
        Qos(name="narrow", cores=3),
        Qos(name="pair", nodes_per_job=1),
        Qos(name="open", walltime=3600),
    ),
)


def test_no_more_jobs_of_a_qos_run_than_it_lets_and_others_pass_them() -> None:
    scheduler = queue(
        LIMITED, job("a", 0, qos="one"), job("b", 1, qos="one"), job("c", 2, qos="open")
    )
    assert started(scheduler) == ["a", "c"]
    scheduler.release("a")
    assert started(scheduler, 1) == ["b"]


def test_no_more_cores_of_a_qos_are_in_use_than_it_lets() -> None:
    scheduler = queue(
        LIMITED,
        job("a", 0, qos="narrow", threads=2),
        job("b", 1, qos="narrow", threads=2),
        job("c", 2, qos="narrow"),
    )
    assert started(scheduler) == ["a", "c"]
    scheduler.release("a")
    assert started(scheduler, 1) == ["b"]


def test_a_job_that_was_planned_on_one_node_gets_one() -> None:
    scheduler = queue(CLUSTER, job("a", 0), job("b", 1, ranks=4))
    placements = {r.job.name: [(p.node, p.ranks) for p in r.placements] for r in scheduler.start(0)}
    assert placements == {"a": [(0, 1)], "b": [(1, 4)]}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (job("w", qos="none"), "no partition cpu with QOS none"),
        (job("w", qos="open", partition="gpu"), "no partition gpu"),
        (job("w", qos="open", walltime=3601), "1:00:01 is over the 1:00:00 of QOS open on cpu"),
    ],
)
def test_what_slurm_would_refuse_is_refused_for_good(wrong: Job, said: str) -> None:
    with pytest.raises(SubmitError, match=said) as caught:
        Scheduler(LIMITED).submit(wrong)
    assert not caught.value.transient


def test_a_job_that_names_a_node_waits_for_that_node() -> None:
    scheduler = queue(CLUSTER, job("a", 0, ranks=3, nodes=1))
    assert started(scheduler) == ["a"]
    for j in (job("b", 1, ranks=2, node_names=("cpu/0",)), job("c", 2, node_names=("cpu/0",))):
        scheduler.submit(j)
    [c] = scheduler.start(0)
    assert (c.job.name, c.nodes) == ("c", ("cpu/0",))
    scheduler.release("a")
    [b] = scheduler.start(1)
    assert (b.job.name, b.nodes) == ("b", ("cpu/0",))


def test_a_job_that_names_a_node_may_have_others_as_well() -> None:
    scheduler = queue(CLUSTER, job("a", ranks=5, nodes=2, node_names=("cpu/1",)))
    [a] = scheduler.start(0)
    assert a.placements == (Placement("cpu", 1, 4), Placement("cpu", 0, 1))


# Any queue


@st.composite
def queues(draw: st.DrawFn) -> tuple[Partition, list[Job]]:
    partition = Partition(
        name="cpu",
        nodes=draw(st.integers(1, 3)),
        cores=draw(st.integers(1, 4)),
        memory=100,
        exclusive=False,
    )
    jobs = []
    for k in range(draw(st.integers(1, 10))):
        ranks = draw(st.integers(1, partition.nodes * partition.cores))
        memory = draw(st.sampled_from([0, 0, 60]))
        per_node = min(partition.cores, 100 * ranks // memory if memory else partition.cores)
        needed = -(-ranks // per_node)
        if needed > partition.nodes:
            continue  # no empty partition could hold it
        jobs.append(
            job(
                f"j{k}",
                k,
                ranks=ranks,
                memory=memory,
                walltime=draw(st.integers(1, 20)),
                exclusive=draw(st.booleans()),
                nodes=draw(st.integers(needed, partition.nodes)),
            )
        )
    return partition, jobs


@dataclass(frozen=True)
class Runs:
    """A job on its nodes, with the end that its walltime sets."""

    job: Job
    ranks: Mapping[int, int]
    limit: float


def soonest(partition: Partition, running: Iterable[Runs], of: Job, now: float) -> float:
    """When a job could start if nothing else did and all that runs took its whole walltime."""
    for instant in sorted({now, *(r.limit for r in running)}):
        rooms = []
        for node in range(partition.nodes):
            here = [r for r in running if r.limit > instant and node in r.ranks]
            cores = partition.cores - sum(r.ranks[node] for r in here)
            taken = sum(-(-r.ranks[node] * r.job.demand.memory // r.job.demand.ranks) for r in here)
            if any(r.job.demand.exclusive for r in here) or (of.demand.exclusive and here):
                continue
            rooms.append(
                min(cores, (100 - taken) * of.demand.ranks // of.demand.memory)
                if of.demand.memory
                else cores
            )
        if sum(sorted(rooms, reverse=True)[: len(of.placements)]) >= of.demand.ranks:
            return instant
    raise AssertionError("it fits when nothing runs")


@given(queues(), st.data())
def test_the_first_job_that_waits_starts_no_later_than_it_could_by_the_walltimes(
    made: tuple[Partition, list[Job]], data: st.DataObject
) -> None:
    """Whatever is backfilled behind it, and however much sooner than its walltime a job ends."""
    partition, jobs = made
    scheduler = queue(Cluster(name="c", partitions=(partition,)), *jobs)
    waiting = {j.name: j for j in jobs}
    running: dict[str, Runs] = {}
    ends: dict[str, float] = {}
    promised: dict[str, float] = {}
    now = 0.0
    while waiting:
        for r in scheduler.start(now):
            name = r.job.name
            assert now <= promised.get(name, now)
            del waiting[name]
            ranks = {p.node: p.ranks for p in r.placements}
            assert len(ranks) <= len(r.job.placements)
            running[name] = Runs(r.job, ranks, now + r.job.walltime)
            ends[name] = now + data.draw(st.integers(1, r.job.walltime), label=name)
        if waiting:
            head = next(iter(waiting.values()))
            could = soonest(partition, running.values(), head, now)
            assert could > now, "it would fit now"
            promised[head.name] = min(could, promised.get(head.name, could))
        now = min(ends[name] for name in running)
        for name in [name for name in running if ends[name] == now]:
            scheduler.release(name)
            del running[name]


@share(0.5)
@given(queues())
def test_every_job_starts_once_and_is_over_in_the_end(made: tuple[Partition, list[Job]]) -> None:
    partition, jobs = made
    backend = SimBackend(Cluster(name="c", partitions=(partition,)), lambda j: j.walltime)
    for j in jobs:
        backend.submit(j)
    seen: list[tuple[str, JobState]] = []
    while updates := backend.wait():
        seen += [(u.job.name, u.state) for u in updates]
    assert sorted(seen, key=str) == sorted(
        ((j.name, state) for j in jobs for state in (JobState.RUNNING, JobState.COMPLETED)), key=str
    )
