"""``socm clusters``: which clusters there are, what they have, and which can hold a campaign."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from socm.cli.common import CampaignFile, JsonOption, console, new_file, print_json, warn
from socm.cli.verbs import verbs
from socm.errors import ConfigError, Problem

EXAMPLES = """
[bold]Examples[/bold]

  socm clusters

  socm clusters tiger3

  socm clusters match campaign.toml

  socm clusters import --output my-cluster.toml
"""


app = typer.Typer(
    cls=verbs("list", "show"), help="List, show, match and import clusters.", epilog=EXAMPLES
)


@app.command("list")
def list_clusters(json: JsonOption = False) -> int:
    """List the clusters that socm knows; so does `socm clusters` alone."""
    from dataclasses import asdict

    from socm.config import builtin_clusters, load_cluster
    from socm.report.table import facts_table

    known = [load_cluster(each) for each in builtin_clusters()]
    if json:
        print_json({"schema": "socm.clusters/1", "clusters": [asdict(c) for c in known]})
    else:
        console().print(facts_table((c.name, c.description or "") for c in known))
    return 0


@app.command("show")
def show_cluster(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME|FILE", help="Name or file of a cluster.", show_default=False),
    ],
    json: JsonOption = False,
) -> int:
    """Show a cluster with the sources of its figures; so does `socm clusters NAME`."""
    from dataclasses import asdict

    from socm.config import load_cluster
    from socm.report.cluster import cluster_options, cluster_sources, cluster_tables
    from socm.report.table import facts_table

    cluster = load_cluster(name)
    if json:
        print_json({"schema": "socm.cluster/1", "cluster": asdict(cluster)})
        return 0
    out = console()
    out.print(cluster.name, style="bold")
    for table in cluster_tables(cluster):
        out.print(table)
    if options := [*cluster_options(cluster)]:
        out.print("Asked of SLURM", style="bold")
        out.print(facts_table(options))
    out.print("Sources", style="bold")
    out.print(facts_table(cluster_sources(cluster)))
    return 0


@app.command("match")
def match_clusters(
    file: CampaignFile,
    cluster: Annotated[
        list[str] | None,
        typer.Option("--cluster", metavar="NAME|FILE", help="Try this cluster; may be repeated."),
    ] = None,
    json: JsonOption = False,
) -> int:
    """Say which clusters can hold a campaign, by which QOS, and why the others cannot.

    Tries all built-in clusters and the campaign's own. Exit code 0 if at least one can hold the
    campaign, in time or not; 3 if none can.
    """
    from socm.cli.match import match_document, match_table, reasons_in_words

    document = match_document(file, cluster or ())
    if json:
        print_json(document)
    else:
        from rich.padding import Padding
        from rich.text import Text

        warn(document["warnings"])
        out = console()
        out.print(match_table(document))
        for match in document["clusters"]:
            if match["reasons"]:
                out.print(Text(f"Not on {match['name']}", style="bold"))
            for reason in reasons_in_words(match):
                out.print(Padding(Text(reason), (0, 0, 0, 2)))
    return 0 if any(match["fits"] for match in document["clusters"]) else 3


@app.command("import")
def import_cluster(
    name: Annotated[
        str | None, typer.Option(help="Name of the cluster (default: its name in SLURM).")
    ] = None,
    partition: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Keep only this partition; may be repeated."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the cluster file to this path."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    json: JsonOption = False,
) -> int:
    """Make a cluster file from the SLURM that this machine belongs to.

    Calls `scontrol` and `sacctmgr`, and changes nothing. What a cluster file cannot express is
    reported, and kept as comments.
    """
    from dataclasses import asdict
    from datetime import datetime

    from socm.exchange.cluster_file import cluster_toml
    from socm.exchange.slurm import ask, imported_cluster

    if output is not None and output.suffix != ".toml":
        problem = Problem(file=str(output), message="a cluster file is a .toml file")
        raise ConfigError(problem)
    today = datetime.now().astimezone().date().isoformat()
    cluster, warnings = imported_cluster(ask(), checked=today, name=name, only=partition or ())
    text = cluster_toml(cluster, comments=["Imported by `socm clusters import`.", *warnings])
    if output is not None:
        new_file(output, text, force=force)
    if json:
        document = {"schema": "socm.cluster/1", "cluster": asdict(cluster)}
        print_json({**document, "warnings": list(warnings)})
        return 0
    warn(warnings)
    if output is None:
        sys.stdout.write(text)
    else:
        console().print(f"{cluster.name} written to {output}", markup=False)
    return 0
