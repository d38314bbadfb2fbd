"""For workflows that fit nowhere: the smallest change of each number that makes them fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from socm.model.campaign import Budget, Campaign, ResourceRequest
from socm.model.cluster import Cluster
from socm.units import duration_text, format_count
from socm.words import listed

MOST_REQUESTS = 20
"""The largest number of different requests that are examined; a longer list is not read."""


def fitting(campaign: Campaign, cluster: Cluster, names: Iterable[str]) -> list[str]:
    """Say for workflows that fit nowhere which single changes would make each of them fit.

    Examples
    --------
    >>> from socm.model.campaign import Workflow
    >>> from socm.model.partition import Partition
    >>> large = ResourceRequest(memory=1200, runtime=60)
    >>> campaign = Campaign.of("large", [Workflow(name="map", request=large)])
    >>> cpu = Partition(name="cpu", nodes=2, cores=8, memory=1000)
    >>> fitting(campaign, Cluster(name="small", partitions=(cpu,)), ["map"])
    ['map with at most 1 000 MB of memory, or 2 ranks of 600 MB each']
    """
    sharing: dict[ResourceRequest, list[str]] = {}
    for name in names:
        sharing.setdefault(campaign.workflows[name].request, []).append(name)
    found: dict[str, list[str]] = {}
    for request in [*sharing][:MOST_REQUESTS]:
        if changes := ", or ".join(_changes(request, cluster, campaign.budget)):
            found.setdefault(changes, []).extend(sharing[request])
    return [f"{listed(who)} with {changes}" for changes, who in found.items()]


def _changes(request: ResourceRequest, cluster: Cluster, budget: Budget) -> Iterator[str]:
    """Yield each change of one number, or of what is named, that makes a request fit."""

    def fits(changed: ResourceRequest, within: Budget = budget) -> bool:
        return bool(cluster.admit(changed, within)[0])

    if memory := _largest(1, request.memory, lambda m: fits(replace(request, memory=m))):
        yield f"at most {format_count(memory)} MB of memory"
    for ranks in sorted({-(-request.memory // p.memory) for p in cluster.partitions}):
        if ranks > request.ranks and fits(replace(request, ranks=ranks)):
            each = -(-request.memory // ranks)
            yield f"{format_count(ranks)} ranks of {format_count(each)} MB each"
            break
    if threads := _largest(1, request.threads, lambda n: fits(replace(request, threads=n))):
        yield f"at most {threads} threads"
    gpus = _largest(0, request.gpus, lambda n: fits(replace(request, gpus=n)))
    if gpus is not None:
        yield f"at most {gpus} GPUs for each rank"
    yield from _shorter(request, cluster, fits)
    total = sum(p.nodes for p in cluster.distinct)
    if budget.nodes is not None and (
        nodes := _least(budget.nodes, total, lambda n: fits(request, replace(budget, nodes=n)))
    ):
        yield f"a budget of at least {format_count(nodes)} nodes"
    total = sum(p.nodes * p.cores for p in cluster.distinct)
    if budget.cores is not None and (
        cores := _least(budget.cores, total, lambda n: fits(request, replace(budget, cores=n)))
    ):
        yield f"requested_resources of at least {format_count(cores)} cores"
    if request.partition is not None and fits(replace(request, partition=None)):
        yield "another partition"
    elif request.partition is None and (
        named := [p.name for p in cluster.partitions if fits(replace(request, partition=p.name))]
    ):
        yield f"partition {' or '.join(named)}"
    accounts = {a: None for part in (*cluster.partitions, *cluster.qos) for a in part.accounts}
    if admitted := [a for a in accounts if fits(replace(request, account=a))]:
        yield f"account {' or '.join(admitted)}"
    others = [q.name for q in cluster.qos if q.name != request.qos]
    if allowed := [name for name in others if fits(replace(request, qos=name))]:
        yield f"QOS {' or '.join(allowed)}"


def _shorter(
    request: ResourceRequest, cluster: Cluster, fits: Callable[[ResourceRequest], bool]
) -> Iterator[str]:
    """Yield the longest walltime that fits, or the longest runtime where it follows from that."""
    limits = {p.walltime for p in cluster.partitions} | {q.walltime for _, q in cluster.pairs()}
    longest = sorted((limit for limit in limits if limit is not None), reverse=True)
    if request.walltime is not None:
        for time in longest:
            if request.runtime <= time < request.walltime and fits(replace(request, walltime=time)):
                yield f"a walltime of at most {duration_text(time)}"
                return
    else:
        times = {math.floor(time * p.speed) for time in longest for p in cluster.partitions}
        for time in sorted(times, reverse=True):
            if 1 <= time < request.runtime and fits(replace(request, runtime=time)):
                yield f"a runtime of at most {duration_text(time)}"
                return


def _largest(least: int, now: int, fits: Callable[[int], bool]) -> int | None:
    """Return the largest number below `now` that fits; the smaller, the easier it must fit."""
    if now <= least or not fits(least):
        return None
    low, high = least, now
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _least(now: int, most: int, fits: Callable[[int], bool]) -> int | None:
    """Return the least number over `now` that fits; the larger, the easier it must fit."""
    if most <= now or not fits(most):
        return None
    low, high = now, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high
