"""How fast the planner is: ``python -m benchmarks.planner``."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from benchmarks.instances import cluster_of, layered_campaign, so_campaign
from benchmarks.table import show
from socm.model.campaign import Campaign
from socm.model.cluster import Cluster
from socm.model.plan import Plan
from socm.planner import plan_campaign

NODES = 492
SIZES = (1_000, 5_000)
TARGETS = {1_000: 1.0, 5_000: 15.0}
"""Seconds within which a campaign of so many workflows is to be planned."""

WORKLOADS: dict[str, Callable[[int], Campaign]] = {
    # Jobs of the log have nine cores on average: the cluster is never full of them.
    "layered, real sizes": lambda n: layered_campaign(n, seed=1),
    "layered, wide": lambda n: layered_campaign(n, seed=1, width=n),
    # Sixty-four times the ranks: they queue for nodes, and share them.
    "layered, ranks × 64": lambda n: layered_campaign(n, seed=1, scale=64),
    "so": lambda n: so_campaign(n, seed=1),
}


def main() -> None:
    """Print the table."""
    cluster = cluster_of(NODES)
    rows = []
    for name, make in WORKLOADS.items():
        before: float | None = None
        for n in SIZES:
            plan, seconds = timed_plan(make(n), cluster)
            growth = math.log(seconds / before, SIZES[-1] / SIZES[0]) if before else None
            rows.append(
                (
                    name,
                    f"{n:,}",
                    seconds,
                    f"{TARGETS[n]:g}",
                    f"n^{growth:.2f}" if growth is not None else "",
                    f"{_load(plan):.0%}",
                    plan.makespan / plan.lower_bound,
                )
            )
            before = seconds
    header = ("workload", "n", "seconds", "target", "growth", "cores in use", "makespan / bound")
    show(f"Planning on {NODES} nodes, bound and check included", header, rows)


def timed_plan(campaign: Campaign, cluster: Cluster) -> tuple[Plan, float]:
    """Plan a campaign, up to three times if that is quick; return the least time."""
    fastest, spent = math.inf, 0.0
    while True:
        begin = time.process_time()
        plan = plan_campaign(campaign, cluster)
        seconds = time.process_time() - begin
        fastest, spent = min(fastest, seconds), spent + seconds
        if spent > 3 * fastest * 0.99 or spent > 5:
            return plan, fastest


def _load(plan: Plan) -> float:
    """Share of all cores that the plan keeps busy."""
    cores = sum(p.nodes * p.cores for p in plan.cluster.partitions)
    return plan.core_hours * 3600 / (cores * plan.makespan)


if __name__ == "__main__":
    main()
