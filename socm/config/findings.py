"""What was found in a campaign file while it was read: problems, warnings, origins."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from socm.config.source import Source
from socm.config.toml_positions import Key
from socm.errors import ConfigError, Problem

BUILT_IN = "built-in"


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """One value as it was resolved: the table and key it is at, and where it comes from."""

    table: str
    key: str
    value: object
    origin: str


@dataclass(kw_only=True)
class Findings:
    """Collects all there is to say about one file, so that it is said at once.

    Parameters
    ----------
    explain
        Whether to note where each value comes from.
    """

    source: Source
    explain: bool = False
    problems: list[Problem] = field(default_factory=list)
    resolved: list[Resolved] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _warnings: list[str] = field(default_factory=list)
    _warnings_of: dict[str, dict[str, None]] = field(default_factory=dict)
    _missing: dict[str, None] = field(default_factory=dict)
    _unset: dict[str, None] = field(default_factory=dict)
    _without_memory: list[str] = field(default_factory=list)

    def problem(self, key: Key, message: str, hint: str | None = None) -> None:
        """Note what is wrong with the value at a key."""
        self.problems.append(self.source.problem(key, message, hint))

    def warn(self, message: str) -> None:
        """Note what somebody should know."""
        self._warnings.append(message)

    def warn_of(self, name: str, message: str) -> None:
        """Note what somebody should know of a section; the same of several is said once."""
        self._warnings_of.setdefault(message, {})[name] = None

    def tell(self, message: str) -> None:
        """Note what a section came to."""
        self.notes.append(message)

    def without_memory(self, name: str) -> None:
        """Note that a workflow does not say how much memory it takes."""
        self._without_memory.append(name)

    def needs(self, files: tuple[str, ...]) -> None:
        """Note which of the files that a run reads are not here."""
        self._missing.update(dict.fromkeys(f for f in files if not _is_there(f)))

    def resolve(self, table: str, key: str, value: object, origin: str) -> None:
        """Note what a value was resolved to, and where it comes from."""
        self.resolved.append(Resolved(table=table, key=key, value=value, origin=origin))

    def not_set(self, variables: Iterable[str]) -> None:
        """Note which variables a section names that the environment does not have."""
        self._unset.update(dict.fromkeys(variables))

    def raise_problems(self) -> None:
        """Raise a `ConfigError` with all problems, in the order of the file, if there are any."""
        if self.problems:
            end = sys.maxsize  # what has no line comes last
            # What sections of a group share is wrong once.
            problems = dict.fromkeys(self.problems)
            raise ConfigError(*sorted(problems, key=lambda p: (p.line or end, p.column or end)))

    def warnings_of_sections(self) -> Iterator[str]:
        """Yield what is to be known of sections."""
        for message, names in self._warnings_of.items():
            yield f"{listed(list(names))}: {message}"

    def warnings(self) -> Iterator[str]:
        """Yield all warnings, those of a kind in one."""
        yield from self._warnings
        yield from self.warnings_of_sections()
        if self._without_memory:
            yield (
                f"memory is not given for {listed(self._without_memory)}: "
                "taken as the cores' share of a node"
            )
        if self._unset:
            unset = listed([f"${name}" for name in sorted(self._unset)])
            yield f"not set in the environment: {unset}"
        if self._missing:
            yield f"not found here, and a run would need: {listed(list(self._missing))}"


def _is_there(file: str) -> bool:
    """Whether a file is here; one that may not be looked at, or cannot be, is not."""
    try:
        return Path(file).exists()
    except (OSError, ValueError):
        return False


def listed(names: list[str], most: int = 5) -> str:
    """List names, but not more than a person wants to read.

    Examples
    --------
    >>> listed(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
