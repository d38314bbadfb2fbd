"""``socm import``: a campaign out of a workflow of another system."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from socm.cli.common import JsonOption, new_file, print_json
from socm.errors import ConfigError, Problem

EXAMPLES = """
[bold]Examples[/bold]

  socm import montage.json.gz --output montage.yaml

  socm import pipeline.yml --from mbatch --resource tiger3 --deadline 2d

  socm import pipeline_dr6.yml --runtime 15m > dr6.yaml
"""


def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Workflow: WfFormat (.json), mbatch or PSpipe (.yml); .gz, too.",
            show_default=False,
        ),
    ],
    kind: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FORMAT",
            help="wfformat, mbatch or pspipe; detected from the content by default.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the campaign to a file."),
    ] = None,
    resource: Annotated[
        str | None,
        typer.Option("--resource", metavar="NAME|FILE", help="Cluster to name in the campaign."),
    ] = None,
    deadline: Annotated[
        str | None, typer.Option("--deadline", metavar="DURATION", help="Deadline of the campaign.")
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            "--runtime", metavar="DURATION", help="Runtime to assume where the file gives none."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the output.")] = False,
    json: JsonOption = False,
) -> int:
    """Make a campaign of a workflow that another system describes.

    The campaign is printed, or written to a file. Assumptions, and what was left out, are warnings
    and comments at the top of the campaign.
    """
    from socm.exchange.importing import import_file

    made = import_file(
        file,
        kind,
        runtime=_seconds("--runtime", runtime),
        resource=_seen_from(resource, output),
        deadline=_seconds("--deadline", deadline),
    )
    if output is not None:
        new_file(output, made.text, force=force)
    if json:
        told = {"stages": len(made.stages), "notes": list(made.notes)}
        where = {"text": made.text} if output is None else {"file": str(output)}
        print_json({"schema": "socm.import/1", **told, **where})
        return 0
    if output is None:
        sys.stdout.write(made.text)
    _tell(made.notes)
    return 0


def _seconds(option: str, text: str | None) -> int | None:
    from socm.units import parse_duration

    if text is None:
        return None
    try:
        if seconds := parse_duration(text):
            return seconds
    except ValueError as error:
        raise ConfigError(Problem(message=f"{option}: {error}")) from error
    raise ConfigError(Problem(message=f"{option} must be longer than nothing"))


def _seen_from(resource: str | None, output: Path | None) -> str | None:
    """A path to a cluster's file is relative to the campaign: make it whole where that differs."""
    if resource is None or not (resource.endswith(".toml") or "/" in resource):
        return resource
    same = output is None or output.parent.resolve() == Path.cwd()
    return resource if same else os.path.abspath(Path(resource).expanduser())


def _tell(notes: Iterable[str]) -> None:
    from rich.text import Text

    from socm.report.terminal import Terminal

    errors = Terminal(stderr=True)
    for note in notes:
        errors.print(Text.assemble(("note: ", "bold cyan"), note))
