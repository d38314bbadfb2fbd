"""Proof that a plan is sound, whoever made it.

The checks read the campaign and the cluster as a person would, and share no rule with the planner,
so that an error there is found here.
"""

from __future__ import annotations

from socm.errors import InvalidPlan
from socm.model.allocation import AllocationPlan, AnyPlan
from socm.model.check.allocations import faults_of_allocations
from socm.model.check.jobs import faults_of_jobs


def check_plan(plan: AnyPlan) -> None:
    """Prove that a plan breaks no dependency, capacity, limit or budget.

    Raises
    ------
    InvalidPlan
        With everything that it breaks.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from socm.model.campaign import Campaign, ResourceRequest, Workflow
    >>> from socm.model.cluster import Cluster
    >>> from socm.model.partition import Partition
    >>> from socm.planner import plan_campaign
    >>> map_ = Workflow(name="map", request=ResourceRequest(threads=8, runtime=3600))
    >>> cpu = Partition(name="cpu", nodes=1, cores=8, memory=1000)
    >>> plan = plan_campaign(Campaign.of("maps", [map_]), Cluster(name="c", partitions=(cpu,)))
    >>> check_plan(plan)
    >>> check_plan(replace(plan, workflows=(replace(plan.workflows[0], cores=4),)))
    Traceback (most recent call last):
    socm.errors.InvalidPlan: the plan is not valid:
      map: counts 4 cores for 1 × 8
    """
    if isinstance(plan, AllocationPlan):
        faults = [*faults_of_allocations(plan)]
    else:
        faults = [*faults_of_jobs(plan)]
    if faults:
        raise InvalidPlan(faults)
