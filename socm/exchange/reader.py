"""What the readers of other systems' pipelines share."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace

from socm.config.toml_positions import Key
from socm.errors import Problem
from socm.exchange.source import Document
from socm.model.campaign import ResourceRequest
from socm.units import DAY, HOUR, MINUTE, parse_duration

LIMIT_OVER_RUNTIME = 1.5
"""What socm asks for over a runtime; turned round where only the limit is known."""
LIMIT_NOTE = "only a limit is known of {}: walltime is that, and runtime is walltime / 1.5"
_MOST = 10**9


class Reader:
    """Reads values of a document, and gathers what is wrong with them."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []

    def problem(self, key: Key, message: str, hint: str | None = None) -> None:
        """Complain of the value at a key."""
        self.problems.append(self.document.problem(key, message, hint))

    def mapping(self, key: Key, value: object) -> Mapping[str, object]:
        """Read a mapping; nothing is an empty one."""
        if isinstance(value, Mapping):
            return value
        if value is not None:
            self.problem(key, f"{dotted(key)} is a mapping, not {value!r}")
        return {}

    def texts(self, key: Key, value: object) -> list[str]:
        """Read a list of texts; a single one is a list of one, and nothing an empty one."""
        items = value if isinstance(value, list) else [] if value is None else [value]
        if any(isinstance(item, list | dict) for item in items):
            self.problem(key, f"{dotted(key)} is a list of words")
            return []
        return [str(item) for item in items]

    def count(self, key: Key, value: object) -> int | None:
        """Read a whole number of at least 1; nothing is `None`."""
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST:
            return value
        if value is not None:
            self.problem(key, f"{dotted(key)} is a number of at least 1, not {value!r}")
        return None

    def amount(self, key: Key, value: object) -> float | None:
        """Read a number above 0; nothing is `None`."""
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _MOST:
            return value
        if value is not None:
            self.problem(key, f"{dotted(key)} is a number above 0, not {value!r}")
        return None

    def limit(self, key: Key, value: object) -> int | None:
        """Read a time limit; nothing, and SLURM's 0 (as long as may be), is `None`."""
        try:
            return (slurm_time(str(value)) or None) if value is not None else None
        except ValueError as error:
            self.problem(key, f"{dotted(key)}: {error}")
            return None


def slurm_time(text: str) -> int:
    """Read a time limit as SLURM does; or any other duration.

    Examples
    --------
    >>> slurm_time("00:15:00"), slurm_time("30"), slurm_time("10:30"), slurm_time("1-12:30")
    (900, 1800, 630, 131400)
    """
    if match := re.fullmatch(r"(\d{1,9})(?::(\d{1,2}))?", text.strip(), re.ASCII):
        return int(match[1]) * MINUTE + int(match[2] or 0)
    if match := re.fullmatch(r"(\d{1,6})-(\d{1,2})(?::(\d{1,2}))?", text.strip(), re.ASCII):
        days, hours, minutes = (int(part or 0) for part in match.groups())
        return days * DAY + hours * HOUR + minutes * MINUTE
    return parse_duration(text)


def limited(request: ResourceRequest, limit: int) -> ResourceRequest:
    """Put in a limit, and the runtime that would have led to it.

    Examples
    --------
    >>> limited(ResourceRequest(runtime=1), 900).runtime
    600
    """
    return replace(request, walltime=limit, runtime=math.ceil(limit / LIMIT_OVER_RUNTIME))


def dotted(key: Key) -> str:
    """Write where a value is, as a person would.

    Examples
    --------
    >>> dotted(("stages", "map", "depends"))
    'stages.map.depends'
    """
    return ".".join(map(str, key))
