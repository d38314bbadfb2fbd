"""Which partition and QOS admit a request, with what walltime, and why the others do not."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import budgets, clusters, held, longest_walltime, requests, unasked

from socm.model.campaign import Budget, ResourceRequest
from socm.model.cluster import Cluster
from socm.model.mode import Mode
from socm.model.partition import Partition
from socm.model.qos import Qos

HOUR = 3600
NODE = Partition(name="cpu", nodes=4, cores=8, memory=1000)


def cluster(*qos: Qos, nodes: Partition = NODE) -> Cluster:
    return Cluster(name="small", partitions=(nodes,), qos=qos)


def only(place: Cluster, request: ResourceRequest) -> Mode:
    [option], _ = place.admit(request)
    return option


def why(place: Cluster, request: ResourceRequest, budget: Budget | None = None) -> str:
    options, reasons = place.admit(request, budget)
    assert options == ()
    return "\n".join(reasons)


# Walltime


@pytest.mark.parametrize(
    ("runtime", "walltime"), [(1, 60), (40, 60), (41, 120), (600, 900), (601, 960)]
)
def test_walltime_is_one_and_a_half_times_the_runtime_in_whole_minutes(
    runtime: int, walltime: int
) -> None:
    assert only(cluster(), ResourceRequest(runtime=runtime)).walltime == walltime


def test_a_walltime_that_was_given_is_taken_as_it_is() -> None:
    assert only(cluster(), ResourceRequest(runtime=600, walltime=601)).walltime == 601


def test_a_walltime_below_the_runtime_is_refused() -> None:
    assert "longer than its walltime" in why(cluster(), ResourceRequest(runtime=61, walltime=60))


def test_walltime_follows_the_speed_of_the_partition() -> None:
    slow = Partition(name="slow", nodes=1, cores=8, memory=1000, speed=0.5)
    option = only(cluster(nodes=slow), ResourceRequest(runtime=601))
    assert (option.duration, option.walltime) == (1202, 1860)


@pytest.mark.parametrize(("speed", "duration"), [(3.0, 34), (0.3, 334), (1.0, 100)])
def test_a_duration_is_rounded_up_to_a_second(speed: float, duration: int) -> None:
    node = Partition(name="cpu", nodes=1, cores=1, memory=1, speed=speed)
    assert only(cluster(nodes=node), ResourceRequest(runtime=100)).duration == duration


def test_walltime_is_capped_only_where_no_qos_holds_all_of_it() -> None:
    short, long = Qos(name="short", walltime=HOUR), Qos(name="long", walltime=2 * HOUR)
    request = ResourceRequest(runtime=50 * 60)
    assert only(cluster(short, long), request).qos.name == "long"
    capped = only(cluster(short), request)
    assert (capped.capped, capped.walltime) == (True, HOUR)


def test_every_qos_that_holds_it_capped_remains_if_none_holds_it_all() -> None:
    short, long = Qos(name="short", walltime=HOUR), Qos(name="long", walltime=HOUR + 60)
    options, _ = cluster(long, short).admit(ResourceRequest(runtime=50 * 60))
    assert [(o.qos.name, o.walltime) for o in options] == [("short", HOUR), ("long", HOUR + 60)]


def test_an_explicit_walltime_is_never_cut() -> None:
    request = ResourceRequest(runtime=600, walltime=2 * HOUR)
    assert "2:00:00 > 1:00:00" in why(cluster(Qos(name="short", walltime=HOUR)), request)


def test_a_runtime_over_the_limit_is_refused_and_not_capped() -> None:
    request = ResourceRequest(runtime=HOUR + 1)
    assert "> 1:00:00" in why(cluster(Qos(name="short", walltime=HOUR)), request)


def test_the_limit_of_the_partition_counts_like_that_of_the_qos() -> None:
    node = Partition(name="cpu", nodes=1, cores=8, memory=1000, walltime=HOUR)
    place = cluster(Qos(name="long", walltime=2 * HOUR), nodes=node)
    assert only(place, ResourceRequest(runtime=50 * 60)).walltime == HOUR
    assert "> 1:00:00" in why(place, ResourceRequest(runtime=HOUR + 1))


# Nodes


@pytest.mark.parametrize(
    ("request_", "per_node", "nodes"),
    [
        (ResourceRequest(ranks=5, threads=4, runtime=1), 2, 3),
        (ResourceRequest(ranks=4, threads=5, runtime=1), 1, 4),
        (ResourceRequest(ranks=3, memory=1500, runtime=1), 2, 2),
        (ResourceRequest(ranks=3, memory=1501, runtime=1), 1, 3),
        (ResourceRequest(ranks=8, threads=1, runtime=1), 8, 1),
    ],
)
def test_the_fewest_nodes_follow_from_whole_ranks_of_the_scarcer_resource(
    request_: ResourceRequest, per_node: int, nodes: int
) -> None:
    option = only(cluster(), request_)
    assert (option.ranks_per_node, option.fewest_nodes) == (per_node, nodes)


def test_gpus_bind_per_rank() -> None:
    gpu = Partition(name="gpu", nodes=2, cores=8, memory=1000, gpus=4)
    option = only(cluster(nodes=gpu), ResourceRequest(ranks=3, gpus=2, runtime=1))
    assert (option.ranks_per_node, option.fewest_nodes) == (2, 2)


def test_whole_nodes_count_where_they_are_given_whole() -> None:
    whole = Partition(name="cpu", nodes=4, cores=8, memory=1000, exclusive=True)
    request = ResourceRequest(ranks=9, runtime=1)
    assert only(cluster(nodes=whole), request).cores == 16
    assert only(cluster(Qos(name="whole", exclusive=True)), request).cores == 16
    assert only(cluster(), request).cores == 9


@pytest.mark.parametrize(("cpus", "cores"), [("physical", 9), ("logical", 6)])
def test_logical_cpus_are_counted_in_whole_cores_per_rank(cpus: str, cores: int) -> None:
    node = Partition(name="cpu", nodes=4, cores=8, threads_per_core=2, memory=1000)
    request = ResourceRequest(ranks=3, threads=3, cpus=cpus, runtime=1)  # type: ignore[arg-type]
    assert only(cluster(nodes=node), request).cores == cores


# Who admits what


@pytest.mark.parametrize(
    ("request_", "part"),
    [
        (ResourceRequest(threads=9, runtime=1), "one rank needs 9 cores, a node has 8"),
        (ResourceRequest(memory=1001, runtime=1), "one rank needs 1 001 MB, a node has 1 000"),
        (ResourceRequest(gpus=1, runtime=1), "one rank needs 1 GPUs, a node has 0"),
        (ResourceRequest(ranks=33, runtime=1), "needs 5 nodes, cpu has 4"),
    ],
)
def test_what_no_node_can_hold_is_said_with_numbers(request_: ResourceRequest, part: str) -> None:
    assert part in why(cluster(), request_)


@pytest.mark.parametrize(
    ("limits", "part"),
    [
        ({"nodes_per_job": 1}, "needs 2 nodes, a job may have 1"),
        ({"cores_per_job": 8}, "needs 9 cores, a job may have 8"),
        ({"cores": 8}, "needs 9 cores, its jobs may have 8"),
    ],
)
def test_the_limit_of_a_qos_on_a_job_is_said_with_numbers(
    limits: dict[str, int], part: str
) -> None:
    assert part in why(
        cluster(Qos(name="small", **limits)),  # type: ignore[arg-type]
        ResourceRequest(ranks=9, runtime=1),
    )


@pytest.mark.parametrize(
    ("budget", "part"),
    [(Budget(cores=8), "9 cores, the budget is 8"), (Budget(nodes=1), "2 nodes, the budget is 1")],
)
def test_what_no_budget_can_hold_is_said_with_numbers(budget: Budget, part: str) -> None:
    assert part in why(cluster(), ResourceRequest(ranks=9, runtime=1), budget)


def test_qos_come_smallest_first() -> None:
    qos = (
        Qos(name="open"),
        Qos(name="long", walltime=9 * HOUR),
        Qos(name="short-wide", walltime=HOUR, cores_per_job=100),
        Qos(name="short-narrow", walltime=HOUR, cores_per_job=10),
    )
    options, _ = cluster(*qos).admit(ResourceRequest(runtime=60))
    assert [o.qos.name for o in options] == ["short-narrow", "short-wide", "long", "open"]


def test_a_debug_qos_is_used_only_where_it_is_asked_for() -> None:
    place = cluster(Qos(name="test", walltime=HOUR, debug=True), Qos(name="long"))
    assert only(place, ResourceRequest(runtime=60)).qos.name == "long"
    assert only(place, ResourceRequest(runtime=60, qos="test")).qos.name == "test"


def test_a_pinned_partition_and_qos_leave_one_option() -> None:
    place = Cluster(
        name="two",
        partitions=(NODE, Partition(name="big", nodes=1, cores=64, memory=9000)),
        qos=(Qos(name="short"), Qos(name="long")),
    )
    option = only(place, ResourceRequest(runtime=60, partition="big", qos="long"))
    assert (option.partition.name, option.qos.name) == ("big", "long")
    assert len(place.admit(ResourceRequest(runtime=60))[0]) == 4


def test_a_qos_is_offered_only_on_its_partitions() -> None:
    place = Cluster(
        name="two",
        partitions=(NODE, Partition(name="big", nodes=1, cores=64, memory=9000)),
        qos=(Qos(name="large", partitions=("big",)),),
    )
    assert only(place, ResourceRequest(runtime=60)).partition.name == "big"
    assert why(place, ResourceRequest(runtime=60, qos="large", partition="cpu"))


def test_unknown_names_are_said_with_what_was_probably_meant() -> None:
    text = why(cluster(Qos(name="short")), ResourceRequest(runtime=1, partition="cpus", qos="shrt"))
    assert "did you mean 'cpu'?" in text
    assert "did you mean 'short'?" in text


@pytest.mark.parametrize(
    ("place", "request_"),
    [
        (cluster(Qos(name="test", debug=True)), ResourceRequest(runtime=1)),
        (
            cluster(Qos(name="gpu", partitions=("gpu",))),
            ResourceRequest(runtime=1, partition="cpu"),
        ),
    ],
    ids=["only debug QOS", "no QOS on the partition"],
)
def test_where_no_qos_is_open_the_reason_does_not_speak_of_a_qos_that_nobody_named(
    place: Cluster, request_: ResourceRequest
) -> None:
    assert "None" not in why(place, request_)


LIMITED = replace(NODE, cores=16, memory=64000, memory_per_core=4000)


@pytest.mark.parametrize(
    ("asked", "threads", "nodes"),
    [
        ({"memory": 20480}, 6, 1),
        ({"memory": 4000}, 1, 1),
        ({"memory": 4001}, 2, 1),
        ({"ranks": 2, "memory": 40960}, 6, 1),
        ({"ranks": 3, "threads": 2, "memory": 30720}, 3, 1),
        ({"ranks": 4, "threads": 2, "memory": 4 * 20480}, 6, 2),
        ({"threads": 9, "memory": 20480}, 9, 1),
        ({}, 1, 1),
    ],
)
def test_a_job_has_as_many_cores_as_its_memory_takes(
    asked: dict[str, int], threads: int, nodes: int
) -> None:
    mode = only(cluster(nodes=LIMITED), ResourceRequest(runtime=60, **asked))
    assert (mode.threads, mode.fewest_nodes) == (threads, nodes)
    assert mode.cores == threads * asked.get("ranks", 1)


def test_cores_for_memory_count_against_limits_and_not_on_whole_nodes() -> None:
    request = ResourceRequest(memory=20480, runtime=60)
    assert "needs 6 cores" in why(cluster(Qos(name="q", cores_per_job=5), nodes=LIMITED), request)
    assert "needs 6 cores" in why(cluster(nodes=LIMITED), request, Budget(cores=5))
    assert only(cluster(nodes=replace(LIMITED, exclusive=True)), request).threads == 1


def judged(
    place: Cluster, request: ResourceRequest, partition: Partition, qos: Qos, budget: Budget
) -> str:
    """Say anew, limit by limit, whether a pair admits a request: "yes", "capped" or "no"."""
    if request.partition not in (None, partition.name):
        return "no"
    if request.qos not in (None, qos.name) or unasked(request, partition, qos, place):
        return "no"
    if qos.partitions and partition.name not in qos.partitions:
        return "no"
    hardware_threads = partition.threads_per_core if request.cpus == "logical" else 1
    threads = math.ceil(request.threads / hardware_threads)
    if partition.memory_per_core and not (partition.exclusive or qos.exclusive):
        while threads * partition.memory_per_core * request.ranks < request.memory:
            threads += 1
    per_node = 0
    while per_node < request.ranks and (
        (per_node + 1) * threads <= partition.cores
        and math.ceil((per_node + 1) * request.memory / request.ranks) <= partition.memory
        and (per_node + 1) * request.gpus <= partition.gpus
    ):
        per_node += 1
    if not per_node:
        return "no"
    nodes = math.ceil(request.ranks / per_node)
    whole = partition.exclusive or qos.exclusive or request.whole_memory
    cores = nodes * partition.cores if whole else request.ranks * threads
    has = {what: most for what, (_, most) in held(place, partition, qos).items()}
    if nodes < partition.least_nodes_per_job:
        return "no"
    for need, limits in (
        (nodes, (partition.nodes, has.get("nodes_per_job"), budget.nodes)),
        (cores, (has.get("cores_per_job"), has.get("cores"), budget.cores)),
    ):
        if any(limit is not None and need > limit for limit in limits):
            return "no"
    duration = math.ceil(request.runtime / partition.speed)
    walltime = request.walltime or math.ceil(1.5 * duration / 60) * 60
    longest = longest_walltime(place, partition, qos)
    if duration > min(walltime, longest):
        return "no"
    wanted, asked = min(walltime, longest), request.walltime is not None
    for other in place.qos_by_size[: place.qos_by_size.index(place.by_qos[qos.name])]:
        if qos.send or other.send or partition.name not in (other.partitions or place.by_partition):
            continue
        if other.walltime is None or (
            wanted <= other.walltime and not (other.on_request or request.qos)
        ):
            return "no"
        if wanted <= other.walltime:
            wanted = (other.walltime // 60 + 1) * 60
            if asked or wanted > longest:
                return "no"
    if walltime <= longest:
        return "yes"
    return "capped" if request.walltime is None else "no"


@given(st.data(), clusters(), budgets())
def test_exactly_those_pairs_are_options_that_hold_every_limit(
    data: st.DataObject, place: Cluster, budget: Budget
) -> None:
    request = data.draw(requests(place))
    options, reasons = place.admit(request, budget)
    verdicts = {(p.name, q.name): judged(place, request, p, q, budget) for p, q in place.pairs()}
    wanted = "yes" if "yes" in verdicts.values() else "capped"
    found = {(o.partition.name, o.qos.name) for o in options}
    assert found == {pair for pair, verdict in verdicts.items() if verdict == wanted}
    assert {o.capped for o in options} <= {wanted == "capped"}
    assert options or reasons
    assert all(reason.strip() for reason in reasons)
    for o in options:
        assert o.duration <= o.walltime
        assert o.walltime <= longest_walltime(place, o.partition, o.qos)


@given(st.data(), clusters())
def test_a_tighter_budget_admits_nothing_more(data: st.DataObject, place: Cluster) -> None:
    request, cores = data.draw(requests(place)), data.draw(st.integers(1, 30))
    wide, _ = place.admit(request, Budget(cores=cores + 4))
    narrow, _ = place.admit(request, Budget(cores=cores))
    pairs = {(o.partition.name, o.qos.name) for o in wide}
    for o in narrow:
        # A pair that cuts the walltime steps back only for one that does not.
        assert (o.partition.name, o.qos.name) in pairs or (o.capped and not wide[0].capped)
