"""The parts of a plan in JSON: each field once, for reading and for writing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from socm.model.campaign import Campaign
from socm.model.cluster import Cluster
from socm.model.names import checked_name
from socm.model.partition import MOST_NODES
from socm.model.placement import Placement, Reservation

Seconds = Annotated[int, Field(ge=0, le=10**12)]
_LARGEST = 10**40
"""Larger than any product of the amounts that a campaign file may give."""


class Entry(BaseModel):
    """An object of a plan: the names of its fields, and as an alias the key in JSON."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    @classmethod
    def written(cls, thing: object) -> dict[str, Any]:
        """Return the fields of an object under their keys."""
        fields = cls.model_fields.items()
        return {field.alias or name: getattr(thing, name) for name, field in fields}


class WorkflowEntry(Entry):
    """A `PlannedWorkflow`."""

    name: str
    start: Seconds = Field(alias="start_s")
    finish: Seconds = Field(alias="finish_s")
    walltime: Seconds = Field(alias="walltime_s")
    partition: str
    qos: str | None
    threads: int = Field(ge=1)
    exclusive: bool
    cores: int
    upward_rank: float = Field(default=0.0, alias="upward_rank_s", ge=0, le=1e12)
    fixed: bool = False
    placements: tuple[Placement, ...]


class AllocationEntry(Entry):
    """An `Allocation`, without the plan of its inside."""

    partition: str
    qos: str | None
    nodes: int = Field(ge=1, le=MOST_NODES)
    start: Seconds = Field(alias="start_s")
    walltime: Seconds = Field(alias="walltime_s")


class CertificateEntry(Entry):
    """What is read of the certificate."""

    by: Literal["bounds", "CP-SAT"] = "bounds"


class PlanFile(Entry):
    """What is read of a plan; the rest of its keys follows from these."""

    campaign: Campaign
    cluster: Cluster
    fingerprint: str
    shape: Literal["jobs", "allocation"] = "jobs"
    start: Seconds = Field(default=0, alias="start_s")
    lower_bound: Seconds = Field(alias="lower_bound_s")
    certificate: CertificateEntry = CertificateEntry()
    reservations: tuple[Reservation, ...] = ()
    warnings: tuple[str, ...] = ()
    allocations: tuple[AllocationEntry, ...] = ()
    workflows: tuple[WorkflowEntry, ...]


def faults_of_campaign(campaign: Campaign) -> Iterator[str]:
    """Yield what a campaign file may not say, either."""
    for key, workflow in campaign.workflows.items():
        try:
            checked_name(key)
        except ValueError as error:
            yield str(error)
        if workflow.name != key:
            yield f"the workflow {key!r} of the campaign is called {workflow.name!r}"
    if not 0 <= campaign.retries <= 20:
        yield "retries lie between 0 and 20"
    if campaign.deadline is not None and campaign.deadline < 1:
        yield "the deadline is at least 1 second"
    for amount in (campaign.budget.cores, campaign.budget.nodes):
        if amount is not None and amount < 1:
            yield "the budget is at least 1"


def faults_of_cluster(cluster: Cluster) -> Iterator[str]:
    """Yield what a cluster file may not say, either."""
    if not cluster.partitions:
        yield "the cluster has no partitions"
    for qos in cluster.qos:
        if not qos.name:
            yield "a QOS has no name"
        if unknown := set(qos.partitions).difference(cluster.by_partition):
            yield f"QOS {qos.name!r}: there is no partition {min(unknown)!r}"


def too_large(data: object) -> bool:
    """Whether a number in JSON data is larger than any that a campaign file leads to."""
    stack = [data]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            stack += value.values()
        elif isinstance(value, list):
            stack += value
        elif isinstance(value, int | float) and not -_LARGEST < value < _LARGEST:
            return True
    return False
