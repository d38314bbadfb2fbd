"""Workflows and plans for tests, in a few words: what a test does not name is the same for all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from socm.engine.backend import Job
from socm.model.campaign import Budget, Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster
from socm.model.demand import Demand
from socm.model.partition import Partition
from socm.model.placement import Placement, Reservation
from socm.model.plan import Plan
from socm.model.qos import Qos
from socm.planner import plan_campaign

TIGER = str(Path(__file__).parent / "data" / "clusters" / "tiger.toml")
"""A cluster with the figures of tiger3, whose jobs name partition and QOS, and need no account."""


def job(name: str, *depends: str, minutes: int = 10, **request: Any) -> Workflow:
    request = {"runtime": 60 * minutes, **request}
    return Workflow(name=name, depends=depends, request=ResourceRequest(**request))


def plan_of(
    workflows: Iterable[Workflow],
    *qos: Qos,
    budget: Budget | None = None,
    partitions: tuple[Partition, ...] = (),
    reservations: tuple[Reservation, ...] = (),
    **node: Any,
) -> Plan:
    """Plan workflows on one node of four cores and 400 MB, unless told otherwise."""
    usual: dict[str, Any] = {"name": "cpu", "nodes": 1, "cores": 4, "memory": 400}
    cluster = Cluster(
        name="known", partitions=partitions or (Partition(**{**usual, **node}),), qos=qos
    )
    campaign = Campaign.of("known", workflows, budget=budget)
    return plan_campaign(campaign, cluster, reservations=reservations)


def submitted(name: str, priority: int = 0, **changes: Any) -> Job:
    """Make the first job of a workflow as a backend receives it: one core for ten minutes.

    Parameters
    ----------
    changes
        Fields of the job, and of its demand.
    """
    demand = Demand(**{f: changes.pop(f) for f in Demand._fields if f in changes})
    usual: dict[str, Any] = {
        "workflow": Workflow(name=name, request=ResourceRequest(runtime=1)),
        "attempt": 1,
        "partition": "cpu",
        "qos": None,
        "walltime": 600,
        "demand": demand,
        "cores": demand.ranks * demand.threads,
        "placements": (Placement("cpu", 0, 1),),
    }
    return Job(name=name, priority=priority, **{**usual, **changes})
