"""Campaigns to measure with: instances with known bounds, and random ones of real job sizes."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from socm.model.campaign import Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster
from socm.model.partition import Partition
from socm.units import DAY, MINUTE

DATA = Path(__file__).parent / "data"
COLUMNS = ("lower_bound_s", "best_valid_s")
CORES, MEMORY = 112, 1_000_000
"""Of each node of the clusters made here; memory in MB."""


class Instance(NamedTuple):
    """A campaign and a cluster, with what is known of the best makespan (in seconds)."""

    name: str
    campaign: Campaign
    cluster: Cluster
    bound: int  # no plan ends sooner
    best: int  # a plan that ends then is known


def quality_instances() -> Iterator[Instance]:
    """Yield the instances of ``data/quality``."""
    with open(DATA / "quality" / "bounds.csv", newline="") as file:
        for row in csv.DictReader(file):
            yield _load(row["name"], *(round(float(row[c])) for c in COLUMNS))


def _load(name: str, bound: int, best: int) -> Instance:
    with gzip.open(DATA / "quality" / f"{name}.json.gz") as file:
        document = json.load(file)
    nodes, cores, memory = (document["cluster"][key] for key in ("nodes", "cores", "mem"))
    workflows = [
        Workflow(
            name=task["name"],
            request=ResourceRequest(
                ranks=task["ranks"],
                threads=task["threads"],
                memory=task["mem"],
                runtime=task["runtime"],
            ),
            depends=tuple(task["depends"]),
        )
        for task in document["tasks"]
    ]
    cluster = cluster_of(nodes, cores=cores, memory=memory)
    return Instance(name, Campaign.of(name, workflows), cluster, bound, best)


def cluster_of(nodes: int, *, cores: int = CORES, memory: int = MEMORY) -> Cluster:
    """Return a cluster of one partition without limits."""
    cpu = Partition(name="cpu", nodes=nodes, cores=cores, memory=memory)
    return Cluster(name=f"{nodes} nodes", partitions=(cpu,))


# Shapes: for each of n workflows the numbers of those that it waits for, all smaller than its own.

Shape = list[list[int]]


def layered(n: int, rng: np.random.Generator, width: int | None = None) -> Shape:
    """Return layers (about ten of them); each waits for one to three of the layer before."""
    width = width or max(2, n // 10)
    return [
        _some(rng, range((k // width - 1) * width, k // width * width), 3) if k >= width else []
        for k in range(n)
    ]


def random_dag(n: int, rng: np.random.Generator) -> Shape:
    """Each waits for up to three of all before it."""
    return [_some(rng, range(k), 3) if k and rng.random() < 0.8 else [] for k in range(n)]


def fork_join(n: int, rng: np.random.Generator) -> Shape:
    """One, then many side by side, then one that waits for all of them; and so on."""
    shape: Shape = [[]]
    joint = 0
    while len(shape) < n:
        width = min(int(rng.integers(4, 17)), max(1, n - len(shape) - 1))
        branches = list(range(len(shape), len(shape) + width))
        shape += [[joint]] * width
        if len(shape) < n:
            joint = len(shape)
            shape.append(branches)
    return shape


def independent(n: int, rng: np.random.Generator) -> Shape:
    """Nobody waits for anybody."""
    return [[] for _ in range(n)]


def _some(rng: np.random.Generator, among: Sequence[int], most: int) -> list[int]:
    count = int(rng.integers(1, min(most, len(among)) + 1))
    return sorted(among[k] for k in rng.choice(len(among), count, replace=False))


# Sizes


@cache
def real_jobs() -> tuple[ResourceRequest, ...]:
    """Read the jobs of ``data/swf`` that ran from a minute to a week.

    The log says on how many nodes a job ran, with how many cores and how much memory over all.
    A process on each node with all cores of the job there is one rank: it can not be split.
    """
    with gzip.open(DATA / "swf" / "metacentrum-wagap-2013.csv.gz", "rt", newline="") as file:
        rows = [{key: int(value) for key, value in row.items()} for row in csv.DictReader(file)]
    return tuple(
        ResourceRequest(
            ranks=row["nodes"], threads=row["ppn"], memory=row["mem_mb"], runtime=row["run_s"]
        )
        for row in rows
        if MINUTE <= row["run_s"] <= 7 * DAY and row["nodes"] * row["ppn"] == row["cores"]
    )


def draw_real(n: int, rng: np.random.Generator, scale: int = 1) -> list[ResourceRequest]:
    """Draw real jobs; `scale` gives each so many times the ranks, and the memory of them."""
    jobs = real_jobs()
    return [
        ResourceRequest(
            ranks=job.ranks * scale,
            threads=job.threads,
            memory=job.memory * scale,
            runtime=job.runtime,
        )
        for job in (jobs[k] for k in rng.integers(len(jobs), size=n))
    ]


def draw_mixed(n: int, rng: np.random.Generator) -> list[ResourceRequest]:
    """Draw requests all over the range: ranks that share a node, and ranks that fill one."""
    return [
        ResourceRequest(
            ranks=(ranks := int(rng.integers(1, 17))),
            threads=int(rng.choice([1, 2, 4, 8, 16, 28, 56])),
            memory=ranks * int(rng.choice([500, 2_000, 16_000, 60_000, 300_000])),
            runtime=int(np.exp(rng.uniform(np.log(300), np.log(40_000)))),
        )
        for _ in range(n)
    ]


SO_KINDS = (
    # ranks, threads, MB, shortest and longest runtime
    (70, 8, 4_800_000, 17_000, 32_000),
    (35, 8, 2_400_000, 10_500, 18_000),
    (17, 8, 80_000, 11_000, 16_500),
    (12, 8, 80_000, 10_000, 18_500),
    (1, 4, 48_000, 450, 750),
    (1, 10, 72_000, 450, 750),
)
"""Map-making and what follows it, as in the instance ``so-50``."""


def so_campaign(n: int, seed: int) -> Campaign:
    """One in eight makes a large map; each of the rest, of any other kind, needs one to four."""
    rng = np.random.default_rng(seed)
    maps = max(1, n // 8)
    kinds = [0] * maps + list(rng.integers(1, len(SO_KINDS), size=n - maps))
    shape: Shape = [[] for _ in range(maps)]
    shape += [_some(rng, range(maps), 4) for _ in range(n - maps)]
    requests = [
        ResourceRequest(
            ranks=ranks, threads=threads, memory=memory, runtime=int(rng.integers(low, high))
        )
        for ranks, threads, memory, low, high in (SO_KINDS[kind] for kind in kinds)
    ]
    return campaign_of(f"so {n:,}", shape, requests)


def layered_campaign(n: int, seed: int, *, width: int | None = None, scale: int = 1) -> Campaign:
    """Layers of real jobs."""
    rng = np.random.default_rng(seed)
    shape = layered(n, rng, width)
    return campaign_of(f"layered {n:,}", shape, draw_real(n, rng, scale))


def random_campaign(n: int, seed: int) -> Campaign:
    """Sizes all over the range, and dependencies between any two."""
    rng = np.random.default_rng(seed)
    return campaign_of(f"random {n:,}", random_dag(n, rng), draw_mixed(n, rng))


def fork_join_campaign(n: int, seed: int) -> Campaign:
    """Stages side by side of alike workflows; between them one that takes four cores."""
    rng = np.random.default_rng(seed)
    shape = fork_join(n, rng)
    stages: dict[tuple[int, ...], ResourceRequest] = {}
    requests = []
    for k, parents in enumerate(shape):
        if k == 0 or len(parents) > 1:
            joint = int(rng.integers(300, 1_500))
            requests.append(ResourceRequest(ranks=1, threads=4, memory=8_000, runtime=joint))
        else:
            stage = stages.setdefault(tuple(parents), draw_mixed(1, rng)[0])
            runtime = max(MINUTE, round(stage.runtime * rng.uniform(0.8, 1.2)))
            requests.append(replace(stage, runtime=runtime))
    return campaign_of(f"fork-join {n:,}", shape, requests)


def swf_campaign(n: int, seed: int, *, scale: int = 1) -> Campaign:
    """Real jobs that nobody waits for."""
    rng = np.random.default_rng(seed)
    return campaign_of(f"swf {n:,}", independent(n, rng), draw_real(n, rng, scale))


def psplib_campaign(n: int, seed: int) -> Campaign:
    """Activities as those of PSPLIB: one to ten of each resource, for one to ten periods."""
    rng = np.random.default_rng(seed)
    requests = [
        ResourceRequest(
            threads=int(rng.integers(1, 11)),
            memory=1_000 * int(rng.integers(1, 11)),
            runtime=MINUTE * int(rng.integers(1, 11)),
        )
        for _ in range(n)
    ]
    return campaign_of(f"psplib {n:,}", random_dag(n, rng), requests)


def whole_node_campaign(n: int, seed: int) -> Campaign:
    """Each takes a node, for as long as a real job; one comes before all others, one after all."""
    rng = np.random.default_rng(seed)
    inner = random_dag(n - 2, rng)
    awaited = {parent for parents in inner for parent in parents}
    shape: Shape = [[], *([p + 1 for p in parents] or [0] for parents in inner)]
    shape.append([k + 1 for k in range(n - 2) if k not in awaited] or [0])
    requests = [
        ResourceRequest(threads=CORES, memory=MEMORY, runtime=job.runtime)
        for job in draw_real(n, rng)
    ]
    return campaign_of(f"whole nodes {n:,}", shape, requests)


def campaign_of(name: str, shape: Shape, requests: Sequence[ResourceRequest]) -> Campaign:
    """Put a shape and sizes together."""
    names = [f"w{k:05}" for k in range(len(shape))]
    return Campaign.of(
        name,
        [
            Workflow(name=names[k], request=request, depends=tuple(names[p] for p in parents))
            for k, (parents, request) in enumerate(zip(shape, requests, strict=True))
        ],
    )


# Held out: other instances of the kinds of ``data/quality``. Nothing was ever chosen by them.


class HeldOut(NamedTuple):
    """A campaign of a kind, on a cluster that is small enough to matter."""

    kind: str
    campaign: Campaign
    cluster: Cluster


KINDS: dict[str, Callable[[int, int], Campaign]] = {
    "layered": lambda n, seed: layered_campaign(n, seed, scale=8),
    "random": random_campaign,
    "fork-join": fork_join_campaign,
    "so": so_campaign,
    "swf": lambda n, seed: swf_campaign(n, seed, scale=8),
    "psplib": psplib_campaign,
}
"""By name; real jobs have eight times the ranks, as they would else all fit on one node."""


def held_out(
    sizes: Sequence[int] = (30, 100, 300), seeds: Sequence[int] = (101, 102)
) -> Iterator[HeldOut]:
    """Yield instances of each kind; the work of all takes about as long as the longest chain."""
    for kind, make in KINDS.items():
        for n in sizes:
            for seed in seeds:
                campaign = make(n, seed)
                tight = tight_node if kind == "psplib" else tight_cluster
                yield HeldOut(kind, campaign, tight(campaign))


def tight_cluster(campaign: Campaign) -> Cluster:
    """Return so many nodes that all of the work takes about as long as the longest chain."""
    requests = [w.request for w in campaign.workflows.values()]
    cores, memory = _demand(campaign)
    widest = max(-(-r.ranks // min(CORES // r.threads, ranks_by_memory(r))) for r in requests)
    return cluster_of(max(1, widest, round(cores / CORES), round(memory / MEMORY)))


def tight_node(campaign: Campaign) -> Cluster:
    """Return one node that is busy for about as long as the longest chain takes."""
    requests = [w.request for w in campaign.workflows.values()]
    cores, memory = _demand(campaign)
    return cluster_of(
        1,
        cores=max(round(cores), *(r.ranks * r.threads for r in requests)),
        memory=max(round(memory), *(r.memory for r in requests)),
    )


def ranks_by_memory(request: ResourceRequest) -> int:
    """How many ranks the memory of an empty node holds."""
    if not request.memory:
        return request.ranks
    return min(request.ranks, MEMORY * request.ranks // request.memory)


def _demand(campaign: Campaign) -> tuple[float, float]:
    """Cores and MB that are busy on average if all is done as fast as the longest chain."""
    finish: dict[str, int] = {}
    cores = memory = 0
    for name in campaign.order:
        workflow = campaign.workflows[name]
        request = workflow.request
        finish[name] = request.runtime + max((finish[d] for d in workflow.depends), default=0)
        cores += request.ranks * request.threads * request.runtime
        memory += request.memory * request.runtime
    chain = max(finish.values())
    return cores / chain, memory / chain
