"""The tables and values of campaign and cluster files, as pydantic reads them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from socm.model.partition import LARGEST
from socm.spelling import Table
from socm.units import format_memory, moment, parse_duration, parse_memory, seconds_until


class Section(Table):
    """A table of campaign and cluster files."""


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


def _moment(value: object) -> object:
    """Check a date with a zone; it stays the text that it is."""
    if isinstance(value, date):
        value = value.isoformat()
    if isinstance(value, str):
        moment(value)
    return value


def _positive_duration(value: Any) -> int:
    if (seconds := parse_duration(value)) < 1:
        raise ValueError("must be at least 1 second")
    return seconds


def _date_as_text(value: object) -> object:
    """Write a date of TOML as YAML has it, which is text."""
    return value.isoformat() if isinstance(value, date) else value


def _resource_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,39}", name):
        raise ValueError(
            f"{name[:40]!r} cannot be counted; use up to 40 of A-Z, a-z, 0-9 and _ . -, and begin "
            "with a letter"
        )
    return name


def _node_memory(value: Any) -> int:
    if not 1 <= (memory := parse_memory(value)) <= LARGEST:
        raise ValueError(f"{value!r} is not between 1 MB and {format_memory(LARGEST)}")
    return memory


def _memory_of_part(value: Any) -> int:
    if (memory := parse_memory(value)) < 1:
        raise ValueError(f"{value!r} is less than 1 MB; `memory = 0` asks for all of each node")
    return memory


Date = Annotated[str, BeforeValidator(_date_as_text), Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
Count = Annotated[int, BeforeValidator(not_bool), Field(ge=1, le=LARGEST)]
CountOrNone = Annotated[int, BeforeValidator(not_bool), Field(ge=0, le=LARGEST)]
Moment = Annotated[
    str,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "description": "a date with a zone: 2026-11-27T17:00-05:00"}),
]
Hours = Annotated[float, BeforeValidator(not_bool), Field(gt=0, le=1e12, allow_inf_nan=False)]
Counts = dict[Annotated[str, AfterValidator(_resource_name)], Count]
"""An amount of each of some counted resources."""
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
_WHOLE_OR_MEMORY = WithJsonSchema(
    {
        "type": ["string", "number"],
        "description": "48G, 1.5T, or a number of MB; 0 is all memory of each node",
    }
)
Memory = Annotated[int, BeforeValidator(parse_memory), _MEMORY_SCHEMA]
WholeOrMemory = Annotated[int, BeforeValidator(parse_memory), _WHOLE_OR_MEMORY]
"""An amount of memory, or 0 for all that a node has, as in SLURM."""
MemoryOfPart = Annotated[int, BeforeValidator(_memory_of_part), _MEMORY_SCHEMA]
"""The memory of a rank or of a cpu."""
NodeMemory = Annotated[int, BeforeValidator(_node_memory), _MEMORY_SCHEMA]
Launcher = Literal["srun", "mpirun", "none"]


Lines = Annotated[
    tuple[str, ...],
    WithJsonSchema({"type": ["array", "string"], "items": {"type": "string"}}),
]
"""A text, or a list of texts."""
