"""Arguments, options and output of several commands."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from socm.errors import ConfigError, Problem
from socm.files import write_whole
from socm.words import reason_of

if TYPE_CHECKING:
    from rich.console import Console

    from socm.engine.life import Life
    from socm.engine.run import Run
    from socm.engine.state import CampaignState
    from socm.planner.effort import Effort


def finite(value: float | None) -> float | None:
    """Refuse infinity and NaN, which are numbers to the command line."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a number of seconds")
    return value


DRY_RUN = Path("socm-runs") / "dry-run"
"""Folder of the scripts of a run that is not begun."""

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
    typer.Option(
        "--cluster", metavar="NAME|FILE", help="Cluster to use instead of the campaign's."
    ),
]
MaintenanceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--maintenance",
        metavar="START/END",
        help="Dates with a zone between which no node is for jobs; may be repeated.",
    ),
]
AssumeSplits = Annotated[
    bool,
    typer.Option(
        "--assume-splits",
        help="Assume every split of a null test where the observations cannot be read.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print only JSON.")]
EffortOption = Annotated[
    float | None,
    typer.Option(
        "--effort",
        metavar="SECONDS",
        min=0,
        callback=finite,
        help="Seconds to search for a better plan; 0 is one HEFT pass. Default: a fixed amount of "
        "work, less than a second.",
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write the JSON document to a file."),
]


def effort_of(
    seconds: float | None, iterations: int | None = None, seed: int | None = None
) -> Effort | None:
    """Return the effort of the options; `None` if none of them is given."""
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


def warn_of(what: str) -> None:
    """Print one warning to standard error."""
    warn([what])


def waiting(what: str) -> AbstractContextManager[object]:
    """Show on a terminal what is going on, within a ``with`` block."""
    from socm.report.terminal import Terminal

    return Terminal(stderr=True).status(what)


def print_json(document: Mapping[str, Any] | list[Any]) -> None:
    """Print a document to standard output."""
    sys.stdout.write(json.dumps(document, indent=1, allow_nan=False) + "\n")


def run_document(
    run: Run,
    state: CampaignState | None = None,
    *,
    life: Life | None,
    reasons: Callable[[Run, CampaignState], Mapping[str, str]] = lambda run, state: {},
) -> dict[str, Any]:
    """Return the progress of a run as JSON data, and that of the run within its allocations.

    Parameters
    ----------
    state
        Where it stands (default: as its journal says).
    life
        The process that carries it on.
    reasons
        Returns why submitted workflows of a run wait, by name.
    """
    from socm.report.status import status_document

    state = run.state() if state is None else state
    why = reasons(run, state)
    document = status_document(run.name, run.plan, state, run.epoch, life=life, reasons=why)
    if (inside := run.inside) is not None:
        document["inside"] = run_document(inside, life=inside.life(), reasons=reasons)
    return document


def write_json(document: Mapping[str, Any], path: Path) -> None:
    """Write a document to a file, whole or not at all."""
    _write(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def refuse_existing(path: Path, *, force: bool) -> None:
    """Refuse to overwrite a file, unless that is asked for."""
    if path.exists() and not force:
        problem = Problem(file=str(path), message="already exists", hint="--force overwrites it")
        raise ConfigError(problem)


def new_file(path: Path, text: str, *, force: bool) -> None:
    """Write a file that does not exist, or that may be overwritten."""
    refuse_existing(path, force=force)
    _write(path, text)


def _write(path: Path, text: str) -> None:
    try:
        write_whole(path, text)
    except OSError as error:
        message = f"cannot be written: {reason_of(error)}"
        raise ConfigError(Problem(file=str(path), message=message)) from error
