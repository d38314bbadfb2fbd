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

    from socm.config import LoadedCampaign
    from socm.model.plan import Plan
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


def load(
    file: Path, cluster: str | None, *, assume_splits: bool, policy: str | None
) -> LoadedCampaign:
    """Read a campaign, to be planned by a policy other than its own if one is given."""
    from dataclasses import replace

    from socm.config import load_campaign

    loaded = load_campaign(file, cluster=cluster, assume_splits=assume_splits)
    if policy is None:
        return loaded
    return replace(loaded, campaign=replace(loaded.campaign, policy=policy))


def load_plan(
    file: Path,
    cluster: str | None,
    *,
    assume_splits: bool = False,
    policy: str | None = None,
    effort: Effort | None = None,
) -> Plan:
    """Read a plan, or read a campaign and plan it; the warnings of both are in the plan."""
    from dataclasses import replace

    from socm.model.document import read_plan

    if file.suffix == ".json":
        for name, given in (("cluster", cluster), ("policy", policy), ("effort", effort)):
            if given is not None:
                problem = Problem(
                    file=str(file),
                    message="a plan is made already"
                    if name == "effort"
                    else f"a plan has its {name} already",
                    hint=f"plan the campaign again with --{name}",
                )
                raise ConfigError(problem)
        return read_plan(file)

    from socm.planner import plan_campaign
    from socm.planner.effort import USUAL

    loaded = load(file, cluster, assume_splits=assume_splits, policy=policy)
    plan = plan_campaign(loaded.campaign, loaded.cluster, effort=effort or USUAL)
    return replace(plan, warnings=(*loaded.warnings, *plan.warnings))


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
    """Standard output, in colour on terminals only; what it prints is never taken for markup."""
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            """Whoever read the output has seen enough: that is no error."""
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
            raise SystemExit(0)

    return Output(highlight=False, markup=False, emoji=False)


def warn(warnings: Iterable[str]) -> None:
    """Print warnings to standard error."""
    from rich.console import Console
    from rich.text import Text

    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    for warning in warnings:
        errors.print(Text.assemble(("warning: ", "bold yellow"), warning))


def waiting(what: str) -> AbstractContextManager[object]:
    """Show on a terminal what takes so long; to be entered while it does."""
    from rich.console import Console

    return Console(stderr=True, highlight=False).status(what)


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
