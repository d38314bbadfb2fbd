"""Arguments and output that the verbs share."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from socm.errors import ConfigError, Problem

if TYPE_CHECKING:
    from rich.console import Console

    from socm.planner.effort import Effort

CampaignFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="Campaign: .toml, .yaml or .yml.", show_default=False)
]
CampaignOrPlan = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="Campaign (.toml, .yaml) or plan (.json).", show_default=False
    ),
]
ClusterOption = Annotated[
    str | None,
    typer.Option("--cluster", metavar="NAME|FILE", help="Use this cluster, not the campaign's."),
]
AssumeSplits = Annotated[
    bool,
    typer.Option(
        "--assume-splits",
        help="Where observations cannot be read, take every split of a null test as present.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]
EffortOption = Annotated[
    float | None,
    typer.Option(
        "--effort",
        metavar="SECONDS",
        min=0,
        help="Look so long for a better plan; 0 is one pass. Less than a second if not given.",
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write the JSON document to a file."),
]


def effort_of(
    seconds: float | None, iterations: int | None = None, seed: int | None = None
) -> Effort | None:
    """Return the effort that was asked for; `None` if nothing was said of it."""
    from socm.planner.effort import Effort

    if seconds is not None and iterations is not None:
        message = "--effort and --iterations are both given"
        raise ConfigError(Problem(message=message, hint="keep one of them"))
    if seconds is None and iterations is None and seed is None:
        return None
    return Effort(seconds=seconds, iterations=iterations, seed=seed or 0)


def console() -> Console:
    """Standard output, in colour on terminals only."""
    from socm.report.terminal import Terminal

    return Terminal()


def warn(warnings: Iterable[str]) -> None:
    """Print warnings to standard error."""
    from rich.text import Text

    from socm.report.terminal import Terminal

    errors = Terminal(stderr=True)
    for warning in warnings:
        errors.print(Text.assemble(("warning: ", "bold yellow"), warning))


def waiting(what: str) -> AbstractContextManager[object]:
    """Show on a terminal what is going on, within a ``with`` block."""
    from socm.report.terminal import Terminal

    return Terminal(stderr=True).status(what)


def print_json(document: Mapping[str, Any] | list[Any]) -> None:
    """Print a document to standard output."""
    sys.stdout.write(json.dumps(document, indent=1, allow_nan=False) + "\n")


def write_json(document: Mapping[str, Any], path: Path) -> None:
    """Write a document to a file, whole or not at all."""
    _write(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def new_file(path: Path, text: str, *, force: bool) -> None:
    """Write a file that was not there before, or that may be overwritten."""
    if path.exists() and not force:
        raise ConfigError(
            Problem(file=str(path), message="is there already", hint="--force overwrites it")
        )
    _write(path, text)


def _write(path: Path, text: str) -> None:
    """Write a file, whole or not at all; a link is followed, a device is written to."""
    try:
        path = path.resolve()
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
            return
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(name, 0o666 & ~mask)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        message = f"cannot be written: {(error.strerror or str(error)).lower()}"
        raise ConfigError(Problem(file=str(path), message=message)) from error
