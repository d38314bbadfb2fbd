"""Campaigns to measure with: instances with known bounds, and random ones of real job sizes."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from socm.model.campaign import Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster, Partition
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
    return sorted(int(k) for k in rng.choice(among, count, replace=False))


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
