"""How we stand against other planners: ``python -m benchmarks.peers``, after ``make peers``.

Theirs and ours take turns on one machine in one run; times are of the processor. What a peer is
asked, and what it does not know of, is in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import geometric_mean
from typing import Any, NamedTuple

from benchmarks.instances import (
    cluster_of,
    layered_campaign,
    quality_instances,
    so_campaign,
    whole_node_campaign,
)
from benchmarks.table import Figure, show, summarize
from socm.model.campaign import Campaign
from socm.model.cluster import Cluster
from socm.model.plan import Plan
from socm.planner import POLICIES, admitted, plan_campaign
from socm.planner.effort import NONE
from socm.planner.instance import instance_of

N = 200
ORIGINAL, SAGA = "so-campaign-manager", "anrg-saga"
WORKER = Path(__file__).with_name("peer_pass.py")


class Case(NamedTuple):
    """A campaign for a peer and for us."""

    peer: str
    workload: str
    nodes: int
    target: int | None  # how many times faster ours is to be
    rounds: int  # the least time of so many counts
    log: bool = False  # whether the peer writes its log


CASES = (
    Case(ORIGINAL, "so", 30, 50, 3),
    Case(ORIGINAL, "so", 30, 50, 3, log=True),
    Case(ORIGINAL, "layered", 30, 50, 3),
    Case(ORIGINAL, "layered", 30, 50, 3, log=True),
    Case(SAGA, "whole nodes", 492, 500, 2),
    # Here they wait for nodes.
    Case(SAGA, "whole nodes", 8, None, 3),
)
MAKERS = {"so": so_campaign, "layered": layered_campaign, "whole nodes": whole_node_campaign}


class Slot(NamedTuple):
    """Where a peer puts a workflow: on cores side by side, numbered through all nodes."""

    name: str
    start: float
    finish: float
    core: int  # the first of them


class Answer(NamedTuple):
    """A peer's plan."""

    seconds: float
    version: str
    plan: list[Slot]

    @property
    def makespan(self) -> float:
        """When the last workflow ends."""
        return max(slot.finish for slot in self.plan)


class Missing(Exception):
    """The peer is not installed."""


