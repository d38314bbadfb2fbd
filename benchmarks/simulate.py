"""How fast the emulator is: ``python -m benchmarks.simulate``."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from benchmarks.instances import cluster_of, layered_campaign, so_campaign
from benchmarks.table import Figure, show, summarize
from sim.backend import SimBackend
from sim.stochastic import runtime_factors
from socm.engine.backend import Job
from socm.engine.driver import run_plan
from socm.engine.journal import MemoryJournal
from socm.engine.release import RELEASES
from socm.model.plan import Plan
from socm.planner import plan_campaign

TARGET = 100
"""Milliseconds that a replication of 1,000 workflows on 30 nodes may take."""
REPLICATIONS = 5


def main(arguments: Sequence[str] = ()) -> list[Figure]:
    """Print a row per workload and release rule."""
    campaigns = {
        "layered": layered_campaign(1_000, seed=1),
        "layered, ranks × 8": layered_campaign(1_000, seed=1, scale=8),
        "so": so_campaign(1_000, seed=1),
    }
    rows, slowest = [], 0.0
    for name, campaign in campaigns.items():
        plan = plan_campaign(campaign, cluster_of(30))
        for rule in RELEASES:
            seconds, events = replicate(plan, rule)
            each = 1000 * seconds / REPLICATIONS
            slowest = max(slowest, each)
            rows.append((name, rule, f"{each:.0f}", f"{events / seconds:,.0f}"))
    title = f"1,000 workflows on 30 nodes, σ = 0.2 (target: {TARGET} ms per replication)"
    show(title, ("workload", "release", "ms", "events/s"), rows)
    what = "a replication of 1,000 workflows, slowest, ms"
    return [Figure(what, f"{slowest:.0f}", "", f"{TARGET}", slowest <= TARGET)]


def replicate(plan: Plan, rule: str) -> tuple[float, int]:
    """Run some replications; return the seconds that they took, and the events that they had."""
    durations = [plan.by_name[name].duration for name in plan.campaign.workflows]
    events = 0
    begin = time.process_time()
    for k in range(REPLICATIONS):
        factors = runtime_factors(plan, seed=1, replication=k)
        true = dict(zip(plan.campaign.workflows, factors * durations, strict=True))

        def runtime(job: Job, true: dict[str, float] = true) -> float:
            return float(true[job.workflow.name])

        journal = MemoryJournal()
        run_plan(plan, SimBackend(plan.cluster, runtime), journal, release=RELEASES[rule])
        events += len(journal.events)
    return time.process_time() - begin, events


if __name__ == "__main__":
    summarize(main(sys.argv[1:]))
