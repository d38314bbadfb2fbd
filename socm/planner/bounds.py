"""Makespans that no plan can beat.

Every bound holds for every plan on the cluster, whatever the policy: each lets something go
(where nodes end, what runs beside what, the order) and asks what time the rest still takes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from socm.model.campaign import Campaign
from socm.model.cluster import Cluster, Option

Options = Mapping[str, Sequence[Option]]
_LEVELS = 64
"""How many heads, and how many tails, the head-tail bound tries at the most."""


def lower_bound(campaign: Campaign, cluster: Cluster, options: Options, *, start: int = 0) -> int:
    """Return the largest of the bounds below, in seconds since the campaign's start.

    Parameters
    ----------
    options
        For each workflow that is still to be planned, the partitions and QOS that admit it.
    start
        When the plan begins.
    """
    if not options:
        return start
    duration = {name: min(o.duration for o in ways) for name, ways in options.items()}
    head, tail = heads_and_tails(campaign, duration)
    critical_path = max(head[n] + duration[n] + tail[n] for n in duration)
    times = machine_times(campaign, cluster, options)
    return start + max([critical_path, *(head_tail_bound(head, tail, t) for t in times)])


def heads_and_tails(
    campaign: Campaign, duration: Mapping[str, int]
) -> tuple[dict[str, int], dict[str, int]]:
    """Return how long after the start each workflow must begin, and before the end it must end.

    Examples
    --------
    >>> from socm.model.campaign import ResourceRequest, Workflow
    >>> minute = ResourceRequest(runtime=60)
    >>> pair = Campaign.of("pair", [
    ...     Workflow(name="a", request=minute), Workflow(name="b", request=minute, depends=("a",))
    ... ])
    >>> heads_and_tails(pair, {"a": 60, "b": 30})
    ({'a': 0, 'b': 60}, {'b': 0, 'a': 30})
    """
    head: dict[str, int] = {}
    tail: dict[str, int] = {}
    order = [name for name in campaign.order if name in duration]
    for name in order:
        parents = campaign.workflows[name].depends
        head[name] = max((head[p] + duration[p] for p in parents if p in head), default=0)
    for name in reversed(order):
        children = campaign.children[name]
        tail[name] = max((tail[c] + duration[c] for c in children if c in tail), default=0)
    return head, tail


def machine_times(campaign: Campaign, cluster: Cluster, options: Options) -> list[dict[str, float]]:
    """Return for each resource how long each workflow alone would keep all of it busy.

    The resources are cores, memory and GPUs, each also as *big ranks*: ranks that take more than
    half of what a node has, of which a node holds one at a time. That rule holds for each
    resource by itself only: a rank with most of the cores and one with most of the memory may
    well share a node.
    """
    nodes = [p.nodes for p in cluster.partitions]
    budget = campaign.budget
    node_total = min(sum(nodes), budget.nodes or math.inf)

    def total(of_node: Sequence[int]) -> float:
        """What all nodes have; under a budget of nodes, what the largest of them have."""
        have, left = 0.0, node_total
        for amount, count in sorted(zip(of_node, nodes, strict=True), reverse=True):
            have += amount * min(count, left)
            left -= min(count, left)
        return have

    all_cores = min(total([p.cores for p in cluster.partitions]), budget.cores or math.inf)
    all_memory = total([p.memory for p in cluster.partitions])
    all_gpus = total([p.gpus for p in cluster.partitions])

    cores, memory, gpus = {}, {}, {}
    big: tuple[dict[str, float], ...] = ({}, {}, {})
    for name, ways in options.items():
        request = campaign.workflows[name].request
        whole = [o.fewest_nodes if o.exclusive else 0 for o in ways]
        cores[name] = min(o.cores * o.duration for o in ways) / all_cores
        memory[name] = (
            min(
                max(n * o.partition.memory, request.memory) * o.duration
                for o, n in zip(ways, whole, strict=True)
            )
            / all_memory
            if all_memory
            else 0.0
        )
        gpus[name] = (
            min(request.ranks * request.gpus * o.duration for o in ways) / all_gpus
            if all_gpus
            else 0.0
        )
        for column, halves in zip(
            big,
            (
                [o.threads * 2 > o.partition.cores for o in ways],
                [request.memory * 2 > o.partition.memory * request.ranks for o in ways],
                [request.gpus * 2 > o.partition.gpus for o in ways],
            ),
            strict=True,
        ):
            column[name] = (
                min(
                    (request.ranks if half else n) * o.duration
                    for o, n, half in zip(ways, whole, halves, strict=True)
                )
                / node_total
            )
    return [cores, memory, gpus, *big]


def head_tail_bound(
    head: Mapping[str, int], tail: Mapping[str, int], time: Mapping[str, float]
) -> int:
    """Return the longest that any set of workflows takes between its least head and least tail.

    Workflows with a head of at least h and a tail of at least t all run between h and the end
    less t; so the end is no sooner than h + (their time on the whole machine) + t. Taking h = t =
    0 gives the plain area bound.

    Examples
    --------
    >>> head_tail_bound({"a": 0, "b": 10}, {"a": 0, "b": 5}, {"a": 100, "b": 90.5})
    191
    """
    names = list(head)
    h, t = (np.array([side[n] for n in names], dtype=float) for side in (head, tail))
    levels_h, levels_t = _levels(h), _levels(t)
    area = np.zeros((len(levels_h), len(levels_t)))
    row = np.searchsorted(levels_h, h, side="right") - 1
    column = np.searchsorted(levels_t, t, side="right") - 1
    np.add.at(area, (row, column), np.array([time[n] for n in names]))
    at_least = area[::-1, ::-1].cumsum(axis=0).cumsum(axis=1)[::-1, ::-1]
    ends = np.where(at_least > 0, levels_h[:, None] + at_least + levels_t[None, :], 0.0)
    # The areas are sums of floats: a last digit must not lift the bound by a whole second.
    return math.ceil(float(ends.max()) * (1 - 1e-12) - 1e-6)


def _levels(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distinct values, or a sample of them that keeps the least."""
    distinct = np.unique(values)
    if len(distinct) > _LEVELS:
        picked = np.linspace(0, len(distinct) - 1, _LEVELS).round().astype(int)
        distinct = distinct[picked]
    return distinct