def main(arguments: Sequence[str] = ()) -> list[Figure]:
    """Print both tables, or say what is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the campaigns (1)")
    seed = parser.parse_args(arguments).seed
    # Ours as it stands alone; compiled code would be loaded in the middle of it.
    os.environ["SOCM_COMPILED"] = "0"
    figures: list[Figure] = []
    rows: list[list[object]] = []
    missing: dict[str, str] = {}
    for case in CASES:
        if case.peer in missing:
            continue
        try:
            row, ratio, of_pass = _side_by_side(case, seed)
        except Missing as error:
            missing[case.peer] = str(error)
            continue
        rows.append(row)
        if case.target:
            name = f"planning {N}, {case.workload}, times faster (our pass alone) than {row[0]}"
            met = ratio >= case.target
            figures.append(
                Figure(name, f"{ratio:,.0f} ({of_pass:,.0f})", "1", f"{case.target}", met)
            )
    header = ("peer", "workload", "nodes", "peer, s", "ours, s", "times faster", "target")
    header += ("our pass alone, s", "times faster", "peer / bound", "ours / bound")
    header += ("the peer's plan",)
    if rows:
        show(f"One plan of {N} workflows, side by side", header, rows)
    if ORIGINAL not in missing:
        figures += _quality()
    for peer, why in missing.items():
        print(f"\n{peer} was NOT measured: {why}", file=sys.stderr)
    return figures


def _side_by_side(case: Case, seed: int) -> tuple[list[object], float, float]:
    """Let both plan in turn; return a row, and how many times faster we are: all, a pass alone."""
    cluster = cluster_of(case.nodes)
    theirs, ours, alone = [], [], []
    plan_campaign(MAKERS[case.workload](N, seed), cluster, effort=NONE)  # loads what it needs
    for _ in range(case.rounds):
        campaign = MAKERS[case.workload](N, seed)
        answer = ask(case.peer, campaign, cluster, log=case.log)
        theirs.append(answer.seconds)
        begin = time.process_time()
        plan = plan_campaign(campaign, cluster, effort=NONE)
        ours.append(time.process_time() - begin)
        alone.append(_pass_alone(MAKERS[case.workload](N, seed), cluster))
    ratio, of_pass = min(theirs) / min(ours), min(theirs) / min(alone)
    row = [
        f"{case.peer} {answer.version}" + (", with its log" if case.log else ""),
        case.workload,
        case.nodes,
        f"{min(theirs):.2f}",
        f"{min(ours):.4f}",
        f"{ratio:,.0f}",
        case.target or "",
        f"{min(alone):.4f}",
        f"{of_pass:,.0f}",
        answer.makespan / plan.lower_bound,
        plan.makespan / plan.lower_bound,
        "; ".join(faults(campaign, cluster, answer.plan)) or "valid",
    ]
    return row, ratio, of_pass


def _pass_alone(campaign: Campaign, cluster: Cluster) -> float:
    """Seconds of HEFT without the lower bound and the check of the plan, as a peer has none."""
    begin = time.process_time()
    modes = {name: modes for name, (modes, _) in admitted(campaign, cluster).items()}
    POLICIES["heft"](instance_of(campaign, cluster, modes), NONE)
    return time.process_time() - begin


def _quality() -> list[Figure]:
    """Compare plans on the instances of ``data/quality``; ours of one pass, and of the usual."""
    rows, valid = [], 0
    for name, campaign, cluster, bound, _ in quality_instances():
        answer = ask(ORIGINAL, campaign, cluster)
        wrong = faults(campaign, cluster, answer.plan)
        valid += not wrong
        ours: list[Plan] = [
            plan_campaign(campaign, cluster, effort=NONE),
            plan_campaign(campaign, cluster),
        ]
        ratios = [answer.makespan / bound, *(plan.makespan / bound for plan in ours)]
        rows.append((name, *ratios, "; ".join(wrong) or "valid"))
    means = [geometric_mean(row[k] for row in rows) for k in (1, 2, 3)]
    rows.append(("geometric mean", *means, f"{valid} of {len(rows)} valid"))
    header = ("instance", ORIGINAL, "ours, effort 0", "ours, usual", "the peer's plan")
    show("Makespan over the bound of the data", header, rows)
    what = "makespan / bound of the data, 18 instances, usual, and the original's"
    return [Figure(what, f"{means[2]:.3f}", f"{means[0]:.3f}, {valid} of {len(rows) - 1} valid")]


def ask(peer: str, campaign: Campaign, cluster: Cluster, *, log: bool = False) -> Answer:
    """Let a peer plan a campaign, in its own environment.

    Raises
    ------
    Missing
        If that is not there.
    """
    python = Path(os.environ.get("SOCM_PEERS_PYTHON", ".venv-peers/bin/python"))
    if not python.exists():
        raise Missing("`make peers` installs it")
    (partition,) = cluster.partitions
    task: dict[str, Any] = {
        "peer": peer,
        "log": log,
        "nodes": partition.nodes,
        "cores": partition.cores,
        "memory": partition.memory,
        "workflows": [
            {
                "name": w.name,
                "ranks": w.request.ranks,
                "threads": w.request.threads,
                "memory": w.request.memory,
                "runtime": w.request.runtime,
                "depends": w.depends,
            }
            for w in campaign.workflows.values()
        ],
    }
    # Isolated: in this folder the name socm would be ours.
    done = subprocess.run(
        [python, "-I", WORKER], input=json.dumps(task), capture_output=True, text=True
    )
    if done.returncode:
        raise Missing((done.stderr.strip() or "it ended without a word").splitlines()[-1])
    answer = json.loads(done.stdout)
    slots = [Slot(**slot) for slot in answer["plan"]]
    return Answer(answer["seconds"], answer["version"], slots)


def faults(campaign: Campaign, cluster: Cluster, plan: Sequence[Slot]) -> list[str]:
    """Say what keeps a plan from being carried out on nodes, rank by rank.

    The ranks of a workflow lie side by side on its cores, as many on each node as fit there; each
    takes its share of the memory.
    """
    (partition,) = cluster.partitions
    by_name = {slot.name: slot for slot in plan}
    split = early = 0
    loads: dict[int, list[tuple[float, float, int, float]]] = defaultdict(list)
    for workflow in campaign.workflows.values():
        slot, request = by_name[workflow.name], workflow.request
        early += any(by_name[parent].finish > slot.start for parent in workflow.depends)
        cores = request.ranks * request.threads
        on = dict(_cores_by_node(slot.core, cores, partition.cores))
        split += any(count % request.threads for count in on.values())
        for node, count in on.items():
            share = request.memory * count / cores
            loads[node].append((slot.start, slot.finish, count, share))
    over = [
        sum(any(load > limit for load in _loads_at_starts(loads[node], k)) for node in loads)
        # Shares of memory are rounded.
        for k, limit in ((2, partition.cores), (3, partition.memory + 0.5))
    ]
    found = {
        "workflows with a rank on two nodes": split,
        "workflows before a dependency ends": early,
        "nodes short of cores": over[0],
        "nodes short of memory": over[1],
    }
    return [f"{what}: {count}" for what, count in found.items() if count]


def _cores_by_node(first: int, count: int, per_node: int) -> Iterator[tuple[int, int]]:
    """Yield each node that cores lie on, and how many of them."""
    while count:
        here = min(count, per_node - first % per_node)
        yield first // per_node, here
        first, count = first + here, count - here


def _loads_at_starts(
    loads: Sequence[tuple[float, float, int, float]], column: int
) -> Iterator[float]:
    """Yield what is taken of a node whenever something begins: it never grows between."""
    for start, *_ in loads:
        yield sum(load[column] for load in loads if load[0] <= start < load[1])


if __name__ == "__main__":
    summarize(main(sys.argv[1:]))
