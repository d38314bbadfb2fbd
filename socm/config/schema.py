"""What campaign and cluster files may say: pydantic models, and problems in plain words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from functools import cache
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)

from socm.config.source import Source
from socm.config.toml_positions import Key
from socm.errors import Problem, did_you_mean
from socm.model.campaign import Schema
from socm.model.cluster import LARGEST, MOST_NODES
from socm.model.names import checked_name
from socm.units import format_memory, parse_duration, parse_memory, seconds_until

Model = TypeVar("Model", bound=BaseModel)


def not_bool(value: object) -> object:
    """Refuse what pydantic would take for 0 or 1."""
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is not a number")
    return value


def _deadline(value: object) -> object:
    """Take a date with a zone for the time that is left until then."""
    if isinstance(value, date):
        value = value.isoformat()
    if isinstance(value, str) and re.match(r"\s*\d{4}-\d\d-\d\d", value):
        return seconds_until(value, datetime.now(UTC))
    return _positive_duration(value)


def _positive_duration(value: Any) -> int:
    if (seconds := parse_duration(value)) < 1:
        raise ValueError("must be longer than nothing")
    return seconds


def _date_as_text(value: object) -> object:
    """TOML knows dates, YAML's are text."""
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
Scalar = str | int | float | bool
Launcher = Literal["srun", "mpirun", "none"]


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Lines = Annotated[
    tuple[str, ...],
    BeforeValidator(_one_or_more),
    WithJsonSchema({"type": ["array", "string"], "items": {"type": "string"}}),
]
"""A text, or several."""


class Section(BaseModel):
    """A table of a file; keys are written with dashes or with underscores."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ResourcesSection(Section):
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


class CampaignSection(Section):
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
    """What every workflow section may say beside the options of its type."""

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


class PartitionSection(Section):
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
    source: str | None = None
    checked: Date | None = None
    note: str | None = None


class QosSection(Section):
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
    source: str | None = None
    checked: Date | None = None
    note: str | None = None


class ClusterFile(Section):
    """A cluster file."""

    name: str
    description: str | None = None
    source: str | None = None
    checked: Date | None = None
    partitions: tuple[PartitionSection, ...] = Field(min_length=1)
    qos: tuple[QosSection, ...] = ()


def read_section(
    model: type[Model],
    data: object,
    source: Source,
    key: Key,
    problems: list[Problem],
    *,
    also_known: tuple[str, ...] = (),
    written_at: Callable[[Key], Key] = lambda key: key,
) -> Model | None:
    """Read a table with a model; `None`, and problems in plain words, where it does not fit.

    Parameters
    ----------
    also_known
        Keys to suggest that are handled elsewhere.
    written_at
        Says where in the file a value is that was not written in this table.
    """
    if not isinstance(data, Mapping):
        what = "nothing" if data is None else f"{data!r}"
        problems.append(source.problem(key, f"{_dotted(key)} is a table, not {what}"))
        return None
    before = len(problems)
    plain = _snake_case(model, data, source, key, problems)
    try:
        read = model.model_validate(plain)
    except ValidationError as error:
        for details in _without_branches(error):
            where = written_at((*key, *_as_written(details["loc"], data)))
            message, hint = in_words(model, details, where, also_known)
            problems.append(source.problem(where, message, hint))
        return None
    return read if len(problems) == before else None


def _without_branches(error: ValidationError) -> Iterator[dict[str, Any]]:
    """Yield what pydantic found; of a value that may be of several kinds, one error for all."""
    seen = set()
    for details in error.errors():
        found: dict[str, Any] = {**details}
        if found["loc"] and found["loc"][-1] in _KINDS:
            found |= {"loc": found["loc"][:-1], "msg": "Input should be text or a number"}
            if found["loc"] in seen:
                continue
            seen.add(found["loc"])
        yield found


_KINDS = frozenset({"str", "int", "float", "bool"})


def snake(name: str) -> str:
    """Write a key as the models do.

    Examples
    --------
    >>> snake("cores-per-node")
    'cores_per_node'
    """
    return name.replace("-", "_")


def kebab(name: str) -> str:
    """Write a key as the documentation does."""
    return name.replace("_", "-")


def _snake_case(
    model: type[BaseModel],
    data: Mapping[str, object],
    source: Source,
    key: Key,
    problems: list[Problem],
) -> dict[str, object]:
    """Rename keys, here and in the sections within, but never those that are a user's own."""
    plain: dict[str, object] = {}
    sections = _sections_of(model)
    for name, value in data.items():
        field = snake(name)
        if field in plain:
            problems.append(source.problem((*key, name), f"key {name!r} is given twice"))
        section = sections.get(field)
        if section is not None and isinstance(value, Mapping):
            value = _snake_case(section, value, source, (*key, name), problems)
        elif section is not None and isinstance(value, list):
            value = [
                _snake_case(section, item, source, (*key, name, index), problems)
                if isinstance(item, Mapping)
                else item
                for index, item in enumerate(value)
            ]
        plain[field] = value
    return plain


@cache
def _sections_of(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Return the fields of a model that hold sections."""
    found = {name: _section_of(field.annotation) for name, field in model.model_fields.items()}
    return {name: section for name, section in found.items() if section is not None}


def _section_of(annotation: Any) -> type[BaseModel] | None:
    """Return the section that a field holds, one of it or several."""
    for candidate in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _as_written(loc: Key, data: Mapping[str, object]) -> Key:
    """Return where a value is with its keys as the file spells them."""
    written = list(loc)
    here: object = data
    for index, part in enumerate(loc):
        if isinstance(here, Mapping):
            written[index] = next((name for name in here if snake(str(name)) == part), part)
            here = here.get(written[index])
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            here = here[part]
        else:
            break
    return tuple(written)


def in_words(
    model: type[BaseModel], details: dict[str, Any], where: Key, also_known: tuple[str, ...]
) -> tuple[str, str | None]:
    """Say what pydantic found in the words of the file."""
    last = str(where[-1])
    table = _dotted(where[:-1])
    match details["type"]:
        case "extra_forbidden":
            spell = snake if "_" in last else kebab
            known = [spell(name) for name in _fields_at(model, details["loc"][:-1])]
            known += also_known if len(details["loc"]) == 1 else ()
            hint = did_you_mean(spell(last), known) or f"known are {', '.join(sorted(known))}"
            return f"unknown key {last!r} in {table}", hint
        case "missing":
            name = kebab(last) if issubclass(model, Section) else last
            return f"{table} lacks {name!r}", None
        case _:
            message = details["msg"].removeprefix("Value error, ")
            message = message.replace("Input should", "should").replace("String should", "should")
            given = details.get("input")
            if message.startswith("should") and isinstance(given, str | int | float | None):
                message += f", not {'nothing' if given is None else repr(given)[:40]}"
            return f"{_dotted(where)}: {message}", None


def _fields_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    """Return the field names of the section at a place within a model."""
    for part in loc:
        if isinstance(part, str) and part in model.model_fields:
            model = _section_of(model.model_fields[part].annotation) or model
    return list(model.model_fields)


def _dotted(key: Key) -> str:
    """Write where a value is, as a person would.

    Examples
    --------
    >>> _dotted(("stages", "window", "script-args", 0))
    'stages.window.script-args[0]'
    """
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the file"
