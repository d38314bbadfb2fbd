"""The protocol of a workflow type, and what the types share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

FILE_SCHEME = "file://"


class Options(BaseModel):
    """Options of a workflow type; what it does not know it refuses."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    extra_args: tuple[str, ...] = ()
    """Arguments that are passed on as they are, after all others."""


@dataclass(frozen=True, kw_only=True)
class WorkflowType:
    """How one kind of workflow is called.

    Parameters
    ----------
    name
        Of its section in a campaign.
    options
        The model that its section is read with.
    command
        Makes the argument vector.
    inputs
        Lists the files that a run needs; planning does not read them.
    lacks
        Lists what a run needs and the section does not say.
    """

    name: str
    options: type[Options]
    command: Callable[[Any], tuple[str, ...]]
    inputs: Callable[[Any], tuple[str, ...]]
    lacks: Callable[[Any], tuple[str, ...]] = lambda options: ()


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

FilePath = Annotated[str, BeforeValidator(lambda v: local_path(v) if isinstance(v, str) else v)]
"""A path, with or without ``file://``."""


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
