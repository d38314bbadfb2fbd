"""Objects by name: built-in ones load when asked for, strangers come by entry points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar, cast

from socm.errors import ConfigError, Problem, did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """Names that stand for objects.

    A plug-in that cannot be imported does no harm until it is named; then its own error is shown.

    Parameters
    ----------
    kind
        What the objects are, for messages.
    builtin
        Name to ``"module:attribute"``; imported on first use.
    group
        Entry-point group in which other packages register theirs. A built-in name wins.

    Examples
    --------
    >>> units = Registry[object]("unit", {"hour": "socm.units:HOUR"}, group="socm.doctest")
    >>> list(units), units["hour"]
    (['hour'], 3600)
    """

    def __init__(self, kind: str, builtin: Mapping[str, str], *, group: str) -> None:
        self._kind = kind
        self._builtin = {name: EntryPoint(name, at, group) for name, at in builtin.items()}
        self._group = group

    @cached_property
    def _points(self) -> dict[str, EntryPoint]:
        """All names: to know the strangers, the files of each installed package are looked at."""
        strangers = {point.name: point for point in entry_points(group=self._group)}
        return strangers | self._builtin

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._points))

    def __contains__(self, name: object) -> bool:
        return name in self._builtin or name in self._points

    def unknown(self, name: str) -> tuple[str, str]:
        """Say that nothing is called `name`, and what was probably meant, or is known.

        Examples
        --------
        >>> units = Registry[object]("unit", {"hour": "socm.units:HOUR"}, group="socm.doctest")
        >>> units.unknown("our")
        ("unknown unit 'our'", "did you mean 'hour'?")
        """
        hint = did_you_mean(name, self._points) or f"known are {', '.join(self)}"
        return f"unknown {self._kind} {name!r}", hint

    def __getitem__(self, name: str) -> T:
        """Return the object called `name`.

        Raises
        ------
        ConfigError
            If nothing has that name, or what has it cannot be imported.
        """
        point = self._builtin.get(name) or self._points.get(name)
        if point is None:
            message, hint = self.unknown(name)
            raise ConfigError(Problem(message=message, hint=hint))
        try:
            return cast("T", getattr(import_module(point.module), point.attr))
        except Exception as error:
            message = f"{self._kind} {name!r} cannot be loaded from {point.value}: {error}"
            raise ConfigError(Problem(message=message)) from error
