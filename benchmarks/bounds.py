"""How strong lower bounds are: ``python -m benchmarks.bounds [--prove SECONDS]``.

With ``--prove``, also what CP-SAT makes of each plan in so many seconds.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from statistics import geometric_mean

from benchmarks.instances import quality_instances
from benchmarks.table import Figure, show, summarize
from socm.planner import plan_campaign
from socm.planner.bounds import bounds_by_name
from socm.planner.bounds.proof import prove

NAMES = ("critical path", "heads and tails", "pigeonholes", "destructive")


def main(arguments: Sequence[str] = ()) -> list[Figure]:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="How strong lower bounds are.")
    parser.add_argument("--prove", type=float, metavar="SECONDS")
    seconds = parser.parse_args(arguments).prove
    return own_bounds() if seconds is None else [*own_bounds(), *proofs(seconds)]


def own_bounds() -> list[Figure]:
    """Print each bound over the best makespan known; fail if one is above it.

    The milliseconds are those of all bounds together, once they stop at the best makespan known.
    """
    rows, wrong = [], []
    for name, campaign, cluster, bound, best in quality_instances():
        modes = {
            w.name: cluster.admit(w.request, campaign.budget)[0]
            for w in campaign.workflows.values()
        }
        _ = campaign.order, campaign.children  # found once for each campaign, by whoever asks first
        begin = time.process_time()
        bounds = bounds_by_name(campaign, cluster, modes, known=best)
        milliseconds = (time.process_time() - begin) * 1000
        largest = max(bounds.values())
        # A bound that was not tried is shown as the largest before it: nothing was left to prove.
        shares = [bounds.get(which, largest) / best for which in NAMES]
        rows.append(
            (name, len(modes), *shares, largest / best, bound / best, f"{milliseconds:.0f}")
        )
        if largest > best:
            wrong.append(f"{name}: our bound is {largest} s, a plan takes {best} s")
    means = [geometric_mean([float(row[k]) for row in rows]) for k in range(2, 8)]
    rows.append(("geometric mean", "", *means, ""))
    header = ("instance", "n", *NAMES, "largest", "CP-SAT's", "ms")
    show("Lower bounds over the best makespan known", header, rows)
    if wrong:
        raise SystemExit("\n".join(["bounds that are none:", *wrong]))
    what = "lower bound / best makespan known, 18 instances, and CP-SAT's"
    return [Figure(what, f"{means[-2]:.3f}", f"{means[-1]:.3f}")]


def proofs(seconds: float) -> list[Figure]:
    """Print what CP-SAT comes to, beginning at our plan; fail if that is above a known plan."""
    rows, wrong = [], []
    for name, campaign, cluster, _, best in quality_instances():
        plan = plan_campaign(campaign, cluster)
        proof = prove(plan, seconds=seconds)
        makespan = proof.plan.makespan
        ratios = plan.makespan / best, makespan / best, proof.bound / best
        rows.append((name, len(campaign.workflows), *ratios, proof.status, f"{proof.seconds:.0f}"))
        if proof.bound > best:
            wrong.append(f"{name}: {proof.bound} s is proved, a plan takes {best} s")
    means = [geometric_mean([float(row[k]) for row in rows]) for k in (2, 3, 4)]
    optimal = sum(row[5] == "optimal" for row in rows)
    rows.append(("geometric mean", "", *means, f"{optimal} optimal", ""))
    header = ("instance", "n", "plan", "better plan", "bound", "status", "seconds")
    show(f"CP-SAT for {seconds:g} s, over the best makespan known", header, rows)
    if wrong:
        raise SystemExit("\n".join(["bounds that are none:", *wrong]))
    what = f"makespan / best known, 18 instances, CP-SAT for {seconds:g} s, and ours before"
    return [Figure(what, f"{means[1]:.3f}", f"{means[0]:.3f}")]


if __name__ == "__main__":
    summarize(main(sys.argv[1:]))
