"""The protocol of a workflow type, and what the types share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from socm.model.campaign import Workflow
from socm.model.cluster import Cluster

if TYPE_CHECKING:
    from socm.workflows.obsdb import Observations

FILE_SCHEME = "file://"
IS_PATH = "path"
"""Marks the fields of options that hold paths."""


@dataclass(frozen=True)
class Unit:
    """Marks the fields of options that have a unit: ``Annotated[float, Unit("deg")]``."""

    name: str


class Options(BaseModel):
    """Options of a workflow type; what it does not know it refuses."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    extra_args: tuple[str, ...] = ()
    """Arguments that are passed on as they are, after all others."""

    def under(self, base: Path) -> Self:
        """Return the same with relative paths under a folder."""
        changes: dict[str, object] = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            is_path = IS_PATH in field.metadata or _holds_paths(field.annotation)
            if is_path and isinstance(value, str):
                changes[name] = _under(base, value)
            elif is_path and isinstance(value, tuple):
                changes[name] = tuple(_under(base, item) for item in value)
        return self.model_copy(update=changes)


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
    assume_splits
        Whether splits may be taken as present where observations cannot be read.
    observations
        Reads those that a query selects: of a context file, with a query and tags.
    warn
        Takes what somebody should know before it runs; the section's name is put before it.
    tell
        Takes what the section came to; before that, too, its name is put.
    """

    section: Workflow
    named: bool
    base: Path
    cluster: Cluster
    assume_splits: bool
    observations: Callable[[Path, str, tuple[str, ...]], Observations]
    warn: Callable[[str], None]
    tell: Callable[[str], None]

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
