"""How fast the planner is, in one pass: ``python -m benchmarks.planner [--large]``."""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks.instances import cluster_of, layered_campaign, random_campaign, so_campaign
from benchmarks.table import Figure, show, summarize
from socm.model.campaign import Campaign
from socm.model.plan import Plan
from socm.planner import POLICIES, plan_campaign
from socm.planner.effort import NONE

NODES = 492
SIZES, LARGE = (1_000, 5_000, 10_000), 100_000
TARGETS = {1_000: 0.3, 10_000: 5.0, 100_000: 60.0}
"""Seconds within which a campaign is to be planned, by number of workflows."""
MOST_MEMORY = 2_000
"""MB that a process may take for that."""
HEFT_UP_TO, MOST_OVER_HEFT = 5_000, 1.05
"""HEFT with insertion is run up to so many workflows; a plan may be so much longer than its."""

WORKLOADS: dict[str, Callable[[int, int], Campaign]] = {
    # Jobs of the log have nine cores on average: the cluster is never full of them.
    "layered, real sizes": layered_campaign,
    # Sixty-four times the ranks: they queue for nodes, and share them.
    "layered, ranks × 64": lambda n, seed: layered_campaign(n, seed, scale=64),
    "so, six shapes": so_campaign,
    "random shapes": random_campaign,
}
"""By name, of a number of workflows and a seed."""


class Measured(NamedTuple):
    """What planning a workload took, and gave."""

    seconds: float
    megabytes: float
    load: float  # share of all cores that is busy
    over_bound: float
    over_heft: float | None


def main(arguments: Sequence[str] = ()) -> list[Figure]:
    """Print the table; each line is measured in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planner", description=__doc__)
    parser.add_argument("--large", action="store_true", help=f"{LARGE:,} workflows, too")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.measure:
        workload, n = given.measure
        print(json.dumps(measure(WORKLOADS[workload](int(n), 1))))
        return []
    rows, figures = [], []
    for n in (*SIZES, LARGE) if given.large else SIZES:
        found = {name: _in_process(name, n) for name in WORKLOADS}
        rows += [_row(name, n, m) for name, m in found.items()]
        figures += _figures(n, [*found.values()])
    header = ("workload", "n", "seconds", "target", "MB", "cores in use")
    header += ("/ bound", "/ HEFT")
    show(f"Planning on {NODES} nodes in one pass, bound and check included", header, rows)
    return figures


def measure(campaign: Campaign) -> Measured:
    """Plan a campaign, up to three times if that is quick; the least time counts."""
    cluster = cluster_of(NODES)
    plan_campaign(so_campaign(20, seed=1), cluster, effort=NONE)  # what loads, loads now
    taken: list[float] = []
    while not taken or (len(taken) < 3 and sum(taken) < 5):
        begin = time.process_time()
        plan = plan_campaign(campaign, cluster, effort=NONE)
        taken.append(time.process_time() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    over_heft = None
    if len(campaign.workflows) <= HEFT_UP_TO:
        heft = plan_campaign(campaign, cluster, policy=POLICIES["heft"], effort=NONE)
        over_heft = plan.makespan / heft.makespan
    return Measured(
        seconds=min(taken),
        megabytes=peak / (1e6 if sys.platform == "darwin" else 1e3),  # bytes there, KB elsewhere
        load=_load(plan),
        over_bound=plan.makespan / plan.lower_bound,
        over_heft=over_heft,
    )


def _in_process(workload: str, n: int) -> Measured:
    command = [sys.executable, "-m", "benchmarks.planner", "--measure", workload, str(n)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Measured(*json.loads(done.stdout))


def _row(workload: str, n: int, m: Measured) -> list[object]:
    return [
        workload,
        f"{n:,}",
        f"{m.seconds:.2f}",
        f"{TARGETS[n]:g}" if n in TARGETS else "",
        f"{m.megabytes:.0f}",
        f"{m.load:.0%}",
        m.over_bound,
        "" if m.over_heft is None else m.over_heft,
    ]


def _figures(n: int, found: Sequence[Measured]) -> list[Figure]:
    """Return the worst of all workloads."""
    seconds, megabytes = max(m.seconds for m in found), max(m.megabytes for m in found)
    target = TARGETS.get(n)
    name = f"planning {n:,}, slowest of {len(found)}"
    figures = []
    if target is not None:
        met = seconds <= target
        figures.append(Figure(f"{name}, s", f"{seconds:.2f}", "", f"{target:g}", met))
    if n == LARGE:
        met = megabytes <= MOST_MEMORY
        figures.append(Figure(f"{name}, MB", f"{megabytes:.0f}", "", f"{MOST_MEMORY}", met))
    over_heft = [m.over_heft for m in found if m.over_heft is not None]
    if over_heft:
        worst = max(over_heft)
        what = f"makespan / HEFT with insertion, {n:,}"
        figures.append(
            Figure(what, f"{worst:.3f}", "1", f"{MOST_OVER_HEFT}", worst <= MOST_OVER_HEFT)
        )
    return figures


def _load(plan: Plan) -> float:
    """Share of all cores that the plan keeps busy."""
    cores = sum(p.nodes * p.cores for p in plan.cluster.partitions)
    return plan.core_hours * 3600 / (cores * plan.makespan)


if __name__ == "__main__":
    summarize(main(sys.argv[1:]))
