"""Hypothesis strategies: random campaigns, clusters and what else a plan is made of.

They are small, so that a failing example can be read: up to four nodes of eight cores in each of
three partitions, up to three QOS with any of their limits, and up to 25 workflows.

To make a strategy takes several times as long as to draw from it. So what depends on nothing is
made once, as a constant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import assume
from hypothesis import strategies as st

from socm.model.allowance import Allowance
from socm.model.campaign import Budget, Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster
from socm.model.partition import Partition
from socm.model.placement import Reservation
from socm.model.qos import Qos

SHORT = st.integers(1, 9)
"""Runtimes for brute force that looks at every second."""
LONG = st.integers(1, 900)
"""Runtimes that meet the walltime limits below."""


def sometimes(strategy: st.SearchStrategy[int]) -> st.SearchStrategy[int | None]:
    """`None` for the most part."""
    return st.one_of(st.none(), st.none(), strategy)


RARELY = st.sampled_from([False] * 5 + [True])
SOMETIMES = st.sampled_from([False, False, True])


def rarely() -> st.SearchStrategy[bool]:
    """`False` for the most part."""
    return RARELY


NODES, CORES = st.integers(1, 4), st.integers(1, 8)
THREADS_PER_CORE = st.sampled_from([1, 2])
MEMORY = st.sampled_from([100, 128, 250, 1000])
GPUS = st.sampled_from([0, 0, 1, 4])
SPEED = st.sampled_from([1.0, 1.0, 0.5, 0.7, 1.3, 2.0])
MEMORY_PER_CORE = sometimes(st.sampled_from([20, 60, 125]))
PARTITION_WALLTIME = sometimes(st.sampled_from([300, 600, 1200]))


ALLOWANCES = st.builds(
    Allowance,
    walltime=sometimes(st.sampled_from([120, 600, 3600])),
    running_jobs=sometimes(st.integers(1, 4)),
    submit_jobs=sometimes(st.integers(1, 6)),
    cores=sometimes(st.integers(4, 24)),
    cores_per_job=sometimes(st.integers(4, 12)),
    nodes_per_job=sometimes(st.integers(1, 3)),
)
OF_ALL_JOBS = st.one_of(*[st.none()] * 3, ALLOWANCES)


@st.composite
def partitions(draw: st.DrawFn, name: str = "p0", *, uniform: bool = False) -> Partition:
    """One partition; a uniform one has speed 1, no walltime limit and shared nodes."""
    nodes = draw(NODES)
    most, least = None, 1
    if not uniform and draw(RARELY):
        most = draw(st.integers(1, nodes))
        least = draw(st.integers(1, most))
    return Partition(
        name=name,
        nodes=nodes,
        cores=draw(CORES),
        threads_per_core=draw(THREADS_PER_CORE),
        memory=draw(MEMORY),
        gpus=draw(GPUS),
        speed=1.0 if uniform else draw(SPEED),
        exclusive=False if uniform else draw(RARELY),
        preemptible=False if uniform or name == "p0" else draw(RARELY),
        walltime=None if uniform else draw(PARTITION_WALLTIME),
        nodes_per_job=most,
        least_nodes_per_job=least,
        limits=None if uniform else draw(OF_ALL_JOBS),
        memory_per_core=None if uniform else draw(MEMORY_PER_CORE),
    )


QOS_WALLTIME = sometimes(st.sampled_from([120, 300, 600, 3600]))
RUNNING_JOBS = sometimes(st.integers(1, 4))
CORES_IN_USE = sometimes(st.integers(2, 24))
CORES_PER_JOB = sometimes(st.integers(2, 12))
NODES_PER_JOB = sometimes(st.integers(1, 3))


@st.composite
def qos(draw: st.DrawFn, name: str, partition_names: list[str]) -> Qos:
    """One QOS with any of the limits that there are."""
    where: list[str] = []
    if draw(RARELY):
        where = draw(st.lists(st.sampled_from(partition_names), unique=True, max_size=2))
    return Qos(
        name=name,
        partitions=tuple(where),
        walltime=draw(QOS_WALLTIME),
        over_partition_walltime=draw(RARELY),
        over_partition_limits=draw(RARELY),
        running_jobs=draw(RUNNING_JOBS),
        submit_jobs=draw(RUNNING_JOBS) if draw(RARELY) else None,
        cores=draw(CORES_IN_USE),
        cores_per_job=draw(CORES_PER_JOB),
        nodes_per_job=draw(NODES_PER_JOB),
        exclusive=draw(RARELY),
        debug=draw(RARELY),
        preemptible=draw(RARELY),
        send=not draw(RARELY),
    )


@st.composite
def clusters(draw: st.DrawFn, *, most_partitions: int = 3, most_qos: int = 3) -> Cluster:
    """One to three partitions, with up to three QOS.

    Parameters
    ----------
    most_partitions, most_qos
        The most of each.
    """
    names = [f"p{k}" for k in range(draw(st.integers(1, most_partitions)))]
    first, *others = [draw(partitions(name)) for name in names]
    return Cluster(
        name="random",
        partitions=(first, *[_sharing(draw, p, first) if draw(RARELY) else p for p in others]),
        qos=tuple(draw(qos(f"q{k}", names)) for k in range(draw(st.integers(0, most_qos)))),
        limits=draw(ALLOWANCES) if draw(RARELY) else None,
    )


def _sharing(draw: st.DrawFn, partition: Partition, first: Partition) -> Partition:
    """Return a partition with some nodes of another one, and perhaps more."""
    return replace(
        partition,
        nodes_of=first.name,
        first_node=draw(st.integers(0, first.nodes)),
        cores=first.cores,
        threads_per_core=first.threads_per_core,
        memory=first.memory,
        gpus=first.gpus,
    )


RANKS = st.integers(1, 6)
SPREAD = st.sampled_from([0.0, 0.2, 0.2, 0.6])


@st.composite
def requests(
    draw: st.DrawFn,
    cluster: Cluster,
    runtimes: st.SearchStrategy[int] = LONG,
    *,
    pinned: bool = True,
) -> ResourceRequest:
    """A request of about the size of the cluster's nodes; whether it is admitted is open.

    Parameters
    ----------
    cluster
        Whose nodes, partitions and QOS it may ask for.
    runtimes
        Seconds.
    pinned
        Whether it may name a partition and a QOS.
    """
    model = cluster.partitions[draw(st.integers(0, len(cluster.partitions) - 1))]
    ranks = draw(RANKS)
    runtime = draw(runtimes)
    whole_memory = draw(RARELY)
    some_memory = not whole_memory and draw(st.booleans())
    return ResourceRequest(
        ranks=ranks,
        threads=draw(st.integers(1, max(1, min(4, model.cores)))),
        cpus="logical" if draw(SOMETIMES) else "physical",
        memory=draw(st.integers(0, model.memory * ranks)) if some_memory else 0,
        whole_memory=whole_memory,
        gpus=draw(st.integers(0, model.gpus)) if draw(RARELY) else 0,
        runtime=runtime,
        walltime=draw(st.integers(runtime, 3 * runtime + 60)) if draw(SOMETIMES) else None,
        spread=draw(SPREAD),
        partition=model.name if pinned and draw(RARELY) else None,
        qos=draw(st.sampled_from(cluster.qos_by_size)).name or None
        if pinned and draw(RARELY)
        else None,
    )


USES = st.sampled_from([{}, {}, {"io": 1}, {"io": 2}, {"db": 1}, {"io": 1, "db": 2}])
NOTHING_COUNTED: st.SearchStrategy[Mapping[str, int]] = st.just({})
LIMITS: st.SearchStrategy[Mapping[str, int]] = st.sampled_from(
    [{}, {}, {"io": 2, "db": 2}, {"io": 3, "db": 4}]
)
BUDGETS = st.builds(Budget, cores=CORES_IN_USE, nodes=sometimes(st.integers(1, 5)))


def budgets() -> st.SearchStrategy[Budget]:
    """Cores, nodes, both, or none."""
    return BUDGETS


@st.composite
def depends(draw: st.DrawFn, index: int) -> tuple[str, ...]:
    """Dependencies on any of the workflows before."""
    if not index or draw(st.booleans()):
        return ()
    parents = draw(st.lists(st.integers(0, index - 1), min_size=1, max_size=3, unique=True))
    return tuple(f"w{k}" for k in parents)


@st.composite
def campaigns(
    draw: st.DrawFn,
    cluster: Cluster,
    runtimes: st.SearchStrategy[int] = LONG,
    *,
    most: int = 25,
    pinned: bool = True,
    budget: st.SearchStrategy[Budget] | None = None,
    limits: st.SearchStrategy[Mapping[str, int]] | None = None,
) -> Campaign:
    """A random DAG of workflows; whether the cluster admits them all is open.

    Parameters
    ----------
    cluster, runtimes, pinned
        As for `requests`.
    most
        Workflows at the most.
    budget
        What may be in use at once; that of `budgets` if not given.
    limits
        Counted resources, of "io" and "db"; if not given, some where `budget` is not given either.
    """
    request = requests(cluster, runtimes, pinned=pinned)
    usual = LIMITS if budget is None else NOTHING_COUNTED
    counted = draw(usual if limits is None else limits)
    return Campaign.of(
        "random",
        [
            Workflow(
                name=f"w{k}",
                request=replace(draw(request), uses=draw(USES) if counted else {}),
                depends=draw(depends(k)),
            )
            for k in range(draw(st.integers(1, most)))
        ],
        budget=draw(budget if budget is not None else budgets()),
        limits=counted,
    )


@st.composite
def pairs(
    draw: st.DrawFn,
    runtimes: st.SearchStrategy[int] = LONG,
    *,
    cluster: st.SearchStrategy[Cluster] | None = None,
    most: int = 25,
    budget: st.SearchStrategy[Budget] | None = None,
    limits: st.SearchStrategy[Mapping[str, int]] | None = None,
) -> tuple[Campaign, Cluster]:
    """A campaign and a cluster that admits all of it.

    A workflow that is not admitted is replaced by a small one, so that few examples are lost.

    Parameters
    ----------
    runtimes, most, budget, limits
        As for `campaigns`.
    cluster
        What the cluster is drawn from; `clusters` if not given.

    Examples
    --------
    A property of every plan, as a test:

    >>> from hypothesis import given
    >>> from socm.planner import plan_campaign
    >>> @given(pairs(most=3))
    ... def test_no_plan_is_shorter_than_its_longest_workflow(pair):
    ...     plan = plan_campaign(*pair)
    ...     assert plan.makespan >= max(w.duration for w in plan.workflows)
    """
    place = draw(cluster if cluster is not None else clusters())
    campaign = draw(campaigns(place, runtimes, most=most, budget=budget, limits=limits))
    workflows = {}
    for workflow in campaign.workflows.values():
        request = workflow.request
        if not place.admit(request, campaign.budget)[0]:
            request = ResourceRequest(
                runtime=min(request.runtime, 60), spread=request.spread, uses=request.uses
            )
            assume(place.admit(request, campaign.budget)[0])
        workflows[workflow.name] = replace(workflow, request=request)
    return replace(campaign, workflows=workflows), place


@st.composite
def reservations(draw: st.DrawFn, cluster: Cluster, latest: int = 600) -> tuple[Reservation, ...]:
    """At most one window per node, of all or of a part of what it has."""
    windows = []
    seen: set[tuple[str, int]] = set()
    for partition in cluster.partitions:
        for node in partition.numbers:
            if (partition.home, node) in seen or not draw(RARELY):
                continue
            seen.add((partition.home, node))
            start = draw(st.integers(0, latest))
            part = draw(st.booleans())
            windows.append(
                Reservation(
                    partition=partition.name,
                    node=node,
                    start=start,
                    finish=start + draw(st.integers(1, latest)),
                    cores=draw(st.integers(1, partition.cores)) if part else None,
                    memory=draw(st.integers(0, partition.memory)) if part else None,
                    gpus=draw(st.integers(0, partition.gpus)) if part else None,
                )
            )
    return tuple(windows)
