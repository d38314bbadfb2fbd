"""Workflows and plans for tests, in a few words: what a test does not name is the same for all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from socm.model.campaign import Budget, Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster
from socm.model.partition import Partition
from socm.model.placement import Reservation
from socm.model.plan import Plan
from socm.model.qos import Qos
from socm.planner import plan_campaign


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
