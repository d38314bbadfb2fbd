"""What is free over time is found to the second, whatever was taken before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from strategies import SHORT, Seconds, clusters, pairs, reservations, share

from socm.model.campaign import Budget, Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster
from socm.model.mode import Mode
from socm.model.partition import Partition
from socm.model.placement import Placement, PlannedWorkflow, Reservation
from socm.model.qos import Qos
from socm.planner.capacity import Capacity
from socm.planner.instance import Indexer, NodeRanks, instance_of
from socm.planner.limit import Limit
from socm.testing.strategies import LIMITS

CORES_ONLY = st.builds(Budget, cores=st.none() | st.integers(2, 16))


class Free:
    """What is free on a cluster, filled workflow by workflow."""

    def __init__(
        self,
        cluster: Cluster,
        budget: Budget | None = None,
        start: int = 0,
        reservations: tuple[Reservation, ...] = (),
        begun: Iterable[tuple[ResourceRequest, PlannedWorkflow]] = (),
        limits: Mapping[str, int] | None = None,
    ) -> None:
        begun = [*begun]
        workflows = [Workflow(name=w.name, request=request) for request, w in begun]
        campaign = Campaign.of("begun", workflows, budget=budget, limits=limits or {})
        instance = instance_of(
            campaign, cluster, {}, start=start, reservations=reservations,
            fixed=[w for _, w in begun],
        )  # fmt: skip
        self._capacity, self._indexer = Capacity(instance), Indexer(campaign, cluster)

    def earliest(self, mode: Mode, ready: int = 0) -> tuple[int, int, NodeRanks]:
        return self._capacity.earliest(self._indexer.indexed(mode), ready)

    def allocate(self, name: str, mode: Mode, ready: int = 0) -> PlannedWorkflow:
        """Place a workflow at its earliest start."""
        indexed = self._indexer.indexed(mode)
        start, _, placements = self._capacity.earliest(indexed, ready)
        self._capacity.allocate(indexed, placements, start)
        return PlannedWorkflow(
            name=name,
            partition=mode.partition.name,
            qos=mode.qos.name or None,
            placements=tuple(Placement(mode.partition.home, *placed) for placed in placements),
            threads=mode.threads,
            exclusive=mode.exclusive,
            cores=mode.cores,
            start=start,
            finish=start + mode.duration,
            walltime=mode.walltime,
        )


def assert_earliest(campaign: Campaign, cluster: Cluster, begin: int, data: st.DataObject) -> None:
    """Place the workflows in turn; the first second that brute force admits must be found."""
    windows = data.draw(reservations(cluster, latest=20), label="reservations")
    capacity = Free(cluster, campaign.budget, begin, windows, limits=campaign.limits)
    brute = Seconds(campaign, cluster, reservations=windows)
    for name, workflow in campaign.workflows.items():
        request = workflow.request
        modes, _ = cluster.admit(request, campaign.budget)
        mode = data.draw(st.sampled_from(modes), label=name)
        ready = begin + data.draw(st.integers(0, 15), label="ready")
        start, unlimited, placements = capacity.earliest(mode, ready)

        first = ready
        while not brute.has_room(mode, request, first):
            first += 1
        assert unlimited == first
        while not brute.admits(mode, request, first):
            first += 1
        assert start == first
        assert sum(ranks for _, ranks in placements) == request.ranks
        brute.add(capacity.allocate(name, mode, ready))
        assert not list(brute.overfull())


@share(0.6)
@given(pairs(SHORT, most=8, budget=CORES_ONLY, limits=LIMITS), st.integers(0, 30), st.data())
def test_the_first_second_that_nodes_and_limits_allow_is_found(
    pair: tuple[Campaign, Cluster], begin: int, data: st.DataObject
) -> None:
    assert_earliest(*pair, begin, data)


@share(0.6)
@given(
    pairs(
        SHORT,
        most=8,
        cluster=clusters(most_partitions=1, most_qos=1),
        budget=st.builds(Budget, nodes=st.integers(1, 3)),
    ),
    st.integers(0, 30),
)
def test_a_budget_of_nodes_on_one_partition_is_so_many_of_its_nodes(
    pair: tuple[Campaign, Cluster], begin: int
) -> None:
    campaign, cluster = pair
    capacity, brute = Free(cluster, campaign.budget, begin), Seconds(campaign, cluster)
    for name, workflow in campaign.workflows.items():
        [mode], _ = cluster.admit(workflow.request, campaign.budget)
        first = begin
        while not brute.admits(mode, workflow.request, first):
            first += 1
        planned = capacity.allocate(name, mode, begin)
        assert planned.start == first
        brute.add(planned)
        assert not list(brute.overfull())


@share(0.6)
@given(
    pairs(
        SHORT,
        most=8,
        cluster=clusters(most_qos=1),
        budget=st.builds(Budget, nodes=st.integers(1, 3)),
    ),
    st.data(),
)
def test_a_budget_of_nodes_holds_over_all_partitions_together(
    pair: tuple[Campaign, Cluster], data: st.DataObject
) -> None:
    campaign, cluster = pair
    capacity, brute = Free(cluster, campaign.budget), Seconds(campaign, cluster)
    for name, workflow in campaign.workflows.items():
        modes, _ = cluster.admit(workflow.request, campaign.budget)
        mode = data.draw(st.sampled_from(modes), label=name)
        brute.add(capacity.allocate(name, mode, data.draw(st.integers(0, 9))))
        assert not list(brute.overfull())


@given(
    st.integers(1, 5),
    st.lists(
        st.tuples(st.integers(1, 5), st.integers(1, 8), st.integers(0, 20)), min_size=1, max_size=10
    ),
)
def test_a_limit_gives_the_first_second_with_room_for_all_of_the_time(
    limit: int, uses: list[tuple[int, int, int]]
) -> None:
    found, used = Limit(limit, 0), [0] * 200
    for amount, duration, ready in uses:
        if amount > limit:
            continue
        first = ready
        while max(used[first : first + duration]) + amount > limit:
            first += 1
        assert found.earliest(amount, duration, ready) == first
        found.allocate(amount, first, first + duration)
        for second in range(first, first + duration):
            used[second] += amount
        assert all(found.used(second) == used[second] for second in range(60))


NODE = Partition(name="p0", nodes=2, cores=4, memory=100, gpus=2)
ONE = ResourceRequest(ranks=4, runtime=10)


def first_start(
    cluster: Cluster, request: ResourceRequest, budget: Budget, *windows: Reservation
) -> int:
    [mode, *_], _ = cluster.admit(request, budget)
    return Free(cluster, budget, 0, windows).earliest(mode)[0]


def test_a_workflow_that_ran_before_the_plan_begins_takes_only_what_is_left_of_it() -> None:
    cluster = Cluster(name="one", partitions=(replace(NODE, nodes=1),))
    [mode], _ = cluster.admit(ONE)
    running = PlannedWorkflow(
        name="w",
        partition="p0",
        qos=None,
        placements=(Placement("p0", 0, 4),),
        threads=1,
        exclusive=False,
        cores=4,
        start=95,
        finish=105,
        walltime=60,
    )
    over = replace(running, start=80, finish=90)
    for begun, first in ((over, 100), (running, 105)):
        free = Free(cluster, Budget(cores=4), 100, begun=[(ONE, begun)])
        assert free.earliest(mode, 100)[0] == first


def test_a_reservation_of_a_partition_takes_all_of_its_nodes() -> None:
    cluster = Cluster(name="one", partitions=(NODE,))
    window = Reservation(partition="p0", start=5, finish=50)
    assert first_start(cluster, ONE, Budget(), window) == 50
    assert first_start(cluster, replace(ONE, runtime=5), Budget(), window) == 0


def test_an_exclusive_job_takes_no_node_of_which_a_part_is_reserved() -> None:
    """Whichever part that is."""
    cluster = Cluster(name="one", partitions=(replace(NODE, exclusive=True),))
    eight = replace(ONE, ranks=8)
    for part in ({"cores": 1}, {"memory": 1}, {"gpus": 1}):
        taken = {"cores": 0, "memory": 0, "gpus": 0, **part}
        window = Reservation(partition="p0", node=0, start=0, finish=50, **taken)
        assert first_start(cluster, eight, Budget(), window) == 50, part


def test_a_budget_of_nodes_takes_those_that_are_not_reserved() -> None:
    """Which nodes it means is open: a window on one of them leaves the others."""
    cluster = Cluster(name="one", partitions=(NODE,))
    window = Reservation(partition="p0", node=0, start=0, finish=50)
    assert first_start(cluster, ONE, Budget(nodes=1), window) == 0


def test_under_a_budget_it_counts_on_a_node_that_only_a_partition_beside_uses() -> None:
    """With two nodes, the partition that has three does not use the one that is reserved."""
    all_nodes = replace(NODE, nodes=3)
    beside = replace(NODE, name="p1", nodes=1, nodes_of="p0", first_node=0)
    cluster = Cluster(name="two", partitions=(all_nodes, beside))
    window = Reservation(partition="p0", node=0, start=0, finish=50)
    there = replace(ONE, partition="p1")
    assert first_start(cluster, there, Budget(nodes=2), window) == 50
    assert first_start(cluster, ONE, Budget(nodes=2), window) == 0


def test_a_node_that_is_reserved_in_part_counts_against_the_budget_when_it_is_used() -> None:
    cluster = Cluster(name="two", partitions=(NODE, replace(NODE, name="p1")))
    shared = Reservation(partition="p0", node=0, start=0, finish=50, cores=1, memory=0, gpus=0)
    request = replace(ONE, ranks=3)
    capacity = Free(cluster, Budget(nodes=1), 0, (shared,))
    here, there = cluster.admit(request)[0]
    assert capacity.allocate("a", here).start == 0
    assert capacity.allocate("b", there).start == 10


def test_a_busy_node_with_room_serves_where_the_budget_forbids_to_wake_another() -> None:
    cluster = Cluster(name="two", partitions=(NODE, replace(NODE, name="p1")))
    capacity = Free(cluster, Budget(nodes=2))
    half, whole = replace(ONE, ranks=2), ONE
    long_half, long_whole = replace(half, runtime=30), replace(whole, runtime=20)
    here = {r: cluster.admit(r)[0][0] for r in (half, whole, long_half)}
    there = cluster.admit(long_whole)[0][1]
    assert capacity.allocate("node 0 of p0", here[whole]).start == 0
    assert capacity.allocate("node 1 of p0", here[long_half]).start == 0
    assert capacity.allocate("node 0 of p1", there, ready=10).start == 10
    # Node 0 of p0 is free but one too many; on node 1 there is room for two more ranks.
    assert capacity.allocate("node 1 of p0", here[half], ready=10).start == 10


def test_a_qos_that_runs_one_job_at_a_time_makes_them_queue() -> None:
    cluster = Cluster(name="one", partitions=(NODE,), qos=(Qos(name="test", running_jobs=1),))
    capacity = Free(cluster)
    request = ResourceRequest(runtime=10)
    [mode], _ = cluster.admit(request)
    assert [capacity.allocate("w", mode).start for _ in range(3)] == [0, 10, 20]
