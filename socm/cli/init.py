"""``socm init``: a campaign with comments to start from."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from socm.cli.common import console, new_file, refuse_existing
from socm.errors import ConfigError, Problem

EXAMPLES = """
[bold]Examples[/bold]

  socm init

  socm init campaign.toml --deadline 2d --resource perlmutter

  socm init dag.yaml --name piso
"""
TEMPLATES = {".yaml": "dag.yaml", ".yml": "dag.yaml", ".toml": "maps.toml"}


def init(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="File to write: .toml for maps and spectra, .yaml for a DAG of stages.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the campaign.")] = None,
    deadline: Annotated[
        str | None, typer.Option("--deadline", metavar="DURATION", help="Deadline, e.g. 36h or 2d.")
    ] = None,
    resource: Annotated[
        str | None,
        typer.Option("--resource", metavar="NAME|FILE", help="Name or file of a cluster."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> int:
    """Write a campaign with comments to start from; on a terminal, ask for missing values."""
    from importlib.resources import files

    from socm.config import builtin_clusters, load_cluster
    from socm.config.campaign import DEFAULT_CLUSTER
    from socm.config.writing import quoted, yaml_text
    from socm.units import parse_duration

    file = file or Path(_ask("File to write (.toml for maps, .yaml for a DAG)", "campaign.toml"))
    if file.suffix not in TEMPLATES:
        hint = "a campaign is a .toml, .yaml or .yml file"
        raise ConfigError(
            Problem(file=str(file), message=f"has the suffix {file.suffix!r}", hint=hint)
        )
    refuse_existing(file, force=force)
    name = name or _ask("Name of the campaign", file.stem)
    deadline = deadline or _ask("Deadline, counted from the start (e.g. 36h or 2d)", "2d")
    try:
        parse_duration(deadline)
    except ValueError as error:
        raise ConfigError(Problem(message=f"--deadline: {error}")) from error
    known = ", ".join(builtin_clusters())
    resource = resource or _ask(f"Cluster ({known}, or a file)", DEFAULT_CLUSTER)
    load_cluster(resource)
    template = files("socm.config") / "templates" / TEMPLATES[file.suffix]
    text = template.read_text(encoding="utf-8")
    written = quoted if file.suffix == ".toml" else yaml_text
    values = {"NAME": name, "DEADLINE": deadline, "RESOURCE": resource}
    text = re.sub(r"@([A-Z]+)@", lambda match: written(values[match[1]]), text)
    new_file(file, text, force=force)
    out = console()
    out.print(f"written to {file}; now try:")
    out.print(f"  socm simulate {file}")
    return 0


def _ask(question: str, default: str) -> str:
    """Ask on a terminal; elsewhere return the default."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return default
    return str(typer.prompt(question, default=default))
