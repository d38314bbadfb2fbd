"""What compiled schedules are worth: ``python -m benchmarks.compiled [--seeds 1 2 3]``."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from statistics import fmean, geometric_mean
from typing import NamedTuple

from benchmarks.instances import cluster_of, held_out, quality_instances, so_campaign
from benchmarks.planner import NODES
from benchmarks.table import show
from socm.model.campaign import Budget, Campaign
from socm.model.cluster import Cluster
from socm.planner import POLICIES, Effort, effort, plan_campaign
from socm.planner.effort import NONE
from socm.planner.schemes import SWITCH
from socm.planner.sizing import size_campaign

SECONDS = (1.0, 5.0)
"""Searches that are compared, unless others are given."""
SIZE, LARGE = 100, 5_000
"""Workflows of a generated campaign, and of a large one."""
BUDGET = Budget(nodes=40)
"""Of a generated campaign on a large cluster."""
DEADLINE = 1.5
"""For the fewest nodes: the deadline over a lower bound of the makespan."""
VARIANTS = {"plain": "0", "compiled": None}
"""What the environment variable says; `None` is that it is not set, as users have it."""


class Row(NamedTuple):
    """What is measured for each seed."""

    what: str
    measure: Callable[[int], float]


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table; every figure is measured in a process of its own, the variants in turn."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compiled", description=__doc__)
    parser.add_argument("--seconds", type=float, nargs="+", default=SECONDS, help="of search")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[1], help="of generated campaigns and of searches"
    )
    given = parser.parse_args(arguments)
    if not find_spec("numba"):
        raise SystemExit("Numba is not installed: pip install 'socm[fast]'")
    rows = []
    for row in _rows(given.seconds):
        found: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
        for seed in given.seeds:
            for variant, figures in found.items():
                figures.append(in_process(variant, row.measure, seed))
        rows.append((row.what, *map(_spread, found.values())))
    show("Plain and compiled: mean of all seeds (least to most)", ("", *VARIANTS), rows)


def _rows(seconds: Sequence[float]) -> Iterator[Row]:
    for s in seconds:
        yield Row(f"18 instances, {s:g} s each: makespan / bound", partial(known, s))
    for s in seconds:
        what = f"generated, {SIZE} workflows, {s:g} s each: makespan / bound"
        yield Row(what, partial(generated, s))
    yield Row(f"so, {SIZE} workflows, usual search: s", usual)
    yield Row(f"so, {SIZE} workflows, the fewest nodes for a deadline: s", fewest_nodes)
    yield Row(f"so, {LARGE:,} workflows, HEFT with insertion: s", heft)


def known(seconds: float, seed: int) -> float:
    """Search for plans of the instances of ``data/quality``; return the geometric mean."""
    return geometric_mean(
        _searched(i.campaign, i.cluster, seconds, seed)[0] / i.bound for i in quality_instances()
    )


def generated(seconds: float, seed: int) -> float:
    """Search for a plan of a campaign of each kind; the bound is our own."""
    found = (
        _searched(held.campaign, held.cluster, seconds, seed)
        for held in held_out(sizes=(SIZE,), seeds=(seed,))
    )
    return geometric_mean(makespan / bound for makespan, bound in found)


def usual(seed: int) -> float:
    """Plan once; loading, if that is done, counts here and below."""
    campaign, cluster = replace(so_campaign(SIZE, seed), budget=BUDGET), cluster_of(NODES)
    begin = time.process_time()
    plan_campaign(campaign, cluster)
    return time.process_time() - begin


def fewest_nodes(seed: int) -> float:
    """Make many plans."""
    campaign, cluster = so_campaign(SIZE, seed), cluster_of(NODES)
    bound = plan_campaign(campaign, cluster, effort=NONE).lower_bound
    begin = time.process_time()
    size_campaign(replace(campaign, deadline=round(DEADLINE * bound)), cluster, plan_campaign)
    return time.process_time() - begin


def heft(seed: int) -> float:
    """Make one large schedule by the serial scheme."""
    campaign, cluster = so_campaign(LARGE, seed), cluster_of(NODES)
    begin = time.process_time()
    plan_campaign(campaign, cluster, policy=POLICIES["heft"])
    return time.process_time() - begin


def _searched(campaign: Campaign, cluster: Cluster, seconds: float, seed: int) -> tuple[int, int]:
    """Return makespan and bound after a search."""
    plan = plan_campaign(campaign, cluster, effort=Effort(seconds=seconds, seed=seed))
    return plan.makespan, plan.lower_bound


def in_process(variant: str, measure: Callable[[int], float], seed: int) -> float:
    """Return the measurement of a variant, made in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, _begin, [VARIANTS[variant]]) as one:
        return one.submit(measure, seed).result()


def _begin(switch: str | None) -> None:
    """Set the variable; and let a search count processor time, which other work does not take."""
    os.environ.pop(SWITCH, None)
    if switch is not None:
        os.environ[SWITCH] = switch
    effort.perf_counter = time.process_time


def _spread(figures: Sequence[float]) -> str:
    mean = fmean(figures)
    if len(figures) == 1:
        return f"{mean:.3f}"
    return f"{mean:.3f} ({min(figures):.3f} to {max(figures):.3f})"


if __name__ == "__main__":
    main(sys.argv[1:])
