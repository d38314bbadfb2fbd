"""How good plans are: ``python -m benchmarks.quality [--effort SECONDS]``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from statistics import geometric_mean

from benchmarks.instances import KINDS, Instance, held_out, quality_instances
from benchmarks.table import Figure, show, summarize
from socm.model.campaign import Campaign
from socm.model.cluster import Cluster
from socm.model.plan import Plan
from socm.planner import POLICIES, Effort, plan_campaign
from socm.planner.effort import NONE, USUAL

TARGETS = {1.0: 1.03, 10.0: 1.021}
"""Geometric mean of makespan over bound that is to be reached within so many seconds each."""
WITHIN = 1.0
"""Seconds of search that are always measured."""
KNOWN = ("best known", "own bound")
"""What plans are compared with: the best that any tool had found, and our own lower bound."""


def main(arguments: Sequence[str] = ()) -> list[Figure]:
    """Print both tables; fail if a bound of ours is above a plan that somebody has found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--effort", type=float, help="a column more: search for so many seconds")
    effort = parser.parse_args(arguments).effort
    seconds = [WITHIN] if effort in (None, WITHIN) else [WITHIN, effort]
    return [*_known(seconds), *_held_out(seconds)]


def plans(
    campaign: Campaign, cluster: Cluster, seconds: Sequence[float]
) -> Iterator[tuple[Plan, float]]:
    """Plan by HEFT, in one pass, with the usual effort, and so many seconds each.

    Next to each plan stands the processor time that it took.
    """
    efforts = [NONE, USUAL, *(Effort(seconds=s) for s in seconds)]
    for policy, effort in [("heft", NONE), *(("time", effort) for effort in efforts)]:
        begin = time.process_time()
        plan = plan_campaign(campaign, cluster, policy=POLICIES[policy], effort=effort)
        yield plan, time.process_time() - begin


def _names(seconds: Sequence[float]) -> list[str]:
    return ["HEFT", "effort 0", "usual", *(f"{s:g} s" for s in seconds)]


def _known(seconds: Sequence[float]) -> list[Figure]:
    """Over the bound that comes with them, on the instances of ``data/quality``."""
    names = _names(seconds)
    rows, wrong, ratios, took = [], [], [], []
    for instance in quality_instances():
        found = [*plans(instance.campaign, instance.cluster, seconds)]
        ratios.append(_ratios(instance, [plan for plan, _ in found]))
        took.append([spent for _, spent in found])
        n, own = len(instance.campaign.workflows), max(plan.lower_bound for plan, _ in found)
        rows.append((instance.name, n, *ratios[-1], f"{took[-1][2]:.2f}"))
        if own > instance.best:
            wrong.append(f"{instance.name}: our bound {own} s, a plan takes {instance.best} s")
    means = [geometric_mean(column) for column in zip(*ratios, strict=True)]
    # Some of our bounds are stronger than those of the data.
    best_bound = [max(1.0, row[-1]) for row in ratios]
    over_best = [
        geometric_mean(ratio / bound for ratio, bound in zip(column, best_bound, strict=True))
        for column in zip(*ratios, strict=True)
    ]
    longest = [max(column) for column in zip(*took, strict=True)]
    rows.append(("geometric mean", "", *means, ""))
    rows.append(("mean over the better bound", "", *over_best, ""))
    rows.append(("worst", "", *(max(column) for column in zip(*ratios, strict=True)), ""))
    rows.append(("longest call, s", "", *(f"{s:.2f}" for s in longest), "", "", ""))
    header = ("instance", "n", *names, *KNOWN, "usual, s")
    show("Makespan over the bound of the data", header, rows)
    if wrong:
        raise SystemExit("\n".join(["bounds that are none:", *wrong]))
    targets = {f"{s:g} s": TARGETS[s] for s in seconds if s in TARGETS}
    return [
        Figure(
            f"makespan / bound of the data, 18 instances, {name}",
            f"{mean:.3f}",
            f"{means[0]:.3f}",
            f"{targets[name]}" if name in targets else "",
            mean <= targets[name] if name in targets else None,
        )
        for name, mean in zip([*names[1:], *KNOWN], means[1:], strict=True)
    ]


def _ratios(instance: Instance, found: Sequence[Plan]) -> list[float]:
    own = max(plan.lower_bound for plan in found)  # one pass does without the sharpest
    makespans = [*(plan.makespan for plan in found), instance.best, own]
    return [makespan / instance.bound for makespan in makespans]


def _held_out(seconds: Sequence[float]) -> list[Figure]:
    """Over our own bound, on instances that nothing was chosen by."""
    names = _names(seconds)
    ratios: dict[str, list[list[float]]] = {kind: [] for kind in KINDS}
    for kind, campaign, cluster in held_out():
        found = [plan for plan, _ in plans(campaign, cluster, seconds)]
        bound = max(plan.lower_bound for plan in found)
        ratios[kind].append([plan.makespan / bound for plan in found])
    rows = [(kind, *_row(each)) for kind, each in ratios.items()]
    together = [row for each in ratios.values() for row in each]
    rows.append(("all", *_row(together)))
    rows.append(("worst", "", *(max(column) for column in zip(*together, strict=True)), ""))
    header = ("kind", "instances", *names, "at the bound")
    show("Held out: makespan over our own bound, geometric means", header, rows)
    means = [geometric_mean(column) for column in zip(*together, strict=True)]
    return [
        Figure(f"makespan / own bound, held out, {name}", f"{mean:.3f}", f"{means[0]:.3f}")
        for name, mean in zip(names[1:], means[1:], strict=True)
    ]


def _row(ratios: Sequence[Sequence[float]]) -> list[object]:
    """How many, geometric means, and how many of the last column's plans are proved shortest."""
    means = [geometric_mean(column) for column in zip(*ratios, strict=True)]
    return [len(ratios), *means, sum(row[-1] == 1 for row in ratios)]


if __name__ == "__main__":
    summarize(main(sys.argv[1:]))
