"""The allocator never gives what is not there, and takes back exactly what it gave."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import partitions

from socm.model.cluster import Cluster
from socm.model.demand import Amounts, Demand
from socm.model.partition import Partition
from socm.model.placement import Placement
from socm.model.pool import NodePool


def demands() -> st.SearchStrategy[Demand]:
    return st.builds(
        Demand,
        ranks=st.integers(1, 6),
        threads=st.integers(1, 4),
        memory=st.just(0) | st.integers(0, 600),
        gpus=st.sampled_from([0, 0, 0, 1]),
        exclusive=st.sampled_from([False, False, False, True]),
    )


def small(nodes: int = 2, cores: int = 8, memory: int = 1000, gpus: int = 0) -> NodePool:
    node = Partition(name="p0", nodes=nodes, cores=cores, memory=memory, gpus=gpus)
    return NodePool(Cluster(name="small", partitions=(node,)))


def on(*pairs: tuple[int, int]) -> tuple[Placement, ...]:
    return tuple(Placement("p0", node, ranks) for node, ranks in pairs)


@given(partitions(), st.lists(demands(), min_size=1, max_size=12), st.data())
def test_what_is_given_fits_and_none_is_given_only_where_none_is(
    partition: Partition, jobs: list[Demand], data: st.DataObject
) -> None:
    """Against free capacity that is counted anew, from what runs, for each question."""
    pool = NodePool(Cluster(name="one", partitions=(partition,)))
    running: list[tuple[Demand, tuple[Placement, ...]]] = []

    def used(node: int) -> Counter[str]:
        total: Counter[str] = Counter()
        for job, placements in running:
            for p in placements:
                if p.node == node:
                    cores, memory, gpus = (
                        (partition.cores, partition.memory, partition.gpus)
                        if job.exclusive
                        else (
                            p.ranks * job.threads,
                            -(-p.ranks * job.memory // job.ranks),
                            p.ranks * job.gpus,
                        )
                    )
                    total.update(cores=cores, memory=memory, gpus=gpus)
        return total

    def most_ranks(job: Demand, node: int) -> int:
        """Count up as long as one more rank has room."""
        taken, ranks = used(node), 0
        if job.exclusive and taken["cores"]:
            return 0
        while ranks < job.ranks:
            k = ranks + 1
            if (
                taken["cores"] + k * job.threads > partition.cores
                or taken["memory"] + -(-k * job.memory // job.ranks) > partition.memory
                or taken["gpus"] + k * job.gpus > partition.gpus
            ):
                break
            ranks = k
        return ranks

    for job in jobs:
        if data.draw(st.booleans(), label="one ends") and running:
            index = data.draw(st.integers(0, len(running) - 1), label="which")
            pool.release(*running.pop(index))
        most = data.draw(st.none() | st.integers(1, 3), label="most nodes")
        placements = pool.fit(job, partition.name, most_nodes=most)
        rooms = sorted((most_ranks(job, n) for n in range(partition.nodes)), reverse=True)
        if placements is None:
            assert sum(rooms[:most]) < job.ranks
            continue
        assert sum(p.ranks for p in placements) == job.ranks
        assert len({p.node for p in placements}) == len(placements) <= (most or len(rooms))
        assert all(1 <= p.ranks <= most_ranks(job, p.node) for p in placements)
        pool.allocate(job, placements)
        running.append((job, placements))


def test_ranks_go_to_the_first_nodes_that_have_room() -> None:
    pool = small(nodes=3, cores=4)
    pool.allocate(Demand(threads=3), on((0, 1)))
    assert pool.fit(Demand(ranks=3, threads=2), "p0") == on((1, 2), (2, 1))


def test_with_a_limit_on_nodes_the_emptiest_come_first() -> None:
    pool = small(nodes=3, cores=4)
    pool.allocate(Demand(threads=3), on((0, 1)))
    assert pool.fit(Demand(ranks=4), "p0", most_nodes=1) == on((1, 4))
    assert pool.fit(Demand(ranks=9), "p0", most_nodes=2) is None
    assert pool.fit(Demand(ranks=8), "p0", most_nodes=2) == on((1, 4), (2, 4))


def test_preferred_nodes_are_honoured_where_they_have_room() -> None:
    pool = small(nodes=2, cores=4)
    job = Demand(ranks=2)
    assert pool.fit(job, "p0", preferred=on((1, 2))) == on((1, 2))
    pool.allocate(Demand(threads=3), on((1, 1)))
    assert pool.fit(job, "p0", preferred=on((1, 2))) == on((0, 2))


def test_barred_nodes_are_not_used_even_if_preferred() -> None:
    pool = small(nodes=2, cores=4)
    barred = frozenset({1})
    assert pool.fit(Demand(ranks=2), "p0", preferred=on((1, 2)), barred=barred) == on((0, 2))
    assert pool.fit(Demand(ranks=5), "p0", barred=barred) is None


def test_an_exclusive_job_needs_nodes_that_nobody_is_on() -> None:
    pool = small(nodes=2, cores=4)
    pool.allocate(Demand(), on((0, 1)))
    assert pool.fit(Demand(ranks=2, exclusive=True), "p0") == on((1, 2))
    assert pool.fit(Demand(ranks=5, exclusive=True), "p0") is None


def test_beside_an_exclusive_job_nothing_fits() -> None:
    pool = small(nodes=1, cores=4)
    pool.allocate(Demand(exclusive=True), on((0, 1)))
    assert pool.fit(Demand(), "p0") is None


@pytest.mark.parametrize(
    ("job", "fits"),
    [
        (Demand(ranks=3, memory=3000), True),
        (Demand(ranks=3, memory=3001), False),
        (Demand(ranks=3, gpus=1), True),
        (Demand(ranks=4, gpus=1), False),
    ],
)
def test_memory_and_gpus_bind_as_cores_do(job: Demand, fits: bool) -> None:
    assert (small(nodes=3, gpus=1).fit(job, "p0") is not None) is fits


def test_a_copy_is_changed_alone() -> None:
    pool = small(nodes=1, cores=4)
    other = pool.copy()
    other.allocate(Demand(threads=4), on((0, 1)))
    assert other.fit(Demand(), "p0") is None
    assert pool.fit(Demand(threads=4), "p0") == on((0, 1))


def test_what_a_job_takes_of_a_node_is_the_whole_node_if_exclusive() -> None:
    node = Partition(name="p0", nodes=1, cores=8, memory=1000, gpus=4).node
    assert Demand(ranks=3, threads=2, memory=100, gpus=1).load(2, node) == Amounts(4, 67, 2)
    assert Demand(exclusive=True).load(1, node) == Amounts(8, 1000, 4)


@given(st.integers(1, 20), st.integers(0, 5000))
def test_ranks_take_their_part_of_the_memory_rounded_up(ranks: int, memory: int) -> None:
    demand, node = Demand(ranks=ranks, memory=memory), Amounts(ranks, memory, 0)
    parts = [demand.load(k, node).memory for k in range(ranks + 1)]
    assert parts[0] == 0
    assert parts[-1] == memory
    assert all(k * memory <= part * ranks < k * memory + ranks for k, part in enumerate(parts))


@given(demands(), st.integers(0, 30), st.integers(0, 3000), st.integers(0, 9))
def test_as_many_ranks_fit_as_take_no_more_than_there_is(
    demand: Demand, cores: int, memory: int, gpus: int
) -> None:
    shared = demand._replace(exclusive=False)
    most = shared.ranks_within(cores, memory, gpus)

    def within(ranks: int) -> bool:
        load = shared.load(ranks, Amounts(cores, memory, gpus))
        return load.cores <= cores and load.memory <= memory and load.gpus <= gpus

    assert within(most)
    assert not within(most + 1)
