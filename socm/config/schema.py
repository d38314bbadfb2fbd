"""The sections of campaign and cluster files, as pydantic models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from socm.config.sbatch import SbatchOptions
from socm.config.values import (
    Count,
    CountOrNone,
    Counts,
    Date,
    Deadline,
    Duration,
    Hours,
    Launcher,
    Lines,
    Memory,
    MemoryOfPart,
    Moment,
    NodeMemory,
    Section,
    WholeOrMemory,
    not_bool,
)
from socm.model.campaign import Schema
from socm.model.maintenance import Maintenance
from socm.model.names import checked_name
from socm.model.partition import MOST_NODES
from socm.workflows.base import Scalar


class ResourcesSection(SbatchOptions):
    """``resources`` of a workflow."""

    ranks: Count = 1
    threads: Count = 1
    cpus: Literal["physical", "logical"] = "physical"
    memory: WholeOrMemory | None = None
    memory_per_rank: MemoryOfPart | None = None
    memory_per_cpu: MemoryOfPart | None = None
    memory_per_node: WholeOrMemory | None = None
    gpus: CountOrNone = 0
    runtime: Duration
    walltime: Duration | None = None
    spread: float = Field(default=0.2, ge=0, le=3)
    partition: str | None = None
    qos: str | None = None
    account: str | None = None
    uses: Counts = Field(default_factory=dict)


class BudgetSection(Section):
    """``[campaign.resources]``: the nodes that the campaign may hold at once."""

    nodes: Count | None = None
    cores_per_node: Count | None = None
    memory_per_node: Memory | None = None


class HoursSection(Section):
    """``[campaign.budget]``: the hours that all jobs together may be charged."""

    core_hours: Hours | None = None
    node_hours: Hours | None = None

    @model_validator(mode="after")
    def _one_unit(self) -> HoursSection:
        if self.core_hours is not None and self.node_hours is not None:
            raise ValueError("core-hours and node-hours are both given; keep one of them")
        return self


class CampaignSection(SbatchOptions):
    """``[campaign]``, without the workflow sections within it."""

    name: str | None = None
    description: str | None = None
    deadline: Deadline | None = None
    resource: str | None = None
    execution_schema: Schema | None = None
    requested_resources: Count | None = None
    resources: BudgetSection = BudgetSection()
    budget: HoursSection = HoursSection()
    limits: Counts = Field(default_factory=dict)
    policy: str = "time"
    environment: dict[str, Scalar] = Field(default_factory=dict)
    base_path: str | None = None
    modules: Lines = ()
    setup: Lines = ()
    launcher: Launcher = "srun"
    retries: Annotated[int, BeforeValidator(not_bool), Field(ge=0, le=20)] = 2


class WorkflowSection(Section):
    """The keys of every workflow section; the options of its type come beside them."""

    name: Annotated[str, AfterValidator(checked_name)]
    depends: Annotated[
        tuple[str, ...],
        WithJsonSchema({"type": ["array", "string", "null"], "items": {"type": "string"}}),
    ] = ()
    priority: Annotated[int, BeforeValidator(not_bool), Field(ge=-(10**9), le=10**9)] = 0
    resources: ResourcesSection
    environment: dict[str, Scalar] = Field(default_factory=dict)
    base_path: str | None = None
    modules: Lines = ()
    setup: Lines = ()
    launcher: Launcher | None = None
    outputs: Lines = ()
    skip_if_outputs_exist: bool = False
    description: str | None = None
    note: str | None = None


class LimitsSection(Section):
    """``limits`` of all jobs, or of those in a partition."""

    walltime: Duration | None = None
    running_jobs: Count | None = None
    submit_jobs: Count | None = None
    cores: Count | None = None
    cores_per_job: Count | None = None
    nodes_per_job: Count | None = None


class PartitionSection(SbatchOptions):
    """``[[partitions]]`` of a cluster file."""

    name: str
    nodes: Annotated[Count, Field(le=MOST_NODES)]
    cores_per_node: Count
    threads_per_core: Count = 1
    memory_per_node: NodeMemory
    gpus_per_node: CountOrNone = 0
    speed: float = Field(default=1.0, ge=1e-3, le=1e3)
    exclusive: bool = False
    walltime: Duration | None = None
    nodes_of: str | None = None
    first_node: Annotated[CountOrNone, Field(le=MOST_NODES)] = 0
    nodes_per_job: Count | None = None
    least_nodes_per_job: Count = 1
    limits: LimitsSection | None = None
    memory_per_core: NodeMemory | None = None
    default_memory_per_core: NodeMemory | None = None
    debug: bool = False
    preemptible: bool = False
    send: bool = True
    slurm_name: str | None = None
    accounts: Lines = ()
    account_suffix: str | None = None
    source: str | None = None
    checked: Date | None = None
    note: str | None = None


class QosSection(SbatchOptions):
    """``[[qos]]`` of a cluster file."""

    name: Annotated[str, Field(min_length=1)]
    partitions: tuple[str, ...] = ()
    walltime: Duration | None = None
    over_partition_walltime: bool = False
    over_partition_limits: bool = False
    running_jobs: Count | None = None
    submit_jobs: Count | None = None
    cores: Count | None = None
    cores_per_job: Count | None = None
    nodes_per_job: Count | None = None
    charge: float = Field(default=1.0, ge=0, le=1000)
    exclusive: bool = False
    debug: bool = False
    preemptible: bool = False
    send: bool = True
    slurm_name: str | None = None
    accounts: Lines = ()
    source: str | None = None
    checked: Date | None = None
    note: str | None = None


class MaintenanceSection(Section):
    """``[[maintenance]]`` of a cluster file."""

    start: Moment
    end: Moment
    partitions: tuple[str, ...] = ()
    nodes: Count | None = None
    note: str | None = None

    @model_validator(mode="after")
    def _in_order(self) -> MaintenanceSection:
        Maintenance(start=self.start, end=self.end)
        return self


class ClusterFile(SbatchOptions):
    """A cluster file."""

    name: str
    description: str | None = None
    source: str | None = None
    checked: Date | None = None
    account: str | None = None
    account_required: bool = False
    limits: LimitsSection | None = None
    partitions: tuple[PartitionSection, ...] = Field(min_length=1)
    qos: tuple[QosSection, ...] = ()
    maintenance: tuple[MaintenanceSection, ...] = ()
