"""Everything found in a campaign file while it is read: problems, warnings, origins."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from socm.config.source import Source
from socm.config.toml_positions import Key
from socm.errors import ConfigError, Problem
from socm.words import listed

BUILT_IN = "built-in"


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """One value as it was resolved: its table and key, and its origin."""

    table: str
    key: str
    value: object
    origin: str


@dataclass(kw_only=True)
class Findings:
    """Collects everything about one file, so that it is reported at once.

    Parameters
    ----------
    explain
        Whether to note the origin of each value.
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
        """Note what a user should know."""
        self._warnings.append(message)

    def warn_of(self, name: str, message: str) -> None:
        """Note what a user should know about a section; the same of several is reported once."""
        self._warnings_of.setdefault(message, {})[name] = None

    def tell(self, message: str) -> None:
        """Note the result of a section."""
        self.notes.append(message)

    def without_memory(self, name: str) -> None:
        """Note that a workflow does not say how much memory it needs."""
        self._without_memory.append(name)

    def needs(self, files: tuple[str, ...]) -> None:
        """Note which of the files that a run reads do not exist here."""
        self._missing.update(dict.fromkeys(f for f in files if not _is_there(f)))

    def resolve(self, table: str, key: str, value: object, origin: str) -> None:
        """Note a resolved value and its origin."""
        self.resolved.append(Resolved(table=table, key=key, value=value, origin=origin))

    def not_set(self, variables: Iterable[str]) -> None:
        """Note which variables a section names that the environment does not have."""
        self._unset.update(dict.fromkeys(variables))

    def raise_problems(self) -> None:
        """Raise a `ConfigError` with all problems, in the order of the file, if there are any."""
        if self.problems:
            end = sys.maxsize  # a problem without a line comes last
            # A value that the sections of a group share is one problem.
            problems = dict.fromkeys(self.problems)
            raise ConfigError(*sorted(problems, key=lambda p: (p.line or end, p.column or end)))

    def warnings_of_sections(self) -> Iterator[str]:
        """Yield the warnings about sections."""
        for message, names in self._warnings_of.items():
            yield f"{listed(names)}: {message}"

    def warnings(self) -> Iterator[str]:
        """Yield all warnings, each kind in one sentence."""
        yield from self._warnings
        yield from self.warnings_of_sections()
        if self._without_memory:
            yield (
                f"memory is not given for {listed(self._without_memory)}: "
                "assuming what their cores get by default on the cluster, or their share of a node"
            )
        if self._unset:
            unset = listed((f"${name}" for name in sorted(self._unset)), most=5)
            yield f"not set in the environment: {unset}"
        if self._missing:
            yield f"not found here, but needed by a run: {listed(self._missing, most=5)}"


def _is_there(file: str) -> bool:
    """Whether a file exists and may be looked at."""
    try:
        return Path(file).exists()
    except (OSError, ValueError):
        return False
