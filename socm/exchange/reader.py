"""Base of the readers of other systems' pipelines."""

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
"""Walltime over runtime; used the other way round where only the limit is known."""
LIMIT_NOTE = "only a limit is known for {}: that is the walltime, and the runtime is walltime / 1.5"
_MOST = 10**9


class Reader:
    """Reads values of a document, and collects their problems."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []

    def problem(self, key: Key, message: str, hint: str | None = None) -> None:
        """Add a problem with the value at a key."""
        self.problems.append(self.document.problem(key, message, hint))

    def mapping(self, key: Key, value: object) -> Mapping[str, object]:
        """Return a mapping; an empty one for null."""
        if isinstance(value, Mapping):
            return value
        if value is not None:
            self.problem(key, f"{dotted(key)} is a mapping, not {value!r}")
        return {}

    def texts(self, key: Key, value: object) -> list[str]:
        """Return a list of texts; a list of one for a single text, an empty one for null."""
        items = value if isinstance(value, list) else [] if value is None else [value]
        if any(isinstance(item, list | dict) for item in items):
            self.problem(key, f"{dotted(key)} is a list of words")
            return []
        return [str(item) for item in items]

    def count(self, key: Key, value: object) -> int | None:
        """Return a whole number of at least 1, or `None` for null."""
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST:
            return value
        if value is not None:
            self.problem(key, f"{dotted(key)} is a number of at least 1, not {value!r}")
        return None

    def amount(self, key: Key, value: object) -> float | None:
        """Return a number above 0, or `None` for null."""
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _MOST:
            return value
        if value is not None:
            self.problem(key, f"{dotted(key)} is a number above 0, not {value!r}")
        return None

    def limit(self, key: Key, value: object) -> int | None:
        """Return a time limit in seconds; `None` for null and for SLURM's 0, which is no limit."""
        try:
            return (read_time_limit(str(value)) or None) if value is not None else None
        except ValueError as error:
            self.problem(key, f"{dotted(key)}: {error}")
            return None


def read_time_limit(text: str) -> int:
    """Return the seconds of a time limit of SLURM, or of any other duration.

    Examples
    --------
    >>> [read_time_limit(text) for text in ("00:15:00", "30", "10:30", "1-12:30")]
    [900, 1800, 630, 131400]
    """
    if match := re.fullmatch(r"(\d{1,9})(?::(\d{1,2}))?", text.strip(), re.ASCII):
        return int(match[1]) * MINUTE + int(match[2] or 0)
    if match := re.fullmatch(r"(\d{1,6})-(\d{1,2})(?::(\d{1,2}))?", text.strip(), re.ASCII):
        days, hours, minutes = (int(part or 0) for part in match.groups())
        return days * DAY + hours * HOUR + minutes * MINUTE
    return parse_duration(text)


def limited(request: ResourceRequest, limit: int) -> ResourceRequest:
    """Return a request with a limit, and with the runtime that would have led to it.

    Examples
    --------
    >>> limited(ResourceRequest(runtime=1), 900).runtime
    600
    """
    return replace(request, walltime=limit, runtime=math.ceil(limit / LIMIT_OVER_RUNTIME))


def dotted(key: Key) -> str:
    """Return the place of a value in words.

    Examples
    --------
    >>> dotted(("stages", "map", "depends"))
    'stages.map.depends'
    """
    return ".".join(map(str, key))
