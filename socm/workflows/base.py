"""The protocol of a workflow type, and what the types share."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ParamSpec, Self, TypeVar, get_args

from pydantic import BeforeValidator, WithJsonSchema

from socm.model.campaign import Workflow
from socm.model.cluster import Cluster
from socm.spelling import Table

P = ParamSpec("P")
T = TypeVar("T")

Scalar = str | int | float | bool
"""A single value of a file."""

FILE_SCHEME = "file://"
LARGEST_LIST = 64
"""MB that a list or a schedule may have that a campaign names."""
IS_PATH = "path"
"""Marks the fields of options that hold paths."""


@dataclass(frozen=True)
class Unit:
    """Marks the fields of options that have a unit: ``Annotated[float, Unit("deg")]``."""

    name: str


class Options(Table):
    """Options of a workflow type; what it does not know it refuses."""

    extra_args: tuple[str, ...] = ()
    """Arguments that are passed on as they are, after all others."""

    def under(self, base: Path) -> Self:
        """Return the same with relative paths under a folder."""
        changes: dict[str, object] = {}
        for name in _paths(type(self)):
            value = getattr(self, name)
            if isinstance(value, str):
                changes[name] = _under(base, value)
            elif isinstance(value, tuple):
                changes[name] = tuple(_under(base, item) for item in value)
        return self.model_copy(update=changes)


class Once:
    """Calls a function, or returns what the same call returned before.

    Examples
    --------
    >>> once, calls = Once(), []
    >>> once(calls.append, "a"), once(calls.append, "a"), calls
    (None, None, ['a'])
    """

    def __init__(self) -> None:
        self._results: dict[Hashable, Any] = {}

    def __call__(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return ``function(*args, **kwargs)``; the arguments are hashable."""
        call = (function, args, *kwargs.items())
        if call not in self._results:
            self._results[call] = function(*args, **kwargs)
        result: T = self._results[call]
        return result


@dataclass(frozen=True, kw_only=True)
class Context:
    """What an expansion may know beside the options of its section.

    Parameters
    ----------
    section
        What the section says that has nothing to do with its type: name, resources, environment,
        dependencies. The workflows that it becomes are made from it.
    named
        Whether the section says its name itself.
    base
        What relative paths are relative to.
    cluster
        Where the campaign is to run.
    assume
        Whether data that cannot be read here may be assumed to exist (``--assume-splits``); the
        workflows made from them are marked as `Workflow.assumed`.
    once
        ``once(read, path, ...)`` returns ``read(path, ...)``, and calls it only once for the
        same arguments in all sections of a campaign.
    warn
        Reports what a user should know before a run, under the section's name.
    tell
        Reports the result of the section, such as a number of maps, under its name.
    claim
        Notes that the section writes files whose paths begin so; returns the name of another
        section that does, if there is one.
    """

    section: Workflow
    named: bool
    base: Path
    cluster: Cluster
    assume: bool
    once: Once
    warn: Callable[[str], None]
    tell: Callable[[str], None]
    claim: Callable[[Path], str | None]

    def workflow(self, command: Sequence[str], **more: Any) -> Workflow:
        """Return a workflow as the section says, with a command and, for example, inputs."""
        return replace(self.section, command=tuple(command), **more)


@dataclass(frozen=True, kw_only=True)
class WorkflowType:
    """How one kind of section becomes workflows.

    Parameters
    ----------
    name
        Of its section in a campaign.
    options
        The model that its section is read with.
    expand
        Makes the workflows of a section. It writes nothing, and gives the same for the same.

        A `ConfigError` that it raises is told at the section, or at the option that its
        problem's `subject` names.
    """

    name: str
    options: type[Options]
    expand: Callable[[Any, Context], Sequence[Workflow]]


@cache
def _paths(options: type[Options]) -> tuple[str, ...]:
    """Return the names of the options that are paths, or several."""
    fields = options.model_fields.items()
    return tuple(n for n, f in fields if IS_PATH in f.metadata or _holds_paths(f.annotation))


def _holds_paths(annotation: object) -> bool:
    marked = IS_PATH in getattr(annotation, "__metadata__", ())
    return marked or any(_holds_paths(part) for part in get_args(annotation))


def _under(base: Path, path: str) -> str:
    """Join, unless the path begins with an unset variable, or with a program's own ``{odir}``."""
    return path if path.startswith(("$", "{")) else str(base / path)


def local_path(text: str) -> str:
    """Strip the ``file://`` of a path.

    Examples
    --------
    >>> local_path("file:///data/area.fits"), local_path("/data/area.fits")
    ('/data/area.fits', '/data/area.fits')
    """
    return text.removeprefix(FILE_SCHEME)


def text_of(value: Scalar) -> str:
    """Write a value as an argument or in an environment.

    Examples
    --------
    >>> text_of(True), text_of(0.5), text_of("f090")
    ('true', '0.5', 'f090')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)


def _joined(value: object) -> object:
    """Join a list with commas: both ways of writing several values mean the same."""
    if isinstance(value, list | tuple):
        return ",".join(str(item) for item in value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value


CommaList = Annotated[
    str, BeforeValidator(_joined), WithJsonSchema({"type": ["string", "array", "number"]})
]
"""``"f090,f150"`` or ``["f090", "f150"]``."""

FilePath = Annotated[
    str, BeforeValidator(lambda v: local_path(v) if isinstance(v, str) else v), IS_PATH
]
"""A path, with or without ``file://``; a relative one is relative to the campaign."""


def options_of(values: Sequence[tuple[str, object]]) -> Iterator[str]:
    """Write ``--name=value`` for each value that is given; a flag for what is true.

    Examples
    --------
    >>> list(options_of([("comps", "TQU"), ("tiled", 1), ("hits", True), ("site", None)]))
    ['--comps=TQU', '--tiled=1', '--hits']
    """
    for name, value in values:
        if value is True:
            yield f"--{name}"
        elif value is not None and value is not False:
            yield f"--{name}={value}"
