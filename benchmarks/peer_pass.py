"""One planning pass of another planner; runs in that planner's environment, not in ours.

Reads a campaign as JSON from standard input, and writes when each workflow begins and ends as JSON
to standard output. `benchmarks.peers` calls it: so-campaign-manager's package is named socm as ours
is, so that the two cannot be loaded together. What is timed is the pass alone, not the making of
the planner's own objects; nothing of ours is imported.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

Pass = tuple[float, list[dict[str, Any]]]
"""Processor time in seconds, and of each workflow when it begins and ends, on which core first."""


def so_campaign_manager(task: dict[str, Any]) -> Pass:
    """Plan once with its `HeftPlanner`, on all cores: what it repeats when it looks for a budget.

    Of radical.utils the planner needs a name and a logger, for which there are stand-ins. It logs
    each place that it looks at into a file; how much of its time that is, `log` tells.
    """
    utils = SimpleNamespace(
        ID_CUSTOM="custom",
        generate_id=lambda *_, **__: "planner",
        Logger=_logger if task["log"] else _Silent,
    )
    sys.modules |= {"radical": SimpleNamespace(utils=utils), "radical.utils": utils}
    # These are theirs: of this package nothing can be seen from here.
    from socm.core import DAG, Resource, Workflow

    from socm.planner import HeftPlanner

    dag, numbers, needs = DAG(), {}, {}
    for k, w in enumerate(task["workflows"]):
        numbers[w["name"]] = k
        dag.add_workflow(Workflow(id=k, name=w["name"], depends=w["depends"]))
        needs[k] = {
            "req_cpus": w["ranks"] * w["threads"],
            "req_memory": w["memory"],
            "req_walltime": w["runtime"],
        }
        for parent in w["depends"]:
            dag.add_dependency(numbers[parent], k)
    resource = Resource(
        name="cpu",
        nodes=task["nodes"],
        cores_per_node=task["cores"],
        memory_per_node=task["memory"],
    )
    planner = HeftPlanner(resources=resource, resource_requirements=needs)
    cores = range(task["nodes"] * task["cores"])
    begin = time.process_time()
    # Its public ways to plan repeat this, or print what it gives.
    plan, _ = planner._calculate_plan(  # noqa: SLF001
        campaign=dag, resources=cores, resource_requirements=needs
    )
    seconds = time.process_time() - begin
    return seconds, [
        {
            "name": entry.workflow.name,
            "start": entry.start_time,
            "finish": entry.end_time,
            "core": entry.cores[0],
        }
        for entry in plan
    ]


def _logger(name: str, level: str, path: str) -> logging.Logger:
    """Return a logger that formats and writes each line, to nowhere."""
    logger = logging.getLogger(name)
    logger.setLevel(level)
    logger.propagate = False
    handler = logging.FileHandler(os.devnull)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    return logger


class _Silent:
    """A logger that logs nothing."""

    def __init__(self, **_: object) -> None: ...

    def debug(self, *_: object) -> None: ...

    info = warning = error = debug


def saga(task: dict[str, Any]) -> Pass:
    """Plan once with its `HeftScheduler`: each workflow takes a node, and sends no data."""
    from saga import Network, TaskGraph
    from saga.schedulers.heft import HeftScheduler

    nodes = [f"n{k}" for k in range(task["nodes"])]
    network = Network.create(
        nodes=[(node, 1.0) for node in nodes],
        edges=[(a, b, 1.0) for k, a in enumerate(nodes) for b in nodes[k + 1 :]],
    )
    graph = TaskGraph.create(
        tasks=[(w["name"], float(w["runtime"])) for w in task["workflows"]],
        dependencies=[(p, w["name"], 0.0) for w in task["workflows"] for p in w["depends"]],
    )
    names = {w["name"] for w in task["workflows"]}
    begin = time.process_time()
    schedule = HeftScheduler().schedule(network, graph)
    seconds = time.process_time() - begin
    # It adds a first and a last task where there are several.
    return seconds, [
        {"name": t.name, "start": t.start, "finish": t.end, "core": k * task["cores"]}
        for k, node in enumerate(nodes)
        for t in schedule[node]
        if t.name in names
    ]


PEERS: dict[str, Callable[[dict[str, Any]], Pass]] = {
    "so-campaign-manager": so_campaign_manager,
    "anrg-saga": saga,
}


def main() -> None:
    """Answer one campaign with one plan."""
    task = json.load(sys.stdin)
    seconds, plan = PEERS[task["peer"]](task)
    json.dump({"seconds": seconds, "version": version(task["peer"]), "plan": plan}, sys.stdout)


if __name__ == "__main__":
    main()
