"""The sections of campaign and cluster files, as pydantic models."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    WithJsonSchema,
)

from socm.config.sbatch import SbatchOptions
from socm.model.campaign import Schema
from socm.model.cluster import LARGEST, MOST_NODES
from socm.model.names import checked_name
from socm.spelling import SECTION
from socm.units import format_memory, parse_duration, parse_memory, seconds_until
from socm.workflows.base import Scalar

Model = TypeVar("Model", bound=BaseModel)


def not_bool(value: object) -> object:
    """Refuse true and false, which pydantic would read as 1 and 0."""
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is not a number")
    return value


def _deadline(value: object) -> object:
    """Read a duration, or a date with a zone as the time that is left until then."""
    if isinstance(value, date):
        value = value.isoformat()
    if isinstance(value, str) and re.match(r"\s*\d{4}-\d\d-\d\d", value):
        return seconds_until(value, datetime.now(UTC))
    return _positive_duration(value)


def _positive_duration(value: Any) -> int:
    if (seconds := parse_duration(value)) < 1:
        raise ValueError("must be at least 1 second")
    return seconds


def _date_as_text(value: object) -> object:
    """Write a date of TOML as YAML has it, which is text."""
    return value.isoformat() if isinstance(value, date) else value


def _node_memory(value: Any) -> int:
    if not 1 <= (memory := parse_memory(value)) <= LARGEST:
        raise ValueError(f"{value!r} is not between 1 MB and {format_memory(LARGEST)}")
    return memory


Date = Annotated[str, BeforeValidator(_date_as_text), Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
Count = Annotated[int, BeforeValidator(not_bool), Field(ge=1, le=LARGEST)]
CountOrNone = Annotated[int, BeforeValidator(not_bool), Field(ge=0, le=LARGEST)]
Duration = Annotated[
    int,
    BeforeValidator(_positive_duration),
    WithJsonSchema(
        {
            "type": ["string", "number"],
            "description": "90m, 1d12h, 2-00:00:00, PT4H, or a number of seconds",
        }
    ),
]
Deadline = Annotated[
    int,
    BeforeValidator(_deadline),
    WithJsonSchema(
        {
            "type": ["string", "number"],
            "description": "a duration from the start, or a date with a zone: "
            "2026-11-27T17:00-05:00",
        }
    ),
]
_MEMORY_SCHEMA = WithJsonSchema(
    {"type": ["string", "number"], "description": "48G, 1.5T, or a number of MB"}
)
Memory = Annotated[int, BeforeValidator(parse_memory), _MEMORY_SCHEMA]
NodeMemory = Annotated[int, BeforeValidator(_node_memory), _MEMORY_SCHEMA]
Launcher = Literal["srun", "mpirun", "none"]


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Lines = Annotated[
    tuple[str, ...],
    BeforeValidator(_one_or_more),
    WithJsonSchema({"type": ["array", "string"], "items": {"type": "string"}}),
]
"""A text, or a list of texts."""


class Section(BaseModel):
    """A table of a file; keys are written with dashes or with underscores."""

    model_config = SECTION


class ResourcesSection(SbatchOptions, Section):
    """``resources`` of a workflow."""

    ranks: Count = 1
    threads: Count = 1
    cpus: Literal["physical", "logical"] = "physical"
    memory: Memory | None = None
    memory_per_rank: Memory | None = None
    memory_per_cpu: Memory | None = None
    memory_per_node: Memory | None = None
    gpus: CountOrNone = 0
    runtime: Duration
    walltime: Duration | None = None
    spread: float = Field(default=0.2, ge=0, le=3)
    partition: str | None = None
    qos: str | None = None
    account: str | None = None


class BudgetSection(Section):
    """``[campaign.resources]``: the nodes that the campaign may hold at once."""

    nodes: Count | None = None
    cores_per_node: Count | None = None
    memory_per_node: Memory | None = None


class CampaignSection(SbatchOptions, Section):
    """``[campaign]``, without the workflow sections within it."""

    name: str | None = None
    description: str | None = None
    deadline: Deadline | None = None
    resource: str | None = None
    execution_schema: Schema | None = None
    requested_resources: Count | None = None
    resources: BudgetSection = BudgetSection()
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


class PartitionSection(SbatchOptions, Section):
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
    slurm_name: str | None = None
    send: bool = True
    source: str | None = None
    checked: Date | None = None
    note: str | None = None


class QosSection(SbatchOptions, Section):
    """``[[qos]]`` of a cluster file."""

    name: Annotated[str, Field(min_length=1)]
    partitions: tuple[str, ...] = ()
    walltime: Duration | None = None
    running_jobs: Count | None = None
    cores: Count | None = None
    cores_per_job: Count | None = None
    nodes_per_job: Count | None = None
    charge: float = Field(default=1.0, ge=0, le=1000)
    exclusive: bool = False
    debug: bool = False
    send: bool = True
    source: str | None = None
    checked: Date | None = None
    note: str | None = None


class ClusterFile(SbatchOptions, Section):
    """A cluster file."""

    name: str
    description: str | None = None
    source: str | None = None
    checked: Date | None = None
    account: str | None = None
    account_required: bool = False
    partitions: tuple[PartitionSection, ...] = Field(min_length=1)
    qos: tuple[QosSection, ...] = ()
