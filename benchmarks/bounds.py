"""How strong lower bounds are, and what they take: ``python -m benchmarks.bounds``."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from statistics import geometric_mean

from benchmarks.instances import quality_instances
from benchmarks.table import Figure, show, summarize
from socm.planner.bounds import bounds_by_name

NAMES = ("critical path", "heads and tails", "pigeonholes", "destructive")


def main(arguments: Sequence[str] = ()) -> list[Figure]:
    """Print each bound over the best makespan known; fail if one is above it.

    The milliseconds are those of all bounds together, once they stop at the best makespan known.
    """
    rows, wrong = [], []
    for name, campaign, cluster, bound, best in quality_instances():
        options = {
            w.name: cluster.admit(w.request, campaign.budget)[0]
            for w in campaign.workflows.values()
        }
        _ = campaign.order, campaign.children  # found once for each campaign, by whoever asks first
        begin = time.process_time()
        bounds = bounds_by_name(campaign, cluster, options, known=best)
        milliseconds = (time.process_time() - begin) * 1000
        largest = max(bounds.values())
        # A bound that was not tried is shown as the largest before it: nothing was left to prove.
        shares = [bounds.get(which, largest) / best for which in NAMES]
        rows.append(
            (name, len(options), *shares, largest / best, bound / best, f"{milliseconds:.0f}")
        )
        if largest > best:
            wrong.append(f"{name}: our bound is {largest} s, a plan takes {best} s")
    means = [geometric_mean([float(row[k]) for row in rows]) for k in range(2, 8)]
    rows.append(("geometric mean", "", *means, ""))
    header = ("instance", "n", *NAMES, "largest", "CP-SAT's", "ms")
    show("Lower bounds over the best makespan known", header, rows)
    if wrong:
        raise SystemExit("\n".join(["bounds that are none:", *wrong]))
    return [
        Figure(
            "lower bound / best makespan known, 18 instances, and CP-SAT's",
            f"{means[-2]:.3f}",
            f"{means[-1]:.3f}",
        )
    ]


if __name__ == "__main__":
    summarize(main(sys.argv[1:]))
