"""How good plans are: ``python -m benchmarks.quality``."""

from __future__ import annotations

import time
from statistics import geometric_mean

from benchmarks.instances import quality_instances
from benchmarks.table import show
from socm.planner import plan_campaign

TARGET = 1.11
"""Geometric mean of makespan over bound that is to be reached."""


def main() -> None:
    """Print the table; fail if a bound of ours is above a plan that somebody has found."""
    rows, wrong = [], []
    for name, campaign, cluster, bound, best in quality_instances():
        begin = time.process_time()
        plan = plan_campaign(campaign, cluster)
        seconds = time.process_time() - begin
        rows.append(
            (
                name,
                len(campaign.workflows),
                plan.makespan,
                plan.makespan / bound,
                best / bound,
                plan.lower_bound / bound,
                seconds,
            )
        )
        if plan.lower_bound > best:
            wrong.append(f"{name}: our bound {plan.lower_bound} s, a plan takes {best} s")
    ratios, of_best, of_ours = ([float(row[k]) for row in rows] for k in (3, 4, 5))
    means = (geometric_mean(ratios), geometric_mean(of_best), geometric_mean(of_ours))
    rows.append(("geometric mean", "", "", *means, ""))
    header = ("instance", "n", "makespan", "/ bound", "best", "own bound", "seconds")
    show(f"Makespan over the best bound known (target: {TARGET})", header, rows)
    if wrong:
        raise SystemExit("\n".join(["bounds that are none:", *wrong]))


if __name__ == "__main__":
    main()
